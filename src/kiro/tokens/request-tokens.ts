import { signatureOf } from '../conversation/signed-reasoning.ts'
import { versionOf } from '../models/models.ts'
import type {
  HistoryEntry,
  UpstreamDocument,
  UpstreamPayload,
  UserInputMessage
} from '../wire/payload.ts'
import { type ImageSize, imageSizeOf } from './image-size.ts'
import {
  countJson,
  TextCounter,
  type TextFamily,
  type TextScale,
  type TextTokens,
  toPairTable
} from './text-counter.ts'

/** Parts of a request that are counted, and corrected, each by itself. */
export const TOKEN_GROUPS = [
  'words',
  'symbols',
  'space',
  'wide',
  'images',
  'documents',
  'tools',
  'structure'
] as const

/** Tokens by group, in the order of `TOKEN_GROUPS`, before what was learnt corrects them. Plain data: it crosses threads. */
export type GroupTokens = readonly number[]

export function sumOfGroups(tokens: GroupTokens): number {
  return tokens.reduce((sum, one) => sum + one, 0)
}

/** Tokens of a whole text, at least 1 for any. */
export function countTextTokens(modelId: string, text: string, scale?: TextScale): number {
  if (text === '') return 0
  return Math.max(1, Math.ceil(new TextCounter(familyOf(modelId), scale).add(text).tokens))
}

// kiro-protocol §6.2, but for images
const TOKENS_PER_MESSAGE = 4
const TOKENS_AT_END = 3
/** A tool stands in the prompt as JSON, whose frame has so many; and with tools comes a text that explains them. */
const TOKENS_PER_TOOL = 12
const TOOL_PROMPT_TOKENS = 300
/** An image without a readable size: a screenshot. */
const USUAL_IMAGE_TOKENS = 1500
/** Small documents take some more for their pages. */
const TOKENS_PER_DOCUMENT = 100
/** Characters of base64: a PDF is compressed and has pictures, and a text becomes longer by a third. */
const BINARY_CHARS_PER_TOKEN = 30
const TEXT_CHARS_PER_TOKEN = 4.8
const TEXT_FORMATS: readonly string[] = ['csv', 'html', 'txt', 'md']

/** Everything in history entries that is counted by itself, or not at all. Plain data: it crosses threads. */
export interface EntryCounts {
  readonly entries: number
  readonly users: number
  readonly tools: number
  readonly results: number
  readonly images: number
  readonly documents: number
  readonly imageTokens: number
  readonly documentTokens: number
  readonly attachments: readonly UncountedText[]
}

/** Counts of entries of which not all are counted yet. */
type Counting = { -readonly [Name in keyof EntryCounts]: EntryCounts[Name] } & {
  readonly attachments: UncountedText[]
}

/** Base64 data of an attachment, which is not counted as text: its start, by which it is found, and its length. */
export interface UncountedText {
  readonly start: string
  readonly chars: number
}

export const NO_ENTRIES: EntryCounts = {
  entries: 0,
  users: 0,
  tools: 0,
  results: 0,
  images: 0,
  documents: 0,
  imageTokens: 0,
  documentTokens: 0,
  attachments: []
}

/** Adds entries to those before them. */
export function countEntries(
  entries: readonly HistoryEntry[],
  modelId: string,
  before = NO_ENTRIES
): EntryCounts {
  const { imageTokens } = familyOf(modelId)
  const attachments = [...before.attachments]
  const counts = { ...before, entries: before.entries + entries.length, attachments }
  for (const entry of entries) {
    if ('userInputMessage' in entry) {
      addUser(counts, entry.userInputMessage, imageTokens)
      continue
    }
    const signature = signatureOf(entry)
    if (signature !== undefined) attachments.push(toUncounted(signature))
  }
  return counts
}

function addUser(
  counts: Counting,
  message: UserInputMessage,
  imageTokens: TokenFamily['imageTokens']
): void {
  const { images = [], documents = [], userInputMessageContext: context = {} } = message
  counts.users += 1
  counts.tools += context.tools?.length ?? 0
  counts.results += context.toolResults?.length ?? 0
  if (images.length + documents.length === 0) return
  counts.images += images.length
  counts.documents += documents.length
  for (const { format, source } of images) {
    const size = imageSizeOf(format, source.bytes)
    counts.imageTokens += size === null ? USUAL_IMAGE_TOKENS : imageTokens(size)
  }
  for (const document of documents) counts.documentTokens += documentTokens(document)
  // In the order of the request's JSON.
  for (const name of Object.keys(message)) {
    const list = name === 'images' ? images : name === 'documents' ? documents : []
    counts.attachments.push(...list.map(({ source }) => toUncounted(source.bytes)))
  }
}

