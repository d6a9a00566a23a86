import type { AnswerRoom } from './answer-room.ts'
import { JsonFence } from './json-fence.ts'
import type { ReplyPlan } from './reply-plan.ts'
import { StopSequences } from './stop-sequences.ts'

/** What stands between the model's text and the client: stop strings first, then the code fence. */
export class TextFilter {
  readonly #stops: StopSequences
  readonly #fence: JsonFence | null

  constructor(plan: Pick<ReplyPlan, 'stopSequences' | 'isJsonAnswer'>, room: AnswerRoom) {
    this.#stops = new StopSequences(plan.stopSequences)
    this.#fence = plan.isJsonAnswer ? new JsonFence(room) : null
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
