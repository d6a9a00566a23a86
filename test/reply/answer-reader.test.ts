import { equal } from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { MemoryBudget } from '../../src/admission/memory-budget.ts'
import { PartReader } from '../../src/dialects/answer/part-reader.ts'
import type { StreamPart } from '../../src/dialects/answer/stream-part.ts'
import { AnswerBudget, type AnswerMemory } from '../../src/reply/answer-memory.ts'
import { AnswerReader, turnShare } from '../../src/reply/answer-reader.ts'
import { encodeFrame } from '../../src/frames/frame-encoder.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { collectGarbage, fastestMs } from '../helper/cost.ts'
import { summarize } from '../helper/read-answer.ts'
import { replyPlan } from '../helper/reply-plan.ts'
import { endFrame, eventFrame, exceptionFrame, textFrame } from '../helper/upstream-frames.ts'

const MIB = 2 ** 20

function setUp(stopSequences: readonly string[] = []) {
  const parts: StreamPart[] = []
  const reader = new AnswerReader(new PartReader(replyPlan({ stopSequences })))
  const feed = (bytes: Uint8Array) => reader.feed(bytes, (part) => void parts.push(part))
  const end = () => reader.end((part) => void parts.push(part))
  return { reader, parts, feed, end }
}

/** A call whose arguments come as an object. */
function toolFrame(input: string): Buffer {
  return encodeFrame(
    { ':message-type': 'event', ':event-type': 'toolUseEvent' },
    `{"toolUseId":"1","name":"f","stop":true,"input":${input}}`
  )
}

const answer = Buffer.concat([
  textFrame('Hello '),
  eventFrame('somethingNewEvent', { a: 1 }),
  textFrame('wörld'),
  endFrame
])

