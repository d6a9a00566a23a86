import { setNewest } from '../../shared/newest.ts'
import { versionOf } from './models.ts'

/** English prose, code and JSON average 3.6 characters per token in current tokenizers. */
const TOKENS_PER_ASCII_CHAR = 1 / 3.6

/** A CJK character is about one token, and has two UTF-8 bytes more than UTF-16 units. */
const TOKENS_PER_EXTRA_BYTE = 0.5

/**
 * Needs no tokenizer: UTF-8 bytes beyond UTF-16 units show how much is not ASCII. For many small pieces add
 * up {@link weighTokens} and round once.
 */
export function estimateTokens(text: string): number {
  return Math.ceil(weighTokens(text))
}

/** Unrounded, so that pieces add up to the estimate of the whole. */
export function weighTokens(text: string): number {
  return tokensOf(text.length, Buffer.byteLength(text) - text.length)
}

export function tokensOf(chars: number, extraBytes: number): number {
  const asciiChars = Math.max(0, chars - extraBytes / 2)
  return asciiChars * TOKENS_PER_ASCII_CHAR + extraBytes * TOKENS_PER_EXTRA_BYTE
}

/** Smaller requests say more about overhead than about the tokenizer. */
const LEAST_TOKENS = 200

/** Weight of the past for each new request: the last ten or so decide. */
const MEMORY = 0.9

const LEAST_RATIO = 0.4
const MOST_RATIO = 2.5

const MAX_MODELS = 64

/** Anthropic's figure for its newer tokenizer. */
const NEWER_RATIO = 1.3
/** Opus 4.7. Ranks as in `versionOf()`. */
const FIRST_NEWER = 4007

function firstRatioOf(modelId: string): number {
  const version = versionOf(modelId)
  const isNewer = version !== null && version.family !== 'gpt' && version.rank >= FIRST_NEWER
  return isNewer ? NEWER_RATIO : 1
}

export interface Learnt {
  readonly modelId: string
  readonly estimated: number
  readonly measured: number
}

/** Corrects estimates per model: tokenizers differ by up to a half, but hardly between requests of one session. */
export class TokenCalibration {
  readonly #models = new Map<string, Learnt>()

  /** `estimated` is uncorrected. `null` if nothing was learnt. */
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

  adopt(learnt: Learnt): void {
    const { modelId, estimated, measured } = learnt
    setNewest(this.#models, MAX_MODELS, modelId, { modelId, estimated, measured })
  }

  learnt(): Iterable<Learnt> {
    return this.#models.values()
  }

  /** Uses the vendor's figure until something is learnt. Never 0. */
  correct(modelId: string, estimated: number): number {
    const learnt = this.#models.get(modelId)
    const ratio = learnt === undefined ? firstRatioOf(modelId) : learnt.measured / learnt.estimated
    return Math.max(1, Math.round(estimated * ratio))
  }
}
