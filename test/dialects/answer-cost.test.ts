import t from 'tap'
import { byteLengthOf } from '../../src/dialects/answer/answer-writer.ts'
import { PartReader } from '../../src/dialects/answer/part-reader.ts'
import { RoundReader } from '../../src/dialects/answer/round.ts'
import type { StreamPart } from '../../src/dialects/answer/stream-part.ts'
import type { DialectName } from '../../src/dialects/dialect.ts'
import type { ReplyPlan } from '../../src/dialects/plan/plan.ts'
import type { UpstreamEvent } from '../../src/kiro/wire/event.ts'
import { bytesInUse, fastestMs } from '../helper/cost.ts'
import { isNightly } from '../helper/nightly.ts'
import {
  createCollector,
  createTranslator,
  type PlanChanges,
  replyPlan,
  responsesIdentity
} from '../helper/reply-plan.ts'
import { closing, text, tool } from '../helper/upstream-events.ts'

// What an answer costs must grow with its length and no faster, whatever it is made of: time, and the memory that is
// held in the middle of it. Each kind says what is sent piece by piece, and how the request changes its way.

interface AnswerKind {
  readonly what: string
  /** Before the pieces, each of them, and after. */
  readonly opening?: readonly UpstreamEvent[]
  readonly piece: (piece: string, index: number) => UpstreamEvent
  readonly plan?: Partial<PlanChanges>
}

const longStop = `${'ab'.repeat(2000)}!`
const openCall = tool('1', 'f', { input: `{"a":"${'x'.repeat(4096)}` })
t.setTimeout(300_000) // a hundred answers, on a machine that may be busy

const textCallForms = { f: { parameters: { a: 'text' }, required: [] } } as const

const kinds: readonly AnswerKind[] = [
  { what: 'text', piece: text },
  { what: 'reasoning', piece: (one) => ({ type: 'reasoning', text: one }) },
  {
    what: 'reasoning and text in turn',
    piece: (one, index) => (index % 2 === 0 ? text(one) : { type: 'reasoning', text: one })
  },
  { what: 'signatures', piece: (one) => ({ type: 'reasoning', text: one, signature: one }) },
  {
    what: 'arguments of one call',
    opening: [openCall],
    piece: (one) => tool('1', 'f', { input: one })
  },
  {
    what: 'arguments of a call that waits for another',
    opening: [openCall, tool('2', 'f', { input: '{"a":"' })],
    piece: (one) => tool('2', 'f', { input: one })
  },
  {
    what: 'arguments that can be none',
    opening: [tool('1', 'f', { input: '[' })],
    piece: (one) => tool('1', 'f', { input: one })
  },
  {
    what: 'small calls',
    piece: (one, index) => tool(`${index}`, 'f', { input: JSON.stringify({ a: one }), stop: true })
  },
  {
    what: 'small calls behind a long one',
    opening: [openCall],
    piece: (one, index) => tool(`c${index}`, 'f', { input: JSON.stringify({ a: one }), stop: true })
  },
  {
    what: 'calls that are never whole',
    piece: (one, index) => tool(`${index}`, 'f', { input: `{"a":"${one}` })
  },
  {
    what: 'two calls in turn, each whole again and again',
    piece: (_, index) => tool(`${index % 2}`, 'f', { input: index < 2 ? '{"a":1}' : ' ' })
  },
  { what: 'text behind an open call', opening: [openCall], piece: text },
  {
    what: 'reasoning behind an open call',
    opening: [openCall],
    piece: (one, index) => (index % 2 === 0 ? text(one) : { type: 'reasoning', text: one })
  },
  {
    what: 'text that all but reaches a stop string',
    plan: { stopSequences: [longStop, `${longStop.slice(2)}?`, 'ab'.repeat(2040)] },
    piece: (_, index) => text(index % 200 === 199 ? 'x' : 'abababababababababab')
  },
  {
    what: 'text in thinking tags',
    plan: { reasoning: 'tags' },
    opening: [text('<thinking>')],
    piece: (one) => text(`${one}</thinkin`)
  },
  {
    what: 'text that may be a call',
    plan: { textCallForms },
    opening: [text('[Called f with args: {"a":"')],
    piece: text
  },
  {
    what: 'text that may become a call of an unnamed tool',
    plan: { textCallForms },
    opening: [text('<function_calls>')],
    piece: () => text(' '.repeat(20))
  },
  {
    what: 'JSON in a fence',
    plan: { isJsonAnswer: true },
    opening: [text('```json\n')],
    piece: (one) => text(`${one}\n`)
  },
  { what: 'blanks before JSON', plan: { isJsonAnswer: true }, piece: () => text(' '.repeat(20)) },
  {
    what: 'text that is held until it is checked',
    plan: { rounds: { jsonForm: { type: 'object' }, dueCall: null, webSearch: null } },
    piece: text
  },
  {
    what: 'calls that the client did not want',
    plan: { rounds: { jsonForm: null, dueCall: { name: 'other' }, webSearch: null } },
    piece: (one, index) => tool(`${index}`, 'f', { input: JSON.stringify({ a: one }), stop: true })
  },
  {
    what: 'an answer with a limit',
    plan: { maxOutputTokens: 10_000_000 },
    piece: (one, index) => (index % 2 === 0 ? text(one) : { type: 'reasoning', text: one })
  },
  {
    what: 'the text of a custom tool',
    plan: { toolForms: { f: { kind: 'text', name: 'f' } } },
    opening: [tool('1', 'f', { input: '{"input":"' })],
    piece: (one) => tool('1', 'f', { input: one })
  },
  {
    what: 'other arguments of a custom tool',
    plan: { toolForms: { f: { kind: 'text', name: 'f' } } },
    opening: [tool('1', 'f', { input: '{"other":"' })],
    piece: (one) => tool('1', 'f', { input: one })
  }
]

