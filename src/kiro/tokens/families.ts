import { versionOf } from '../models/models.ts'
import { type CharWeights, type TextFamily, toPairTable } from './text-counter.ts'

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
const GPT: CharWeights = {
  word: 1.06,
  wordAfterIndent: 0.74,
  wordAfterSymbol: 1.11,
  wordAfterDigit: 1.43,
  hump: 0.59,
  letter: 0.01,
  lateLetter: 0.3,
  capital: 0.13,
  smallAfterCapital: 0.7,
  number: 1.4,
  numberAfterLetter: 0.83,
  digit: 0.2,
  symbol: 0.23,
  symbolAfterSpace: 0.65,
  symbolAfterIndent: 0.74,
  symbolAfterWord: 0.17,
  lineEnd: 0.56,
  lineEndAfterSymbol: 0.13,
  blankLine: 0.05,
  indent: 0.97,
  indentSpace: 0.01,
  otherLetter: 0.13,
  cjk: 0.68,
  cjkStart: 0.7,
  sign: 1.1,
  signAfterSign: 0.4,
  emoji: 3
}

/** Fitted to the vocabulary that Anthropic has published, a quarter, and to cl100k, and for CJK to kiro-protocol §6.2. */
const CLAUDE: CharWeights = {
  word: 1.14,
  wordAfterIndent: 0.32,
  wordAfterSymbol: 1.26,
  wordAfterDigit: 1.52,
  hump: 0.29,
  letter: 0.01,
  lateLetter: 0.3,
  capital: 0.19,
  smallAfterCapital: 1.07,
  number: 1.5,
  numberAfterLetter: 0.86,
  digit: 0.2,
  symbol: 0.22,
  symbolAfterSpace: 0.65,
  symbolAfterIndent: 0.52,
  symbolAfterWord: 0.13,
  lineEnd: 0.77,
  lineEndAfterSymbol: 0.51,
  blankLine: 0.05,
  indent: 1.16,
  indentSpace: 0.01,
  otherLetter: 0.34,
  cjk: 1.1,
  cjkStart: 0.44,
  sign: 1.1,
  signAfterSign: 0.4,
  emoji: 3
}

const GPT_TABLE = toPairTable(GPT)
const CLAUDE_TABLE = toPairTable(CLAUDE)

/** Claude 3 and 4 count about 15 % more than cl100k does (kiro-protocol §6.2), which is this much of the table. */
const CLAUDE_RATIO = 1.085
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