t.test('AnswerReader', (t) => {
  t.test('reads an answer cut into slices of any size', async (t) => {
    for (let size = 1; size <= answer.length; size++) {
      const { reader, parts, feed, end } = setUp()
      for (let at = 0; at < answer.length; at += size) {
        equal(feed(answer.subarray(at, at + size)), null)
      }
      end()
      t.match(summarize(parts), { text: 'Hello wörld', reason: 'stop' })
      t.equal(reader.strangeEvents.count, 1)
    }
  })

  t.test('hands on what came before an exception in the same chunk', async (t) => {
    const { parts, feed } = setUp()
    const exception = exceptionFrame('ThrottlingException', 'too fast')
    const fault = feed(Buffer.concat([textFrame('so far'), exception, textFrame('never')]))
    t.match(fault, { code: 'GW_UPSTREAM_RATE_LIMITED' })
    t.equal(summarize(parts).text, 'so far')
  })

  t.test(
    'takes a body of nothing for no answer, and one that only ends for an overload',
    async (t) => {
      const nothing = setUp()
      t.throws(() => nothing.end(), { code: 'GW_UPSTREAM_RESET' })
      t.same(nothing.parts, [])
      const empty = setUp()
      empty.feed(endFrame)
      t.throws(() => empty.end(), { code: 'GW_UPSTREAM_OVERLOADED' })
      t.same(empty.parts, [])
    }
  )

  t.test('takes an exception at the limit of the model for the end', async (t) => {
    const { parts, feed, end } = setUp()
    const exception = exceptionFrame('ContentLengthExceededException', 'limit')
    t.equal(feed(Buffer.concat([textFrame('so far'), exception, textFrame('never')])), 'stopped')
    t.equal(feed(textFrame('never')), 'stopped')
    end()
    t.match(summarize(parts), { text: 'so far', reason: 'length' })
  })

  t.test('takes the same before the first word for a request that is too long', async (t) => {
    const { parts, feed } = setUp()
    const exception = exceptionFrame('ContentLengthExceededException', 'Input is too long.')
    const fault = feed(Buffer.concat([eventFrame('messageMetadataEvent', {}), exception]))
    t.match(fault, { code: 'GW_CONTEXT_OVERFLOW', status: 400 })
    t.same(parts, [])
  })

  t.test('reads nothing behind a stop sequence, not even a broken rest', async (t) => {
    const { parts, feed, end } = setUp(['STOP'])
    const frames = [textFrame('one ST'), textFrame('OP two'), textFrame('three')]
    t.equal(feed(Buffer.concat(frames)), 'stopped')
    t.equal(feed(textFrame('four').subarray(0, 20)), 'stopped')
    end()
    t.match(summarize(parts), { text: 'one ', reason: 'stop-sequence' })
  })

  t.test('keeps the order of text and of what comes between', async (t) => {
    const { parts, feed } = setUp()
    const unknown = eventFrame('somethingNewEvent', {})
    const call = toolFrame('{"a":1}')
    feed(Buffer.concat([textFrame('a'), textFrame('b'), unknown, textFrame('c'), call]))
    const kinds = parts.map((part) => ('text' in part ? part.text : part.type))
    t.same(kinds, ['a', 'b', 'c', 'tool-start', 'tool-delta', 'tool-end'])
  })

  t.test('reads what is metered behind a stop sequence that text of two frames has', async (t) => {
    const { reader, parts, feed, end } = setUp(['STOP'])
    const metering = eventFrame('meteringEvent', { unit: 'credit', usage: 0.25 })
    t.equal(feed(Buffer.concat([textFrame('one ST'), textFrame('OP'), metering])), 'stopped')
    end()
    t.match(summarize(parts), { text: 'one ', reason: 'stop-sequence' })
    t.match(parts.at(-1), { usage: { credits: 0.25 } })
    t.equal(reader.strangeEvents.count, 0)
  })

  t.test('passes text on that came before a frame that is damaged', async (t) => {
    const damaged = Buffer.from(textFrame('bad'))
    damaged[damaged.length - 1]! ^= 1
    for (const bad of [damaged, encodeFrame({ ':event-type': 'meteringEvent' }, 'no JSON')]) {
      const { parts, feed } = setUp()
      const bytes = Buffer.concat([textFrame('so '), textFrame('far'), bad])
      t.throws(() => feed(bytes), { code: 'GW_FRAME_CORRUPT' })
      t.equal(summarize(parts).text, 'so far')
    }
  })

  t.test('does not take half a frame for an end', async (t) => {
    for (let cut = 1; cut < 30; cut++) {
      const { parts, feed, end } = setUp()
      feed(answer.subarray(0, answer.length - cut))
      t.throws(end, { code: 'GW_STREAM_TRUNCATED' })
      t.notOk(parts.some(({ type }) => type === 'end'))
    }
  })

  t.test(
    'spends the turn of the event loop on a large frame, which is read in one go',
    async (t) => {
      const frame = textFrame('x'.repeat(400_000))
      const { feed } = setUp()
      feed(frame.subarray(0, -1))
      t.ok(turnShare.hasRoom)
      feed(frame.subarray(-1))
      t.notOk(turnShare.hasRoom, 'the next one has to wait')
      await nextTurn()
      t.ok(turnShare.hasRoom)
    }
  )

  t.test('takes no longer for frames that say nothing than for text', async (t) => {
    const count = 2000
    const cost = (frame: Buffer): number => {
      const bytes = Buffer.concat(Array.from({ length: count }, () => frame))
      return fastestMs(() => void setUp().feed(bytes))
    }
    const text = cost(textFrame('Hi'))
    for (const [what, frame] of [
      ['empty', encodeFrame({}, '')],
      ['no JSON', encodeFrame({ ':event-type': 'x' }, '{')]
    ] as const) {
      const ms = cost(frame)
      t.ok(ms < 2 * text, `${what}: ${ms.toFixed(2)} ms, text: ${text.toFixed(2)} ms`)
    }
  })

  t.test('takes arguments that are nested too deeply for broken ones', async (t) => {
    for (const [levels, reason] of [
      [1024, 'tool'],
      [1025, 'length'],
      [100_000, 'length']
    ] as const) {
      const { parts, feed, end } = setUp()
      const nested = `${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}`
      feed(toolFrame(`{"a":${nested}}`))
      feed(endFrame)
      end()
      t.equal(summarize(parts).reason, reason, `${levels} levels`)
    }
  })

  t.test('does not pass on a frame with a wrong bit', async (t) => {
    const frame = textFrame('text')
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const { parts, feed, end } = setUp()
      const damaged = Buffer.from(frame)
      damaged[bit >> 3] = damaged[bit >> 3]! ^ (1 << (bit & 7))
      t.throws(
        () => {
          feed(damaged)
          end()
        },
        { code: /GW_FRAME_CORRUPT|GW_FRAME_TOO_LARGE|GW_STREAM_TRUNCATED/ },
        `bit ${bit}`
      )
      t.equal(parts.length, 0)
    }
  })
  t.end()
})

