import { deepEqual, equal } from 'node:assert/strict'
import t from 'tap'
import {
  formName,
  isWorthTelling,
  type LessonBook,
  mergeLessons,
  NO_LESSONS,
  parseLessons
} from '../../../src/control/fleet/lesson-book.ts'
import { SharedLessons } from '../../../src/control/fleet/shared-lessons.ts'
import { SharedRecords } from '../../../src/control/fleet/shared-records.ts'
import { LessonsDesk } from '../../../src/control/desks/lessons-desk.ts'
import { FleetSeal } from '../../../src/fleet/fleet-seal.ts'
import * as fc from '../../helper/fast-check.ts'
import { FakeRecords } from '../../helper/fake-records.ts'
import { until } from '../../helper/fleet-team.ts'

t.setTimeout(120_000)

const FORM = { host: 'https://a.example', authType: 'idc', operation: 'generate' } as const

const learnt = fc
  .record({
    modelId: fc.constantFrom('x', 'y', 'z'),
    n: fc.integer({ min: 1, max: 4 }),
    estimated: fc.integer({ min: 1, max: 3 }),
    measured: fc.integer({ min: 1, max: 3 })
  })
  .map((one) => ({ [one.modelId]: { ...one } }))
const form = fc
  .record({ form: fc.constantFrom('path' as const, 'target' as const), n: fc.nat(3) })
  .map((one) => ({ [formName(FORM)]: { ...FORM, ...one } }))
const books: fc.Arbitrary<LessonBook> = fc.record({
  tokens: fc
    .array(learnt, { maxLength: 3 })
    .map((all) => Object.assign({}, ...all) as LessonBook['tokens']),
  forms: fc.oneof(fc.constant({}), form)
})

t.test('what is merged does not depend on order or repetition', async () => {
  fc.assert(
    fc.property(books, books, books, (a, b, c) => {
      const ab = mergeLessons(a, b)
      deepEqual(mergeLessons(b, a), ab)
      deepEqual(mergeLessons(ab, a), ab)
      deepEqual(mergeLessons(ab, c), mergeLessons(a, mergeLessons(b, c)))
      deepEqual(parseLessons(JSON.stringify(ab)), ab)
      equal(isWorthTelling(ab, ab), false)
    })
  )
})

t.test('a book is bounded, whatever is learnt', async (t) => {
  let book = NO_LESSONS
  for (let at = 0; at < 200; at += 1) {
    const modelId = `m${at}`
    const tokens = { [modelId]: { modelId, n: at + 1, estimated: 100, measured: 100 } }
    book = mergeLessons(book, { tokens, forms: {} })
  }
  t.equal(Object.keys(book.tokens).length, 64)
  t.ok('m199' in book.tokens, 'what rests on most lessons stays')
})

t.test('what is no book is not believed', async (t) => {
  const good = { modelId: 'x', n: 1, estimated: 100, measured: 120 }
  const token = (changes: object) => ({ tokens: { x: { ...good, ...changes } }, forms: {} })
  const name = formName(FORM)
  const ofForm = (changes: object) => ({
    tokens: {},
    forms: { [name]: { ...FORM, form: 'path', n: 1, ...changes } }
  })
  t.same(parseLessons(JSON.stringify(token({}))), token({}))
  t.same(parseLessons(JSON.stringify(ofForm({}))), ofForm({}))
  const bad: readonly unknown[] = [
    null,
    {},
    { tokens: [], forms: {} },
    token({ estimated: 0 }),
    token({ measured: -1 }),
    token({ measured: 1e300 }),
    token({ modelId: 'y' }),
    token({ n: '1' }),
    ofForm({ form: 'other' }),
    ofForm({ host: 'https://b.example' }),
    ofForm({ host: 'nowhere' }),
    ofForm({ authType: 'none' }),
    {
      tokens: Object.fromEntries(
        Array.from({ length: 65 }, (_, at) => [`${at}`, { ...good, modelId: `${at}` }])
      ),
      forms: {}
    }
  ]
  for (const one of bad) t.equal(parseLessons(JSON.stringify(one)), null, JSON.stringify(one))
})

t.test('gateways learn from each other, in few changes', async (t) => {
  const records = new FakeRecords()
  const seal = new FleetSeal(['a-secret-of-at-least-32-characters'], 'test')
  const log = { warn: () => {}, debug: () => {} }
  const join = () => {
    const told: unknown[] = []
    const desk = new LessonsDesk({
      log: { ...log, info: () => {} } as never,
      tell: (lesson) => void told.push(lesson)
    })
    const hub = new SharedRecords({ records, seal, log, paceMs: 1 })
    t.teardown(() => hub.close())
    new SharedLessons({ lessons: desk, hub, gapMs: 200 }).start()
    return { desk, told }
  }
  const [a, b] = [join(), join()]
  const learn = (measured: number): void =>
    a.desk.onLesson({ type: 'calibration.lesson', modelId: 'x', estimated: 1_000, measured })
  for (let at = 0; at < 100; at += 1) learn(1_200)
  a.desk.onLesson({ type: 'form.lesson', ...FORM, form: 'target' })
  await until(() => b.told.length >= 2)
  const [first] = b.desk.all()
  t.match(first, { type: 'calibration.learnt', modelId: 'x' })
  t.ok(b.desk.all().some((one) => one.type === 'form.learnt' && one.form === 'target'))
  const writes = () => records.commands.filter((one) => one.startsWith('cas')).length
  t.ok(writes() <= 3, `${writes()} changes for 101 lessons`)
  const before = writes()
  for (let at = 0; at < 50; at += 1) learn(1_201)
  await new Promise((resolve) => setTimeout(resolve, 500))
  t.ok(writes() <= before + 1, 'what hardly differs is not told')
  const late = new LessonsDesk({ log: { ...log, info: () => {} } as never, tell: () => {} })
  const hub = new SharedRecords({ records, seal, log, paceMs: 1 })
  t.teardown(() => hub.close())
  new SharedLessons({ lessons: late, hub, gapMs: 200 }).start()
  await until(() => late.all().length >= 2)
})
