import t from 'tap'
import {
  ConversationMemory,
  type ConversationParts,
  hashOfPart,
  isLearnt
} from '../../../src/kiro/conversation/conversation-memory.ts'
import { heapGrowth } from '../../helper/cost.ts'

const parts = (conversationId: string, ...hashes: string[]) => ({ conversationId, hashes })
const DAY_MS = 24 * 60 * 60 * 1000

t.test('refusals are remembered by conversation, for a day', async (t) => {
  let now = 0
  const memory = new ConversationMemory(undefined, () => now)
  memory.learn(parts('a', '1', '2'))
  t.ok(memory.has(parts('a', '2', '3')))
  t.notOk(memory.has(parts('a', '3')))
  t.notOk(memory.has(parts('b', '1')))
  for (let index = 0; index < 1000; index++) memory.learn(parts(`c${index}`, '1'))
  t.notOk(memory.has(parts('a', '1')), 'the oldest is forgotten')
  t.equal(memory.all().length, 1000)
  now = DAY_MS
  t.notOk(memory.has(parts('c999', '1')))
  t.same(memory.all(), [])
})

t.test('lessons are plain data, as long as they are remembered', async (t) => {
  let now = 0
  const memory = new ConversationMemory(undefined, () => now)
  t.equal(memory.lessons().size, 0)
  memory.learn({ ...parts('a', '1', '2'), isBrief: true })
  memory.learn(parts('b', '3'))
  memory.hasNewSystemText({ conversationId: 'c', systemText: 's', isGrown: true })
  memory.hasNewSystemText({ conversationId: 'c', systemText: 't', isGrown: true })
  const lessons = memory.lessons()
  t.same([...lessons.keys()], ['a', 'b'], 'nothing was refused of a changed system text')
  t.ok(isLearnt(structuredClone(lessons), parts('a', '2', '4')))
  t.notOk(isLearnt(lessons, parts('a', '3')))
  t.equal(memory.lessons(), lessons, 'made once')
  memory.onLearnt(parts('b', '4'))
  t.ok(isLearnt(memory.lessons(), parts('b', '4')))
  now = DAY_MS / 24
  t.same([...memory.lessons().keys()], ['b'])
})

t.test('of one conversation the newest hashes stay', async (t) => {
  const memory = new ConversationMemory()
  for (let index = 0; index < 1000; index++) memory.learn(parts('a', String(index)))
  t.equal(memory.all()[0]?.hashes.length, 128)
  t.ok(memory.has(parts('a', '999')))
  t.notOk(memory.has(parts('a', '0')))
})

t.test('all that is remembered takes 4 MB at most', async (t) => {
  const memory = new ConversationMemory()
  const bytes = await heapGrowth(() => {
    for (let index = 0; index < 1000; index++) {
      const hashes = Array.from({ length: 128 }, (_, at) => hashOfPart(`${index} ${at}`))
      memory.learn(parts(hashOfPart(`conversation ${index}`), ...hashes))
      memory.has(parts(hashOfPart(`conversation ${index}`), 'another'))
    }
    for (let index = 0; index < 2000; index++) {
      const conversationId = hashOfPart(`start ${index}`)
      memory.hasNewSystemText({ conversationId, systemText: hashOfPart('s'), isGrown: true })
    }
  })
  t.equal(memory.all()[999]?.hashes.length, 128)
  t.ok(bytes < 4_000_000, `${bytes} bytes`)
})

t.test('what is found out here is told, what others found out is not', async (t) => {
  const told: ConversationParts[] = []
  const memory = new ConversationMemory((learnt) => void told.push(learnt))
  memory.learn(parts('a', '1'))
  memory.onLearnt(parts('b', '1'))
  t.same(told, [parts('a', '1')])
  t.ok(memory.has(parts('b', '1')))
})

t.test('a changing system text is noticed once', async (t) => {
  const told: ConversationParts[] = []
  const memory = new ConversationMemory((learnt) => void told.push(learnt))
  const isNew = (systemText: string, conversationId = 'a', isGrown = true) =>
    memory.hasNewSystemText({ conversationId, systemText, isGrown })
  t.notOk(isNew('1', 'a', false))
  t.notOk(isNew('2', 'a', false), 'it begins again')
  t.notOk(isNew('2'))
  t.ok(isNew('3'))
  t.notOk(isNew('4'))
  t.equal(told.length, 1)
  t.notOk(isNew('1', 'b'))
  memory.onLearnt({ ...parts('b'), hashes: told[0]?.hashes ?? [] })
  t.notOk(isNew('2', 'b'), 'another worker has told it')
  for (let index = 0; index < 2000; index++) isNew('1', `c${index}`)
  t.notOk(isNew('5'), 'the oldest is forgotten')
})

t.test('a hash tells where one word ends and the next begins', async (t) => {
  t.not(hashOfPart('ab', 'c'), hashOfPart('a', 'bc'))
  t.equal(hashOfPart('ab', 'c'), hashOfPart('ab', 'c'))
})
