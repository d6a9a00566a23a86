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
  readonly room: AnswerRoom
  readonly onStop: (sequence: string) => void
}

const NoCalls: readonly TextCall[] = []

/**
 * Passes the model's text on through the stages that the request needs, so that only these delay it.
 *
 *   thinking tags ─▶ stop strings ─▶ code fence ─▶ calls written as text ─▶ client's limit
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

  reason(text: string, out: StreamPart[]): void {
    this.#meter.addReasoning(text)
    const fitting = this.#limit.push(text)
    if (fitting !== '') out.push({ type: 'reasoning', text: fitting })
  }

  release(out: StreamPart[]): void {
    this.#releaseStages((stage) => stage.release(), out)
  }

  /** Ends an answer without real calls: held text may be calls. */
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

  /** Makes the array in one piece: one that grows reserves room for many from the start. */
  #pass(delta: string): readonly StreamPart[] {
    this.#meter.addText(delta)
    let text = delta
    for (const stage of this.#stages) text = stage.push(text)
    return text === '' ? [] : [{ type: 'text', text }]
  }
}
