import t from 'tap'
import { type AnswerSink, KeptReply } from '../../src/reply/sinks.ts'
import { GatewayError } from '../../src/shared/errors.ts'

function setUp() {
  const calls: string[] = []
  const note = (name: string) => (): void => void calls.push(name)
  const sink: AnswerSink = {
    hasBegun: true,
    attach: note('attach'),
    whenDrained: async () => void calls.push('whenDrained'),
    onSent: note('onSent'),
    onIdle: note('onIdle'),
    push: (part) => calls.push(part.type),
    flush: note('flush'),
    end: note('end()'),
    fail: (error) => calls.push(error.code),
    dispose: note('dispose')
  }
  const saved = Promise.withResolvers<void>()
  let isGone = false
  const save = (): Promise<void> => {
    calls.push('save')
    return saved.promise
  }
  const reply = new KeptReply({ sink, save, isGone: () => isGone })
  const leave = (): void => {
    isGone = true
  }
  return { reply, calls, saved, leave }
}

const settled = () => new Promise(setImmediate)

t.test('the end is told when the answer has been kept', async (t) => {
  const { reply, calls, saved } = setUp()
  t.equal(reply.hasBegun, true)
  reply.onSent()
  reply.push({ type: 'text', text: 'x' })
  reply.flush()
  reply.push({ type: 'end', reason: 'stop', usage: { inputTokens: 1, outputTokens: 1 } })
  reply.flush()
  reply.end()
  reply.dispose()
  await settled()
  t.same(calls, ['onSent', 'text', 'flush', 'end', 'save'], 'whoever wants it sooner')
  saved.resolve()
  await settled()
  t.same(calls.slice(5), ['end()', 'dispose'])
})

t.test('it is as full as its sink', async (t) => {
  const { reply, calls } = setUp()
  reply.attach({ pause() {}, resume() {} })
  await reply.whenDrained(new AbortController().signal)
  t.same(calls, ['attach', 'whenDrained'])
})

t.test('it is disposed of at once when nothing is being kept', async (t) => {
  const open = setUp()
  open.reply.dispose()
  t.same(open.calls, ['dispose'])
  const over = setUp()
  over.saved.resolve()
  over.reply.end()
  await settled()
  over.reply.dispose()
  t.same(over.calls, ['save', 'end()', 'dispose'])
})

t.test('a client that left meanwhile is told nothing', async (t) => {
  const { reply, calls, saved, leave } = setUp()
  reply.end()
  reply.dispose()
  leave()
  saved.resolve()
  await settled()
  t.same(calls, ['save', 'dispose'])
})

t.test('a broken answer is not kept', async (t) => {
  const { reply, calls } = setUp()
  reply.onIdle()
  reply.fail(new GatewayError('GW_UPSTREAM_RESET'))
  reply.dispose()
  t.same(calls, ['onIdle', 'GW_UPSTREAM_RESET', 'dispose'])
})
