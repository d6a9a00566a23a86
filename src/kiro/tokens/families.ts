import { versionOf } from '../models/models.ts'
import { type TextFamily, toPairTable } from './text-counter.ts'

/** A kind of model, whose members count alike until more is learnt of each. */
export interface TokenFamily extends TextFamily {
  /** Tokens of an image of so many pixels. */
  readonly imageTokens: (size: ImageSize) => number
}

export interface ImageSize {
  readonly width: number
  readonly height: number
}

/** Fitted to o200k, the vocabulary of GPT since 4o. Vocabularies of open models are close to it. */
const GPT_TABLE = toPairTable(`
             small capital   digit   space lineEnd  symbol   other     cjk    sign   emoji  indent    late
  start       1.04    1.06    1.40    0.00    0.56    0.87    1.19    1.38    1.10    3.00       -       -
  small       0.03    0.53    0.67    0.00    1.10    0.49    0.13    1.38    1.09    3.00       -    0.30
  capital     0.38    0.16    0.88    0.00    0.58    0.30    0.13    1.38    1.10    3.00       -       -
  digit       1.25    1.41    0.25    0.00    0.74    0.81    1.19    1.38    1.09    3.00       -       -
  space       0.96    1.08    1.46       -    0.56    1.01    1.19    1.38    1.05    3.00    1.11       -
  lineEnd     0.92    1.00    1.42       -    0.04    1.04    1.19    1.38    1.07    3.00    0.95       -
  symbol      1.07    0.69    1.54    0.00    0.00    0.21    1.19    1.38    1.12    3.00       -       -
  other       0.01    1.07    1.40    0.00    0.56    0.23    0.13    1.38    1.10    3.00       -       -
  cjk         1.07    1.07    1.40    0.00    0.56    0.23    1.19    0.68    1.10    3.00       -       -
  sign        1.05    1.07    1.38    0.00    0.54    0.27    1.19    1.38    0.28    3.00       -       -
  emoji       1.07    1.07    1.40    0.00    0.56    0.23    1.19    1.38    1.10    3.00       -       -
  indent      0.68    0.77    1.56       -    0.56    0.96    1.19    1.38    1.13    3.00    0.01       -
  late           -    0.60    0.83    0.00    0.56    0.37    0.13    1.38    1.10    3.00       -    0.30
`)

/** Fitted to cl100k, and for CJK to kiro-protocol §6.2. */
const CLAUDE_TABLE = toPairTable(`
             small capital   digit   space lineEnd  symbol   other     cjk    sign   emoji  indent    late
  start       1.06    1.08    1.42    0.00    0.73    0.82    1.40    1.45    1.04    2.83       -       -
  small       0.03    0.29    0.64    0.00    1.25    0.47    0.32    1.45    1.02    2.83       -    0.28
  capital     0.55    0.15    0.87    0.00    0.75    0.20    0.32    1.45    1.04    2.83       -       -
  digit       1.30    1.38    0.20    0.00    0.86    0.78    1.40    1.45    1.03    2.83       -       -
  space       0.97    0.98    1.48       -    0.73    1.03    1.40    1.45    1.04    2.83    1.33       -
  lineEnd     0.93    0.98    1.43       -    0.02    1.01    1.40    1.45    1.02    2.83    1.21       -
  symbol      1.08    0.74    1.59    0.00    0.00    0.19    1.40    1.45    1.06    2.83       -       -
  other       0.01    1.08    1.42    0.00    0.73    0.21    0.32    1.45    1.04    2.83       -       -
  cjk         1.08    1.08    1.42    0.00    0.73    0.21    1.40    1.04    1.04    2.83       -       -
  sign        1.06    1.08    1.40    0.00    0.74    0.25    1.40    1.45    0.33    2.83       -       -
  emoji       1.08    1.08    1.42    0.00    0.73    0.21    1.40    1.45    1.04    2.83       -       -
  indent      0.44    0.35    1.54       -    0.73    0.74    1.40    1.45    1.05    2.83    0.01       -
  late           -    0.28    0.81    0.00    0.73    0.29    0.32    1.45    1.04    2.83       -    0.28
`)

/** Claude 3 and 4 count about 15 % more than cl100k does (kiro-protocol §6.2). */
const CLAUDE_RATIO = 1.15
/** Anthropic's figure for its newer tokenizer, against the one before. */
const NEWER_RATIO = 1.3
/** Opus 4.7. Ranks as in `versionOf()`. */
const FIRST_NEWER = 4007

const CLAUDE_FAMILY: TokenFamily = {
  table: CLAUDE_TABLE,
  ratio: CLAUDE_RATIO,
  imageTokens: byArea
}
const NEWER_CLAUDE_FAMILY: TokenFamily = { ...CLAUDE_FAMILY, ratio: CLAUDE_RATIO * NEWER_RATIO }
const GPT_FAMILY: TokenFamily = { table: GPT_TABLE, ratio: 1, imageTokens: byPatches }
const OPEN_FAMILY: TokenFamily = { table: GPT_TABLE, ratio: 1.03, imageTokens: byArea }

export function familyOf(modelId: string): TokenFamily {
  const version = versionOf(modelId)
  if (version?.family === 'gpt') return GPT_FAMILY
  if (version !== null && version.rank >= FIRST_NEWER) return NEWER_CLAUDE_FAMILY
  // `auto` is nearly always answered by a Claude model.
  return version !== null || modelId === 'auto' ? CLAUDE_FAMILY : OPEN_FAMILY
}

/** Anthropic's rule: a token for 750 pixels, of an image that is scaled down to these. */
const LONGEST_EDGE = 1568
const PIXELS_PER_TOKEN = 750
const MAX_AREA_TOKENS = 1600

function byArea({ width, height }: ImageSize): number {
  const scale = Math.min(1, LONGEST_EDGE / Math.max(width, height))
  return Math.min(MAX_AREA_TOKENS, (width * scale * height * scale) / PIXELS_PER_TOKEN)
}

/** OpenAI's rule: a token for each patch, of an image that is scaled down to these. */
const PATCH_EDGE = 32
const MAX_PATCHES = 1536

function byPatches({ width, height }: ImageSize): number {
  return Math.min(MAX_PATCHES, Math.ceil(width / PATCH_EDGE) * Math.ceil(height / PATCH_EDGE))
}
