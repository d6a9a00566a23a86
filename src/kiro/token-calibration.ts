/** A smaller request says more about constants than about the tokenizer. */
const LeastTokens = 200

/** What earlier requests still weigh when one more is learnt from: the last ten or so decide. */
const Memory = 0.9

/** No tokenizer is further from the estimate than this; a figure beyond is some error of the upstream. */
const LeastRatio = 0.4
const MostRatio = 2.5

/** More models than an upstream has; beyond it the one that was learnt first is forgotten. */
const MaxModels = 64

/** What was learnt of a model's tokenizer: two weighted sums, whose ratio corrects an estimate. */
export interface Learnt {
  readonly modelId: string
  readonly estimated: number
  readonly measured: number
}

/**
 * Corrects the local estimate of a request's tokens by what the upstream said of earlier ones, for each model by
 * itself: tokenizers differ by up to a half, but hardly between the requests of one session.
 */
export class TokenCalibration {
  readonly #models = new Map<string, Learnt>()

  /** The upstream counted `measured` tokens where the bare estimate was `estimated`. `null` if that teaches nothing. */
  learn(modelId: string, estimated: number, measured: number): Learnt | null {
    const ratio = measured / estimated
    if (estimated < LeastTokens || !(ratio >= LeastRatio && ratio <= MostRatio)) return null
    const before = this.#models.get(modelId)
    const learnt = {
      modelId,
      estimated: (before?.estimated ?? 0) * Memory + estimated,
      measured: (before?.measured ?? 0) * Memory + measured
    }
    this.adopt(learnt)
    return learnt
  }

  /** Takes over what another has learnt of a model. */
  adopt(learnt: Learnt): void {
    if (!this.#models.has(learnt.modelId)) this.#makeRoom()
    const { modelId, estimated, measured } = learnt
    this.#models.set(modelId, { modelId, estimated, measured })
  }

  /** Of each model. */
  learnt(): Iterable<Learnt> {
    return this.#models.values()
  }

  /** The estimate as it should be for this model; as it is while nothing was learnt. Never 0. */
  correct(modelId: string, estimated: number): number {
    const learnt = this.#models.get(modelId)
    const ratio = learnt === undefined ? 1 : learnt.measured / learnt.estimated
    return Math.max(1, Math.round(estimated * ratio))
  }

  #makeRoom(): void {
    if (this.#models.size < MaxModels) return
    const [first] = this.#models.keys()
    if (first !== undefined) this.#models.delete(first)
  }
}
