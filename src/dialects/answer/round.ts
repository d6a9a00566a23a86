import type { JsonForm } from '../plan/json-answer.ts'
import type { DueCall, RoundPlan } from '../plan/plan.ts'
import { type AnswerRoom, ENDLESS_ROOM, heapBytesOf, LongText } from './output-text.ts'
import type { CompleteCall, EndPart, EndReason, StreamPart } from './stream-part.ts'

export interface RoundReport {
  /** Everything the model said, as far as it can be sent back. */
  readonly text: string
  readonly searches: readonly CompleteCall[]
  readonly strays: readonly CompleteCall[]
  /** A whole call went to the client, which ends the answer. */
  readonly hasDelivered: boolean
  readonly end: EndPart
}

/** UTF-16 units of text and arguments that are held or sent back: twice the longest answer of any model. */
export const MAX_HELD_CHARS = 1_048_576

const CALL_BYTES = 1024

const NoParts: readonly StreamPart[] = []

/** Holds text that may turn out not to be the answer, and keeps the `end` and calls that are not for the client. */
export class RoundReader {
  readonly #dueCall: DueCall | null
  readonly #searchTool: string | null
  readonly #mustBeJson: boolean
  #isHolding: boolean
  readonly #room: AnswerRoom
  readonly #passed = new LongText()
  readonly #held = new LongText()
  /** Nothing more is added, so that the text has no gaps. */
  #isFull = false
  #isTooLong = false
  readonly #searches: CompleteCall[] = []
  readonly #strays: CompleteCall[] = []
  #kept: { readonly id: string; readonly name: string; readonly json: LongText } | null = null
  #hasDelivered = false
  #end: EndPart | null = null

  constructor({ jsonForm, dueCall, webSearch }: RoundPlan, room: AnswerRoom = ENDLESS_ROOM) {
    this.#room = room
    this.#dueCall = dueCall
    this.#searchTool = webSearch?.toolName ?? null
    this.#mustBeJson = jsonForm !== null
    this.#isHolding = this.#mustBeJson || dueCall !== null
  }

  push(part: StreamPart): readonly StreamPart[] {
    switch (part.type) {
      case 'text':
        return this.#readText(part)
      case 'tool-start':
        if (part.name !== this.#searchTool && !this.#isStray(part.name)) {
          return this.#mustBeJson ? [part] : [...this.release(), part]
        }
        this.#room.hold(CALL_BYTES)
        this.#kept = { id: part.id, name: part.name, json: new LongText() }
        return NoParts
      case 'tool-delta':
        if (this.#kept === null) return [part]
        if (this.#kept.json.length <= MAX_HELD_CHARS && this.#room.hold(heapBytesOf(part.json))) {
          this.#kept.json.add(part.json)
        }
        return NoParts
      case 'tool-end':
        if (this.#kept !== null) return this.#endKept(part.isCut === true)
        if (part.isCut !== true) this.#hasDelivered = true
        return [part]
      case 'end':
        this.#end = part
        return NoParts
      case 'reasoning':
      case 'signature':
      case 'redacted':
      case 'search':
        break
    }
    return [part]
  }

  /** Drops words around a call if JSON was asked for, since clients parse all text as JSON. */
  release(): readonly StreamPart[] {
    if (this.#mustBeJson && this.#hasDelivered) return NoParts
    this.#isHolding = false
    return this.#held.take().map((text) => {
      this.#passed.add(text)
      return { type: 'text', text }
    })
  }

  /** The end of the text is missing because it was longer than can be held. */
  get isTooLong(): boolean {
    return this.#isTooLong
  }

  report(): RoundReport {
    if (this.#end === null) throw new Error('the round has not ended')
    return {
      text: this.#passed.toString() + this.#held.toString(),
      searches: this.#searches,
      strays: this.#strays,
      hasDelivered: this.#hasDelivered,
      end: this.#end
    }
  }

  #readText(part: Extract<StreamPart, { type: 'text' }>): readonly StreamPart[] {
    const { text } = part
    const length = this.#passed.length + this.#held.length + text.length
    this.#isFull ||= length > MAX_HELD_CHARS || !this.#room.hold(heapBytesOf(text))
    if (this.#isFull && this.#isHolding) {
      if (!this.#mustBeJson) return [...this.release(), part]
      this.#isTooLong = true
    }
    if (!this.#isFull) (this.#isHolding ? this.#held : this.#passed).add(text)
    return this.#isHolding ? NoParts : [part]
  }

  #isStray(name: string): boolean {
    const wanted = this.#dueCall?.name ?? null
    return wanted !== null && name !== wanted
  }

  #endKept(isCut: boolean): readonly StreamPart[] {
    const kept = this.#kept
    this.#kept = null
    const isGone = kept === null || isCut || this.#room.isFull
    if (isGone || kept.json.length > MAX_HELD_CHARS) return NoParts
    const call = { ...kept, json: kept.json.take().join('') }
    if (this.#isStray(call.name)) this.#strays.push(call)
    else this.#searches.push(call)
    return NoParts
  }
}

export type RoundVerdict =
  /** Sends what is held, then the end with this reason. */
  | { readonly type: 'deliver'; readonly reason: EndReason }
  /** `reply` tells the model what is wrong, `problem` the client. */
  | { readonly type: 'repair'; readonly reply: string; readonly problem: string }
  /** The model wants searches; `isLast` if a call for the client is beside them, which ends the answer. */
  | { readonly type: 'search'; readonly isLast: boolean }

export type FindProblems = (text: string, form: JsonForm) => Promise<readonly string[]>

/** Delivers an answer that was cut, refused or stopped: its reason says so. One of calls alone need not be JSON. */
export async function judgeRound(
  report: RoundReport,
  plan: RoundPlan,
  { isTooLong, problemsOf }: { readonly isTooLong: boolean; readonly problemsOf: FindProblems }
): Promise<RoundVerdict> {
  const { searches, hasDelivered, end } = report
  if (end.reason === 'stop-sequence') return { type: 'deliver', reason: end.reason }
  if (searches.length > 0) return { type: 'search', isLast: hasDelivered }
  if (hasDelivered || (end.reason !== 'stop' && end.reason !== 'tool')) {
    return { type: 'deliver', reason: end.reason }
  }
  if (plan.dueCall !== null) return missingCall(plan.dueCall)
  if (plan.jsonForm === null) return { type: 'deliver', reason: 'stop' }
  const problems = isTooLong ? [TOO_LONG] : await problemsOf(report.text, plan.jsonForm)
  return problems.length === 0 ? { type: 'deliver', reason: 'stop' } : invalidJson(problems)
}

const TOO_LONG = 'it is too long to be checked'

function missingCall(due: DueCall): RoundVerdict {
  const wanted = due.name === null ? 'one of the tools' : `the tool "${due.name}"`
  const names = due.name === null ? due.oneOf : [due.name]
  const reminder = names.map((name) => `"${name}"`).join(' or ')
  return {
    type: 'repair',
    reply:
      `Your answer does not call ${wanted}, and it has to. ` +
      `Call the tool ${reminder} now, with complete arguments and without any text.`,
    problem: `The model did not call ${wanted}, which tool_choice asks for`
  }
}

function invalidJson(problems: readonly string[]): RoundVerdict {
  const list = problems.map((problem) => `- ${problem}`).join('\n')
  return {
    type: 'repair',
    reply:
      `Your answer is not the JSON that was asked for:\n${list}\n` +
      'Give the whole answer again: one valid JSON value that has none of these problems, and nothing else.',
    problem: 'The model did not answer with the JSON that the requested format describes'
  }
}
