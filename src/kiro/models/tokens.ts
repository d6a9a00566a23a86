import { versionOf } from './models.ts'

/** English prose, code and JSON average 3.6 characters to a token in current tokenizers. */
const TOKENS_PER_ASCII_CHAR = 1 / 3.6

/** A CJK character is about one token and has two UTF-8 bytes more than UTF-16 units. */
const TOKENS_PER_EXTRA_BYTE = 0.5

/**
 * Estimates how many tokens a model makes of `text`; 0 only for empty text.
 *
 * One native pass and no tokenizer: the UTF-8 length beyond the UTF-16 length tells how much of the
 * text is not ASCII. To count many small pieces, add up {@link weighTokens} and round once.
 */
export function estimateTokens(text: string): number {
  return Math.ceil(weighTokens(text))
}

/** The estimate before rounding, so that pieces of one text add up to the estimate of the whole. */
export function weighTokens(text: string): number {
  return tokensOf(text.length, Buffer.byteLength(text) - text.length)
}

/** The same from lengths alone: UTF-16 units, and the UTF-8 bytes that go beyond them. */
export function tokensOf(chars: number, extraBytes: number): number {
  const asciiChars = Math.max(0, chars - extraBytes / 2)
  return asciiChars * TOKENS_PER_ASCII_CHAR + extraBytes * TOKENS_PER_EXTRA_BYTE
}

/** A smaller request says more about constants than about the tokenizer. */
const LEAST_TOKENS = 200

/** Weight of earlier requests when a new one is learnt from: the last ten or so decide. */
const MEMORY = 0.9

/** No tokenizer is further from the estimate than this; a figure beyond is some error of the upstream. */
const LEAST_RATIO = 0.4
const MOST_RATIO = 2.5

/** More models than an upstream has; beyond it the one that was learnt first is forgotten. */
const MAX_MODELS = 64

/** Ratio of tokens of Claude's newer tokenizer for a text, by its maker's own figure. */
const NEWER_RATIO = 1.3
/** First version of Claude's families with it: Opus 4.7 and all later models. Ranks are those of `versionOf()`. */
const FIRST_NEWER = 4007

function firstRatioOf(modelId: string): number {
  const version = versionOf(modelId)
  const isNewer = version !== null && version.family !== 'gpt' && version.rank >= FIRST_NEWER
  return isNewer ? NEWER_RATIO : 1
}

/** Correction learnt for a model's tokenizer: two weighted sums, whose ratio corrects an estimate. */
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
    if (estimated < LEAST_TOKENS || !(ratio >= LEAST_RATIO && ratio <= MOST_RATIO)) return null
    const before = this.#models.get(modelId)
    const learnt = {
      modelId,
      estimated: (before?.estimated ?? 0) * MEMORY + estimated,
      measured: (before?.measured ?? 0) * MEMORY + measured
    }
    this.adopt(learnt)
    return learnt
  }

  /** Takes over what another has learnt of a model. */
  adopt(learnt: Learnt): void {
    const { modelId, estimated, measured } = learnt
    const [first] = this.#models.keys()
    const isFull = this.#models.size >= MAX_MODELS && !this.#models.has(modelId)
    if (isFull && first !== undefined) this.#models.delete(first)
    this.#models.set(modelId, { modelId, estimated, measured })
  }

  /** Corrections of all models. */
  learnt(): Iterable<Learnt> {
    return this.#models.values()
  }

  /** The estimate as it should be for this model; by what its maker says while nothing was learnt. Never 0. */
  correct(modelId: string, estimated: number): number {
    const learnt = this.#models.get(modelId)
    const ratio = learnt === undefined ? firstRatioOf(modelId) : learnt.measured / learnt.estimated
    return Math.max(1, Math.round(estimated * ratio))
  }
}
