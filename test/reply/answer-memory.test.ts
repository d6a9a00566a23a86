import t from 'tap'
import { MemoryBudget } from '../../src/admission/memory-budget.ts'
import { AnswerBudget } from '../../src/reply/answer-memory.ts'

const KIB = 1024
const MIB = 1024 * KIB
const stream = { maxBytes: 16 * MIB, isStream: true }
const whole = { maxBytes: 16 * MIB, isStream: false }

function setUp({ budgetBytes = 4 * MIB, laneBytes = MIB } = {}) {
  const budget = new MemoryBudget(budgetBytes, 10)
  const lane = new MemoryBudget(laneBytes, 0)
  return { budget, lane, answers: new AnswerBudget({ budget, lane }) }
}

t.test('what nearly every answer holds is taken from nobody', async (t) => {
  const { budget, lane, answers } = setUp()
  const memory = answers.open(stream)
  for (let count = 0; count < 16; count++) t.ok(memory.hold(KIB))
  t.equal(budget.reservedBytes + lane.reservedBytes, 0)
  t.ok(memory.hold(1))
  t.equal(budget.reservedBytes, 64 * KIB, 'in steps')
  for (let count = 0; count < 64; count++) t.ok(memory.hold(KIB))
  t.equal(budget.reservedBytes, 128 * KIB)
  t.ok(memory.hold(MIB))
  t.ok(budget.reservedBytes >= MIB + 64 * KIB)
  memory.release()
  memory.release()
  t.equal(budget.reservedBytes, 0)
})

t.test('what is gone before the answer is over is given back, all but a step', async (t) => {
  const { budget, answers } = setUp()
  const memory = answers.open(stream)
  t.ok(memory.hold(MIB))
  for (let count = 0; count < 1000; count++) t.ok(memory.hold(KIB))
  const most = budget.reservedBytes
  for (let count = 0; count < 1000; count++) memory.free(KIB)
  t.ok(budget.reservedBytes <= most - 1000 * KIB + 128 * KIB)
  memory.free(MIB)
  t.ok(budget.reservedBytes <= 64 * KIB)
  let changes = 0
  for (let count = 0; count < 1000; count++) {
    const before = budget.reservedBytes
    memory.hold(60 * KIB)
    memory.free(60 * KIB)
    if (budget.reservedBytes !== before) changes++
  }
  t.ok(changes <= 1, 'not taken anew for each piece')
  memory.release()
  t.equal(budget.reservedBytes, 0)
})

t.test('a short frame in two parts has room beside everything', async (t) => {
  const { answers } = setUp({ laneBytes: 0 })
  const [memory] = [answers.open(stream), answers.open(stream).hold(3 * MIB)]
  t.ok(memory.hold(16 * KIB))
  memory.lend(512)
  memory.lend(4 * KIB)
  t.throws(() => memory.lend(4 * KIB + 1), { code: 'GW_MEMORY_FULL' })
})

t.test('answers leave some of the memory to bodies', async (t) => {
  const { budget, answers } = setUp()
  const [first, second, third] = [answers.open(stream), answers.open(stream), answers.open(whole)]
  t.ok(first.hold(2 * MIB))
  t.ok(second.hold(1.5 * MIB))
  t.notOk(second.hold(MIB))
  t.ok(second.isFull)
  t.notOk(second.hold(1), 'and it stays so')
  t.match(second.refusal, { code: 'GW_MEMORY_FULL', retryAfterS: 5 })
  t.match(second.refusal?.message, /too long for the free memory/)
  t.throws(() => third.hold(MIB), { code: 'GW_MEMORY_FULL' }, 'an answer in one piece fails')
  t.throws(() => third.say(1), { code: 'GW_MEMORY_FULL' })
  first.release()
  t.ok(answers.open(stream).hold(MIB))
  t.ok(budget.reservedBytes <= 3.5 * MIB)
})

t.test('while a body waits for memory, answers hold no more than half of it', async (t) => {
  const { budget, answers } = setUp({ laneBytes: 0 })
  const memory = answers.open(stream)
  t.ok(memory.hold(MIB))
  const { signal } = new AbortController()
  const waiting = budget.reserve(4 * MIB, { signal, timeoutMs: 60_000 })
  t.ok(memory.hold(MIB - 64 * KIB))
  t.notOk(memory.hold(MIB))
  memory.release()
  ;(await waiting).release()
})