function toUncounted(base64: string): UncountedText {
  return { start: base64.slice(0, SOUGHT_CHARS), chars: base64.length }
}

/** Entries at the beginning of a history, in the bytes of its request. */
export interface EntriesPlace {
  readonly from: number
  readonly to: number
  /** Attachments in them. */
  readonly attachments: number
}

/** Count of the text of such entries, to go on from in a later request that begins with them. Plain data: it crosses threads. */
export interface CountedEntries extends TextTokens {
  readonly place: EntriesPlace
  /** End of the last attachment. */
  readonly attachedTo: number
}

export interface RequestCount {
  readonly tokens: GroupTokens
  /** `null` where they cannot be counted by themselves, or are not asked for. */
  readonly settling: CountedEntries | null
}

export interface KnownEntries {
  /** Entries that stand in the text in front of the payload's own, and the count of their text. */
  readonly before?: EntryCounts | undefined
  readonly counted?: CountedEntries | null | undefined
  /** Entries whose count is wanted; they begin with those before. */
  readonly settling?: EntriesPlace | undefined
}

/**
 * Counts a request by its JSON text, in time that is bounded for each byte.
 */
export function countRequest(
  payload: UpstreamPayload,
  bytes: Buffer,
  { before = NO_ENTRIES, counted = null, settling }: KnownEntries = {}
): RequestCount {
  const { currentMessage, history = [] } = payload.conversationState
  const { modelId } = currentMessage.userInputMessage
  const family = familyOf(modelId)
  const counts = countEntries([...history, currentMessage], modelId, before)
  const request = { bytes, attachments: counts.attachments, table: family.table }
  const text =
    (counted === null ? null : countBehind(request, counted, settling ?? null)) ??
    countText(new TextSum(request), request, settling ?? null)
  const frames = countFrames(payload, counts, family)
  const { ratio } = family
  const tokens = [
    Math.max(0, text.words - frames.words) * ratio,
    Math.max(0, text.symbols - frames.symbols) * ratio,
    text.space * ratio,
    text.wide * ratio,
    counts.imageTokens,
    counts.documentTokens,
    counts.tools === 0 ? 0 : TOOL_PROMPT_TOKENS + counts.tools * TOKENS_PER_TOOL,
    TOKENS_AT_END + counts.entries * TOKENS_PER_MESSAGE
  ]
  return { tokens, settling: text.settling }
}

function documentTokens({ format, source }: UpstreamDocument): number {
  const isText = TEXT_FORMATS.includes(format)
  const charsPerToken = isText ? TEXT_CHARS_PER_TOKEN : BINARY_CHARS_PER_TOKEN
  return TOKENS_PER_DOCUMENT + source.bytes.length / charsPerToken
}

/** Start of an attachment that is looked for. */
const SOUGHT_CHARS = 64
/** Attachments that are not found before the search is given up, which would take a second look at all that follows. */
const MAX_MISSED = 4

interface CountedRequest {
  readonly bytes: Buffer
  readonly attachments: readonly UncountedText[]
  readonly table: TokenFamily['table']
}

/** Count of a text so far. */
class TextSum implements TextTokens {
  words = 0
  symbols = 0
  space = 0
  wide = 0
  /** End of what was counted or left out. */
  at = 0
  readonly #bytes: Buffer
  readonly #table: TokenFamily['table']

  constructor({ bytes, table }: Pick<CountedRequest, 'bytes' | 'table'>) {
    this.#bytes = bytes
    this.#table = table
  }

