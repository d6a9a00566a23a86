import type { Channel } from '../ipc/channel.ts'
import type { FromWorker, ToWorker } from '../ipc/messages.ts'
import { type Learnt, TokenCalibration } from '../kiro/token-calibration.ts'

export interface SharedCalibrationOptions {
  readonly channel: Pick<Channel<ToWorker, FromWorker>, 'send'>
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
}

/** As many messages and no more, however many requests end. */
const INTERVAL_MS = 1_000

/**
 * A worker's copy of what all workers have learnt of the upstream's tokenizers. What this one learns counts here at
 * once; the primary puts the lessons of all in one order, and what it says wins. So workers count alike, and one that
 * is started later knows what the others do.
 */
export class SharedCalibration {
  readonly #options: SharedCalibrationOptions
  readonly #calibration = new TokenCalibration()
  /** When a lesson of a model was last told. Bounded by the answers that end within INTERVAL_MS. */
  readonly #toldAt = new Map<string, number>()

  constructor(options: SharedCalibrationOptions) {
    this.#options = options
  }

  /** As `TokenCalibration.learn()`, but for a model once in a second: what is not told would make workers differ. */
  learn(modelId: string, estimated: number, measured: number): void {
    const { channel, now } = this.#options
    const at = now()
    if (at - (this.#toldAt.get(modelId) ?? -INTERVAL_MS) < INTERVAL_MS) return
    if (this.#calibration.learn(modelId, estimated, measured) === null) return
    for (const [id, toldAt] of this.#toldAt) if (at - toldAt >= INTERVAL_MS) this.#toldAt.delete(id)
    this.#toldAt.set(modelId, at)
    channel.send({ type: 'calibration.lesson', modelId, estimated, measured })
  }

  correct(modelId: string, estimated: number): number {
    return this.#calibration.correct(modelId, estimated)
  }

  onLearnt(learnt: Learnt): void {
    this.#calibration.adopt(learnt)
  }
}
