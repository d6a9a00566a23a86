import { signatureOf } from '../conversation/signed-reasoning.ts'
import type {
  HistoryEntry,
  UpstreamDocument,
  UpstreamPayload,
  UserInputMessage
} from '../wire/payload.ts'
import { familyOf, type TokenFamily } from './families.ts'
import { imageSizeOf } from './image-size.ts'
import { countJson, TextCounter, type TextScale, type TextTokens } from './text-counter.ts'

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

/** Base64 that is not text of the request: its beginning, and its length. */
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

const ASSISTANT_FRAME = '{"assistantResponseMessage":{"content":""}},'
const TOOL_FRAME = '{"toolSpecification":{"name":"","description":"","inputSchema":{"json":}}},'
const RESULT_FRAME = '{"toolUseId":"","content":[{"text":""}],"status":"success"},'
const IMAGE_FRAME = '{"format":"jpeg","source":{"bytes":""}},'
const DOCUMENT_FRAME = '{"name":"","format":"pdf","source":{"bytes":""}},'

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
  const { currentMessage, ...state } = payload.conversationState
  const { modelId, origin } = currentMessage.userInputMessage
  const root = { ...payload, conversationState: { ...state, history: [], currentMessage: 0 } }
  add(JSON.stringify(root), 1)
  add(
    `{"userInputMessage":{"content":"","modelId":${JSON.stringify(modelId)},"origin":"${origin}"}},`,
    counts.users
  )
  add(ASSISTANT_FRAME, counts.entries - counts.users)
  add(TOOL_FRAME, counts.tools)
  add(RESULT_FRAME, counts.results)
  add(IMAGE_FRAME, counts.images)
  add(DOCUMENT_FRAME, counts.documents)
  return sum
}
