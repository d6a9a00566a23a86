import type { ReplyPlan } from '../plan/plan.ts'
import type { AnswerRoom } from './output-text.ts'
import type { StreamPart } from './stream-part.ts'
import { type TextCall, TextCalls } from './text-calls.ts'
import {
  JsonFence,
  StopSequences,
  type TextStage,
  ThinkingTags,
  type ThinkingSplit
} from './text-stages.ts'
import type { AnswerLimit, UsageMeter } from './usage.ts'

interface AnswerTextOptions {
  readonly plan: ReplyPlan
  readonly meter: UsageMeter
  readonly limit: AnswerLimit
  /** For what is held. */
  readonly room: AnswerRoom
  /** A stop string has ended the text. */
  readonly onStop: (sequence: string) => void
}

const NoCalls: readonly TextCall[] = []

/**
 * Passes the model's text on to the client, through those stages only that the request needs: text is delayed only where
 * one of them must hold it.
 *
 * ```
 *   thinking tags ─▶ stop strings ─▶ code fence ─▶ calls written as text ─▶ client's limit
 * ```
 */
export class AnswerText {
  readonly #meter: UsageMeter
  readonly #limit: AnswerLimit
  readonly #tags: ThinkingTags | null
  readonly #calls: TextCalls | null
  readonly #stages: readonly TextStage[]
  #isStopped = false

  constructor({ plan, meter, limit, room, onStop }: AnswerTextOptions) {
    const { stopSequences, isJsonAnswer } = plan.asked
    const offersTools = Object.keys(plan.textCallForms).length > 0
    this.#meter = meter
    this.#limit = limit
    this.#tags = plan.reasoning === 'tags' ? new ThinkingTags() : null
    this.#calls = offersTools && !isJsonAnswer ? new TextCalls(plan.textCallForms, room) : null
    const stop = (sequence: string): void => {
      this.#isStopped = true
      onStop(sequence)
    }
    this.#stages = [
      ...(stopSequences.length > 0 ? [new StopSequences(stopSequences, stop)] : []),
      ...(isJsonAnswer ? [new JsonFence(room)] : []),
      ...(this.#calls === null ? [] : [this.#calls]),
      ...(limit.isNone ? [] : [limit])
    ]
  }

  push(text: string): readonly StreamPart[] {
    if (this.#tags === null) return this.#pass(text)
    const out: StreamPart[] = []
    this.#passSplit(this.#tags.push(text), out)
    return out
  }

  /** Reasoning that the model marks as such. */
  reason(text: string, out: StreamPart[]): void {
    this.#meter.addReasoning(text)
    const fitting = this.#limit.push(text)
    if (fitting !== '') out.push({ type: 'reasoning', text: fitting })
  }

  /** Gives out held text, before other parts. */
  release(out: StreamPart[]): void {
    this.#releaseStages((stage) => stage.release(), out)
  }

  /** The end of an answer of text only: what is held may be calls. */
  end(out: StreamPart[]): readonly TextCall[] {
    let found = NoCalls
    const endOf = (stage: TextStage): string => {
      if (stage === this.#calls && !this.#isStopped) found = this.#calls.takeCalls()
      return stage.release()
    }
    this.#releaseStages(endOf, out)
    return found
  }

  #releaseStages(heldOf: (stage: TextStage) => string, out: StreamPart[]): void {
    if (this.#tags !== null) this.#passSplit(this.#tags.release(), out)
    let text = ''
    for (const stage of this.#stages) text = stage.push(text) + heldOf(stage)
    if (text !== '') out.push({ type: 'text', text })
  }

  #passSplit(split: ThinkingSplit, out: StreamPart[]): void {
    if (split.reasoning !== '') this.reason(split.reasoning, out)
    if (split.text !== '') out.push(...this.#pass(split.text))
  }

  /** Made in one piece: a list that grows has room for many from the start. */
  #pass(delta: string): readonly StreamPart[] {
    this.#meter.addText(delta)
    let text = delta
    for (const stage of this.#stages) text = stage.push(text)
    return text === '' ? [] : [{ type: 'text', text }]
  }
}