  /** Counts up to there. Comes to the same in parts that end where no word, number or escape goes on. */
  addTo(to: number): void {
    if (to > this.at) this.add(countJson(this.#bytes, { from: this.at, to }, this.#table))
    this.at = Math.max(this.at, to)
  }

  add({ words, symbols, space, wide }: TextTokens): void {
    this.words += words
    this.symbols += symbols
    this.space += space
    this.wide += wide
  }
}

interface TextCount extends TextTokens {
  readonly settling: CountedEntries | null
}

/** Counts what follows counted entries. `null` if they have to be counted again. */
function countBehind(
  request: CountedRequest,
  counted: CountedEntries,
  settling: EntriesPlace | null
): TextCount | null {
  const { place, attachedTo } = counted
  const { bytes, attachments } = request
  const [next] = attachments.slice(place.attachments)
  const found = next === undefined ? -1 : indexOfAttachment(bytes, next, attachedTo)
  if (found !== -1 && found < place.to) return null
  const sum = new TextSum(request)
  sum.addTo(place.from)
  sum.add(counted)
  sum.at = place.to
  return countText(sum, request, settling, counted)
}

/** Adds up the texts between the attachments. The same beginning always has the same count. */
function countText(
  sum: TextSum,
  { bytes, attachments }: CountedRequest,
  settling: EntriesPlace | null,
  counted: CountedEntries | null = null
): TextCount {
  if (counted === null && settling !== null) sum.addTo(settling.from)
  const begin = counted === null ? tokensOf(sum) : differenceOf(sum, counted)
  let made: CountedEntries | null = null
  let [attachedTo, missed] = [counted?.attachedTo ?? 0, 0]
  /** Counts up to the end of the settling entries, unless the next attachment seems to stand in them. */
  const settle = (next: number): void => {
    if (settling === null || missed > 0 || next < settling.to) return
    sum.addTo(settling.to)
    made = { ...differenceOf(sum, begin), place: settling, attachedTo }
  }
  for (let index = counted?.place.attachments ?? 0; index < attachments.length; index++) {
    const attachment = attachments[index]
    if (attachment === undefined) break
    const found = indexOfAttachment(bytes, attachment, attachedTo)
    if (index === settling?.attachments) settle(found === -1 ? bytes.length : found)
    if (found === -1) {
      if (++missed === MAX_MISSED) break
      continue
    }
    sum.addTo(found + 1)
    attachedTo = found + 1 + attachment.chars
    sum.at = attachedTo
  }
  if (attachments.length === settling?.attachments) settle(bytes.length)
  sum.addTo(bytes.length)
  return { ...tokensOf(sum), settling: made }
}

function tokensOf({ words, symbols, space, wide }: TextTokens): TextTokens {
  return { words, symbols, space, wide }
}

/** Exact: all are multiples of the unit of a count. */
function differenceOf(one: TextTokens, two: TextTokens): TextTokens {
  return {
    words: one.words - two.words,
    symbols: one.symbols - two.symbols,
    space: one.space - two.space,
    wide: one.wide - two.wide
  }
}

/** Returns the place of its opening quote, or -1. */
function indexOfAttachment(bytes: Buffer, { start }: UncountedText, from: number): number {
  return bytes.indexOf(`"${start}`, from, 'latin1')
}

/** The upstream's form of parts of a request and no text in it, and how often each occurs. */
function framesOf(
  { currentMessage }: UpstreamPayload['conversationState'],
  counts: EntryCounts
): readonly (readonly [frame: string, times: number])[] {
  const { modelId, origin } = currentMessage.userInputMessage
  const user = { userInputMessage: { content: '', modelId, origin } }
  return [
    [`${JSON.stringify(user)},`, counts.users],
    ['{"assistantResponseMessage":{"content":""}},', counts.entries - counts.users],
    ['{"toolSpecification":{"name":"","description":"","inputSchema":{"json":}}},', counts.tools],
    ['{"toolUseId":"","content":[{"text":""}],"status":"success"},', counts.results],
    ['{"format":"jpeg","source":{"bytes":""}},', counts.images],
    ['{"name":"","format":"pdf","source":{"bytes":""}},', counts.documents]
  ]
}

/** Lower bound of the characters of a request's JSON text without its texts. */
export function leastFrameChars({ conversationState }: UpstreamPayload): number {
  const { currentMessage, history = [] } = conversationState
  const { modelId } = currentMessage.userInputMessage
  const counts = countEntries([...history, currentMessage], modelId)
  const attached = counts.attachments.reduce((sum, { chars }) => sum + chars, 0)
  const frames = framesOf(conversationState, counts)
  return frames.reduce((sum, [frame, times]) => sum + frame.length * times, attached)
}

/** Counts what is the upstream's form of a request and no text in it, as `countText()` has counted it. */
function countFrames(
  payload: UpstreamPayload,
  counts: EntryCounts,
  { table }: TokenFamily
): TextTokens {
  const sum = { words: 0, symbols: 0, space: 0, wide: 0 }
  const add = (frame: string, times: number): void => {
    if (times === 0) return
    const bytes = Buffer.from(frame)
    const { words, symbols } = countJson(bytes, { from: 0, to: bytes.length }, table)
    sum.words += words * times
    sum.symbols += symbols * times
  }
  const { currentMessage: _, ...state } = payload.conversationState
  const root = { ...payload, conversationState: { ...state, history: [], currentMessage: 0 } }
  add(JSON.stringify(root), 1)
  for (const [frame, times] of framesOf(payload.conversationState, counts)) add(frame, times)
  return sum
}

/** A kind of model, whose members count alike until more is learnt of each. */
export interface TokenFamily extends TextFamily {
  /** Tokens of an image of so many pixels. */
  readonly imageTokens: (size: ImageSize) => number
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
