import type { AskedAnswer, ReplyPlan } from '../plan/plan.ts'
import type { AnswerRoom } from './long-text.ts'
import type { StreamPart } from './stream-part.ts'
import { type TextCall, TextCalls } from './text-calls.ts'
import { JsonFence, StopSequences, ThinkingTags } from './text-stages.ts'
import type { AnswerLimit, UsageMeter } from './usage.ts'

export interface AnswerTextOptions {
  readonly plan: ReplyPlan
  readonly meter: UsageMeter
  readonly limit: AnswerLimit
  /** For what is held. */
  readonly room: AnswerRoom
}

const NoCalls: readonly TextCall[] = []

/**
 * The way of the model's text to the client. Text passes at once unless something must be held.
 *
 * ```
 *   thinking tags ─▶ stop strings, code fence ─▶ calls written as text ─▶ client's limit
 * ```
 */
export class AnswerText {
  readonly #meter: UsageMeter
  readonly #limit: AnswerLimit
  readonly #tags: ThinkingTags | null
  readonly #filter: TextFilter
  readonly #calls: TextCalls
  readonly #isOpen: boolean

  constructor({ plan, meter, limit, room }: AnswerTextOptions) {
    this.#meter = meter
    this.#limit = limit
    this.#tags = plan.reasoning === 'tags' ? new ThinkingTags() : null
    this.#filter = new TextFilter(plan.asked, room)
    this.#calls = new TextCalls(plan.asked.isJsonAnswer ? {} : plan.textCallForms, room)
    this.#isOpen = this.#tags === null && this.#filter.isOpen && this.#calls.isDone && limit.isNone
  }

  /** The stop string that ended the text; null while none did. */
  get stopSequence(): string | null {
    return this.#filter.stopSequence
  }

  push(text: string, out: StreamPart[]): void {
    if (this.#isOpen) {
      this.#meter.addText(text)
      out.push({ type: 'text', text })
    } else if (this.#tags === null) this.#pass(text, out)
    else this.#passSplit(this.#tags.push(text), out)
  }

  /** Reasoning that the model tells apart by itself. */
  reason(text: string, out: StreamPart[]): void {
    this.#meter.addReasoning(text)
    const fitting = this.#limit.take(text)
    if (fitting !== '') out.push({ type: 'reasoning', text: fitting })
  }

  /** Text that is held goes before whatever comes next. */
  release(out: StreamPart[]): void {
    const passed = this.#releaseFilters(out)
    this.#give(passed + this.#calls.release(), out)
  }

  /** Nothing comes next, and nothing but text came before: what is held may be calls. */
  end(out: StreamPart[]): readonly TextCall[] {
    const passed = this.#releaseFilters(out)
    if (this.stopSequence !== null) {
      this.#give(passed + this.#calls.release(), out)
      return NoCalls
    }
    const { text, calls } = this.#calls.end()
    this.#give(passed + text, out)
    return calls
  }

  #releaseFilters(out: StreamPart[]): string {
    if (this.#tags !== null) this.#passSplit(this.#tags.release(), out)
    return this.#calls.push(this.#filter.release())
  }

  #passSplit(
    split: { readonly reasoning: string; readonly text: string },
    out: StreamPart[]
  ): void {
    if (split.reasoning !== '') this.reason(split.reasoning, out)
    if (split.text !== '') this.#pass(split.text, out)
  }

  #pass(delta: string, out: StreamPart[]): void {
    this.#meter.addText(delta)
    this.#give(this.#calls.push(this.#filter.push(delta)), out)
  }

  #give(text: string, out: StreamPart[]): void {
    const fitting = text === '' ? '' : this.#limit.take(text)
    if (fitting !== '') out.push({ type: 'text', text: fitting })
  }
}

/** What stands between the model's text and the client: stop strings first, then the code fence. */
export class TextFilter {
  readonly #stops: StopSequences
  readonly #fence: JsonFence | null

  constructor(asked: Pick<AskedAnswer, 'stopSequences' | 'isJsonAnswer'>, room: AnswerRoom) {
    this.#stops = new StopSequences(asked.stopSequences)
    this.#fence = asked.isJsonAnswer ? new JsonFence(room) : null
  }

  /** Lets all text through as it is, so that it need not be asked. */
  get isOpen(): boolean {
    return this.#fence === null && this.#stops.isEmpty
  }

  /** The stop string that ended the text; null while none did. */
  get stopSequence(): string | null {
    return this.#stops.match
  }

  push(delta: string): string {
    const text = this.#stops.push(delta)
    return this.#fence === null ? text : this.#fence.push(text)
  }

  /** Gives out what is held, for the end of the text or something else coming up in the answer. */
  release(): string {
    const text = this.#stops.release()
    return this.#fence === null ? text : this.#fence.push(text) + this.#fence.release()
  }
}