const dialects: readonly DialectName[] = ['openai-chat', 'openai-responses', 'anthropic-messages']

/** As the gateway does it, from the upstream's events to the bytes that go to a client who reads at once. */
class Answer {
  readonly #kind: AnswerKind
  readonly #reader: PartReader
  readonly #rounds: RoundReader | null
  readonly #push: (part: StreamPart) => void
  sentBytes = 0

  constructor(kind: AnswerKind, plan: ReplyPlan) {
    this.#kind = kind
    this.#reader = new PartReader(plan)
    this.#rounds = plan.rounds === null ? null : new RoundReader(plan.rounds)
    if (plan.asked.isStream) {
      const translator = createTranslator(plan, responsesIdentity)
      this.#push = (part) => void (this.sentBytes += byteLengthOf(translator.push(part)))
    } else {
      const collector = createCollector(plan, responsesIdentity)
      this.#push = (part) => {
        collector.push(part)
        if (part.type === 'end') this.sentBytes = byteLengthOf(collector.toJson())
      }
    }
  }

  run(chars: number): this {
    const { opening = [], piece } = this.#kind
    for (const event of opening) this.#take(this.#reader.push(event))
    for (let index = 0; index * 20 < chars; index++) {
      // A slice, as what is cut out of a larger text may be.
      const words = `${index}. The quick brown fox`.slice(1, 21)
      this.#take(this.#reader.push(piece(words, index)))
    }
    return this
  }

  end(): void {
    for (const event of closing()) this.#take(this.#reader.push(event))
    this.#take(this.#reader.end())
    for (const part of this.#rounds?.release() ?? []) this.#push(part)
    const usage = { inputTokens: 1, outputTokens: 1 }
    if (this.#rounds !== null) this.#push({ type: 'end', reason: 'stop', usage })
  }

  #take(parts: readonly StreamPart[]): void {
    for (const part of parts) {
      for (const passed of this.#rounds?.push(part) ?? [part]) this.#push(passed)
    }
  }
}

/** Of which the memory is looked at, and half of those of which the time is: what grows by the square shows in 40 ms. */
const CHARS = 20_000
/** All that is held of one answer, at most: a byte or two for each character, and what small things take. */
const HELD_PER_CHAR = 4
/** A small call, signature or block is an object with texts of its own. */
const HELD_PER_THING = 1500

const ways = dialects.flatMap((dialect) => [
  { dialect, isStream: true },
  { dialect, isStream: false }
])

/** Of an answer and of one twice as long: the fastest of so many runs. */
function timesOf(start: (chars: number) => Answer, runs: number) {
  const once = fastestMs(() => start(2 * CHARS).end(), runs)
  const twice = fastestMs(() => start(4 * CHARS).end(), runs)
  return { isLinear: twice <= 3 * once + 10, told: `${once} ms, ${twice} ms for twice` }
}

for (const [index, kind] of kinds.entries()) {
  const starts = ways.map((way) => {
    const plan = replyPlan({ ...way, reasoning: 'native', ...kind.plan })
    return { ...way, start: (chars: number): Answer => new Answer(kind, plan).run(chars) }
  })

  t.test(`${kind.what}: what is held of an answer`, async (t) => {
    for (const { start } of starts) start(CHARS / 10).end()
    const before = await bytesInUse()
    const answers = starts.map(({ start }) => start(CHARS)) // together: the heap is looked at once
    const { heap, outside } = await bytesInUse()
    const held = heap - before.heap + outside - before.outside
    for (const answer of answers) {
      answer.end()
      t.ok(answer.sentBytes > 0)
    }
    const isOfThings = /calls|signatures|in turn|behind|limit/.test(kind.what)
    const perPiece = isOfThings ? HELD_PER_THING : 20 * HELD_PER_CHAR
    const most = 200_000 + (answers.length * CHARS * perPiece) / 20
    t.ok(held < most, `${held} bytes held, at most ${most}`)
  })

  // By day each kind is timed in one of the six ways, and each way with a sixth of the kinds.
  const timed = starts.filter((_, way) => isNightly || way === index % starts.length)
  for (const { dialect, isStream, start } of timed) {
    const how = isStream ? 'streamed' : 'collected'
    t.test(`${kind.what}, ${dialect}, ${how}: as much again costs as much again`, (t) => {
      const first = timesOf(start, 1)
      const { isLinear, told } = first.isLinear ? first : timesOf(start, 5)
      t.ok(isLinear, told)
      t.end()
    })
  }
}