t.test('300 streams of an upstream that sends half of a large frame each', async (t) => {
  const budget = new MemoryBudget(24 * MIB, 10)
  const answers = new AnswerBudget({ budget, lane: new MemoryBudget(2 * MIB, 0) })
  const frame = textFrame('x'.repeat(2 * MIB - 200))
  const half = frame.subarray(0, frame.length / 2)
  const ends: Record<string, number> = {}
  const readers: AnswerReader[] = []
  const rooms: AnswerMemory[] = []
  collectGarbage()
  const before = process.memoryUsage().arrayBuffers
  for (let count = 0; count < 300; count++) {
    const room = answers.open({ maxBytes: 16 * MIB, isStream: count % 2 === 0 })
    const reader = new AnswerReader(new PartReader(replyPlan(), { room }), room)
    let end = 'waits'
    try {
      for (let at = 0; at < half.length; at += 65_536) {
        reader.feed(half.subarray(at, at + 65_536), () => {})
      }
    } catch (error) {
      end = error instanceof GatewayError ? error.code : String(error)
    }
    ends[end] = (ends[end] ?? 0) + 1
    readers.push(reader)
    rooms.push(room)
  }
  collectGarbage()
  const held = process.memoryUsage().arrayBuffers - before
  t.ok(held < 20 * MIB, `${held} bytes are held`)
  t.same(Object.keys(ends).toSorted(), ['GW_MEMORY_FULL', 'waits'])
  t.ok(ends['waits']! >= 5, `${ends['waits']} wait for the rest`)
  t.ok(budget.reservedBytes <= 12 * MIB)
  t.equal(readers.length, 300)
  for (const room of rooms) room.release()
  t.equal(budget.reservedBytes, 0)
})

t.test('an event of many small objects is not read where it has no room on the heap', async (t) => {
  const budget = new MemoryBudget(24 * MIB, 10)
  const answers = new AnswerBudget({ budget, lane: new MemoryBudget(2 * MIB, 0) })
  const read = (input: unknown): StreamPart[] => {
    const parts: StreamPart[] = []
    using room = answers.open({ maxBytes: 16 * MIB, isStream: true })
    const reader = new AnswerReader(new PartReader(replyPlan(), { room }), room)
    const event = { toolUseId: 'call', name: 'write', input, stop: true }
    reader.feed(eventFrame('toolUseEvent', event), (part) => void parts.push(part))
    reader.feed(endFrame, () => {})
    return parts
  }
  const edits = Array.from({ length: 5000 }, (_, line) => ({ line, old: 'a'.repeat(40), new: '' }))
  const usual = [{ text: 'x\n'.repeat(300_000) }, { edits }, {}]
  for (const input of usual) {
    t.same(JSON.parse(summarize(read(input)).calls[0]!.json), input, 'usual ones are')
    t.equal(budget.reservedBytes, 0)
  }
  const many = { list: Array.from({ length: 600_000 }, () => ({})) }
  t.throws(() => read(many), { code: 'GW_MEMORY_FULL' })
  t.equal(budget.reservedBytes, 0)
})
