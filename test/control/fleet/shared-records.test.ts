import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { SharedRecords } from '../../../src/control/fleet/shared-records.ts'
import { FleetSeal } from '../../../src/fleet/fleet-seal.ts'
import { FakeRecords } from '../../helper/fake-records.ts'
import { until } from '../../helper/fleet-team.ts'

t.setTimeout(120_000)

const SEAL = new FleetSeal(['a-secret-of-at-least-32-characters'], 'test')

/** A member that shares a set of words: what anybody has said, all know. */
function join(
  t: Test,
  records: FakeRecords,
  { gapMs = 0, paceMs = 1, seal = SEAL, name = 'words' } = {}
) {
  const words = new Set<string>()
  const lines: unknown[] = []
  const log = { warn: (...line: unknown[]) => void lines.push(line), debug: () => {} }
  const hub = new SharedRecords({ records, seal, log, paceMs })
  t.teardown(() => hub.close())
  const touch = hub.add<readonly string[]>({
    name,
    gapMs,
    parse: (text) => (text.startsWith('["') ? (JSON.parse(text) as string[]) : null),
    next: (found) => {
      const all = new Set([...(found?.value ?? []), ...words])
      return all.size > (found?.value.length ?? 0) ? [...all].toSorted() : null
    },
    onFound: ({ value }) => value.forEach((word) => void words.add(word))
  })
  const say = (word: string): void => {
    words.add(word)
    touch()
  }
  return { words, say, lines, hub }
}

/** Nobody has asked for anything for a while. */
async function isQuiet(records: FakeRecords): Promise<void> {
  for (let before = -1; before !== records.commands.length; await delay(300)) {
    before = records.commands.length
  }
}

type Member = ReturnType<typeof join>
const know = (members: readonly Member[], count: number) => () =>
  members.every(({ words }) => words.size === count)

t.test('SharedRecords', async (t) => {
  t.test('what one says all know, also of several at once', async (t) => {
    const records = new FakeRecords()
    const members = Array.from({ length: 5 }, () => join(t, records))
    members.forEach(({ say }, at) => say(`w${at}`))
    await until(know(members, 5))
    await isQuiet(records)
    t.ok(records.commands.length < 60, `${records.commands.length} commands, and then it is quiet`)
  })

  t.test('a change of one costs it one command, and each of the others one', async (t) => {
    const records = new FakeRecords()
    const members = [join(t, records), join(t, records), join(t, records)]
    members[0]?.say('first')
    await until(know(members, 1))
    await isQuiet(records)
    const { length } = records.commands
    members[0]?.say('second')
    await until(know(members, 2))
    await isQuiet(records)
    t.same(records.commands.slice(length).toSorted(), ['cas words', 'read words', 'read words'])
  })

  t.test('is told when Valkey is back, or has forgotten', async (t) => {
    const records = new FakeRecords()
    const [a, b] = [join(t, records), join(t, records)]
    records.failing = 'yes'
    a.say('while it is away')
    await delay(100)
    records.failing = 'no'
    await until(know([a, b], 1))
    const c = join(t, records)
    await until(know([c], 1))
    records.forget()
    const d = join(t, records)
    await until(know([d], 1))
  })

  t.test('a write that was done although it failed is no harm', async (t) => {
    const records = new FakeRecords()
    const [a, b] = [join(t, records), join(t, records)]
    await until(() => records.commands.length >= 2)
    records.failing = 'late'
    a.say('one')
    await until(() => records.commands.includes('cas words'))
    records.failing = 'no'
    b.say('two')
    await until(know([a, b], 2))
  })

  t.test('news that were missed are read when that is known', async (t) => {
    const records = new FakeRecords()
    const a = join(t, records)
    await until(() => records.answered > 0) // else the first look sees it
    records.isMute = true
    records.put('words', SEAL.seal('["x"]', 'v1|record|words'))
    await delay(50)
    t.equal(a.words.size, 0)
    records.reconnect()
    await until(know([a], 1))
  })

  t.test('and so is what could not be read before', async (t) => {
    const records = new FakeRecords()
    records.failing = 'yes'
    const a = join(t, records)
    await until(() => records.commands.length >= 5) // by now it waits for seconds
    records.failing = 'no'
    records.put('words', SEAL.seal('["x"]', 'v1|record|words'))
    const { length } = records.commands
    records.reconnect()
    await until(() => records.commands.length > length)
    await until(know([a], 1))
  })

  t.test('what is made up is refused with one line, and replaced', async (t) => {
    const records = new FakeRecords()
    const foreign = new FleetSeal(['another-secret-of-32-characters--'], 'test')
    const hostile = [
      '["forged"]',
      '',
      SEAL.seal('{"no":"words"}', 'v1|record|words'),
      SEAL.seal('["moved"]', 'v1|record|other'),
      foreign.seal('["foreign"]', 'v1|record|words')
    ]
    for (const value of hostile) {
      const a = join(t, records)
      a.say('mine')
      await until(() => records.commands.length > 0)
      records.put('words', value)
      await until(() => a.lines.length > 0)
      const b = join(t, records)
      await until(know([b], 1))
      t.same([...a.words, ...b.words], ['mine', 'mine'])
      t.equal(a.lines.length, 1)
      a.hub.close()
      b.hub.close()
    }
  })

  t.test('lessons are batched, and Valkey is asked at a steady rate', async (t) => {
    const records = new FakeRecords()
    const a = join(t, records, { gapMs: 300, paceMs: 50 })
    const began = performance.now()
    for (let at = 0; at < 50; at += 1) {
      a.say(`w${at}`)
      await delay(10)
    }
    const b = join(t, records)
    await until(know([b], 50))
    const ms = performance.now() - began
    const writes = records.commands.filter((one) => one === 'cas words').length
    t.ok(writes <= 2 + ms / 300, `${writes} changes in ${Math.round(ms)} ms`)
    const busy = new FakeRecords()
    const all = Array.from({ length: 4 }, (_, at) => join(t, busy, { paceMs: 100, name: `n${at}` }))
    const from = performance.now()
    while (performance.now() < from + 600) {
      for (const one of all) one.say(`${busy.commands.length}`)
      busy.reconnect()
      await delay(5)
    }
    const most = all.length * (6 + (performance.now() - from) / 100) + all.length
    t.ok(busy.commands.length <= most, `${busy.commands.length} commands`)
  })
})