t.test('while bodies take all of the memory, usual answers have a lane', async (t) => {
  const { budget, lane, answers } = setUp({ laneBytes: 512 * KIB })
  budget.grow(4 * MIB)
  const memory = answers.open(stream)
  t.ok(memory.hold(200 * KIB))
  t.ok(lane.reservedBytes >= 184 * KIB)
  t.notOk(memory.hold(200 * KIB), 'a long one has not')
  const others = Array.from({ length: 10 }, () => answers.open(stream))
  t.ok(others.filter((other) => other.hold(100 * KIB)).length < 5)
  t.ok(lane.reservedBytes <= 512 * KIB)
  for (const one of [memory, ...others]) one.release()
  t.equal(lane.reservedBytes, 0)
})

t.test('a body that waits for memory is not overtaken by answers that have a lane', async (t) => {
  const { budget, lane, answers } = setUp()
  const body = budget.grow(3 * MIB)
  const { signal } = new AbortController()
  const waiting = budget.reserve(2 * MIB, { signal, timeoutMs: 60_000 })
  const memory = answers.open(stream)
  t.ok(memory.hold(100 * KIB))
  t.equal(budget.reservedBytes, 3 * MIB)
  t.ok(lane.reservedBytes > 0)
  body.release()
  ;(await waiting).release()
  t.ok(memory.hold(MIB))
  t.ok(budget.reservedBytes >= MIB)
})

t.test('a body that fits beside all answers waits for none of them', async (t) => {
  const { budget, answers } = setUp()
  const memory = answers.open(stream)
  t.ok(memory.hold(1.5 * MIB))
  const { signal } = new AbortController()
  const large = budget.reserve(4 * MIB, { signal, timeoutMs: 60_000 })
  const small = await budget.reserve(2 * MIB, { signal, timeoutMs: 60_000 })
  t.equal(small.bytes, 2 * MIB)
  small.release()
  memory.release()
  ;(await large).release()
})

t.test('what the model says is counted over the whole answer', async (t) => {
  const { budget, answers } = setUp()
  const [streamed, collected] = [stream, whole].map((one) =>
    answers.open({ ...one, maxBytes: 100 })
  )
  t.ok(streamed?.say(60) && streamed.say(40))
  t.notOk(streamed?.say(1))
  t.match(streamed, { isFull: true, refusal: { code: 'GW_ANSWER_TOO_LARGE' } })
  t.ok(collected?.say(100))
  t.throws(() => collected?.say(1), { code: 'GW_ANSWER_TOO_LARGE' })
  t.equal(budget.reservedBytes, 0)
})

t.test('what is held for a moment is given back before the answer is over', async (t) => {
  const { budget, answers } = setUp()
  const memory = answers.open(stream)
  memory.lend(4 * KIB)
  t.equal(budget.reservedBytes, 0, 'as much as every answer has')
  memory.lend(MIB)
  t.ok(budget.reservedBytes >= MIB - 4 * KIB)
  t.ok(memory.hold(100 * KIB))
  t.ok(budget.reservedBytes >= MIB + 80 * KIB, 'beside what stays')
  memory.lend(0)
  t.ok(budget.reservedBytes >= 84 * KIB)
  t.ok(budget.reservedBytes <= 148 * KIB)
  memory.lend(500 * KIB)
  memory.release()
  t.equal(budget.reservedBytes, 0)
})

t.test('what there is no room for even for a moment breaks the answer off', async (t) => {
  const { budget, answers } = setUp()
  const [memory, other] = [answers.open(stream), answers.open(whole)]
  memory.lend(MIB)
  t.throws(() => memory.lend(3 * MIB), { code: 'GW_MEMORY_FULL', retryAfterS: 5 })
  t.throws(() => other.lend(2 * MIB), { code: 'GW_MEMORY_FULL' })
  t.notOk(memory.isFull, 'what it has said and may say is no matter')
  memory.lend(0)
  t.equal(budget.reservedBytes, 0)
})
