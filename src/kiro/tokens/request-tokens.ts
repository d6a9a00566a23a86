import { reasoningOf } from '../conversation/signed-reasoning.ts'
import type { HistoryEntry, UpstreamDocument, UpstreamPayload } from '../wire/payload.ts'
import { familyOf, type TokenFamily } from './families.ts'
import { imageSizeOf } from './image-size.ts'
import { countJson, type TextTokens } from './text-counter.ts'

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

export function groupsOfText(
  { words, symbols, space, wide }: TextTokens,
  ratio: number
): GroupTokens {
  return [words * ratio, symbols * ratio, space * ratio, wide * ratio, 0, 0, 0, 0]
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

/** Counts a request by its JSON text, in time that is bounded for each byte and a tenth of that for most of a large one. */
export function countRequest(payload: UpstreamPayload, bytes: Buffer): GroupTokens {
  const { currentMessage, history = [] } = payload.conversationState
  const family = familyOf(currentMessage.userInputMessage.modelId)
  const entries = [...history, currentMessage]
  const text = countText(bytes, attachmentsIn(entries), family)
  const frames = countFrames(payload, entries, family)
  const { ratio } = family
  return [
    Math.max(0, text.words - frames.words) * ratio,
    Math.max(0, text.symbols - frames.symbols) * ratio,
    text.space * ratio,
    text.wide * ratio,
    ...countMedia(entries, family),
    toolsOf(entries),
    TOKENS_AT_END + entries.length * TOKENS_PER_MESSAGE
  ]
}

function toolsOf(entries: readonly HistoryEntry[]): number {
  const tools = entries.reduce((sum, entry) => sum + (contextOf(entry).tools?.length ?? 0), 0)
  return tools === 0 ? 0 : TOOL_PROMPT_TOKENS + tools * TOKENS_PER_TOOL
}

function countMedia(
  entries: readonly HistoryEntry[],
  { imageTokens }: TokenFamily
): readonly [images: number, documents: number] {
  let [ofImages, ofDocuments] = [0, 0]
  for (const entry of entries) {
    if (!('userInputMessage' in entry)) continue
    const { images = [], documents = [] } = entry.userInputMessage
    for (const { format, source } of images) {
      const size = imageSizeOf(format, source.bytes)
      ofImages += size === null ? USUAL_IMAGE_TOKENS : imageTokens(size)
    }
    for (const document of documents) ofDocuments += documentTokens(document)
  }
  return [ofImages, ofDocuments]
}

function documentTokens({ format, source }: UpstreamDocument): number {
  const isText = TEXT_FORMATS.includes(format)
  const charsPerToken = isText ? TEXT_CHARS_PER_TOKEN : BINARY_CHARS_PER_TOKEN
  return TOKENS_PER_DOCUMENT + source.bytes.length / charsPerToken
}

function contextOf(entry: HistoryEntry) {
  return 'userInputMessage' in entry ? (entry.userInputMessage.userInputMessageContext ?? {}) : {}
}

/** Base64 that is no text of the request, in the order of its JSON. */
function attachmentsIn(entries: readonly HistoryEntry[]): readonly string[] {
  return entries.flatMap((entry) => {
    if (!('userInputMessage' in entry)) return signatureOf(entry)
    const { images, documents } = entry.userInputMessage
    if (images === undefined && documents === undefined) return []
    return Object.keys(entry.userInputMessage).flatMap((name) => {
      const list = name === 'images' ? images : name === 'documents' ? documents : undefined
      return (list ?? []).map(({ source }) => source.bytes)
    })
  })
}

function signatureOf(entry: HistoryEntry): readonly string[] {
  const content = reasoningOf(entry)
  if (content === undefined) return []
  return ['redactedContent' in content ? content.redactedContent : content.reasoningText.signature]
}

/** Text that is counted whole; of what follows, one block in each stride stands for all of it. */
const WHOLE_BYTES = 65_536
const STRIDE_BYTES = 2048
const BLOCK_BYTES = 128

/** Start of an attachment that is looked for. */
const SOUGHT_CHARS = 64
/** Attachments that are not found before the search is given up, which would take a second look at all that follows. */
const MAX_MISSED = 4

/** Adds up the texts between the attachments. The same beginning always has the same count. */
function countText(
  bytes: Buffer,
  attachments: readonly string[],
  { table }: TokenFamily
): TextTokens {
  const sum = { words: 0, symbols: 0, space: 0, wide: 0 }
  /** Bytes of text so far: where a block begins does not depend on attachments. */
  let seen = 0
  const addBlock = (from: number, to: number, times: number): void => {
    const { words, symbols, space, wide } = countJson(bytes, { from, to }, table)
    sum.words += words * times
    sum.symbols += symbols * times
    sum.space += space * times
    sum.wide += wide * times
  }
  const addText = (from: number, to: number): void => {
    let at = from
    while (at < to && seen < WHOLE_BYTES) {
      const end = Math.min(to, at + WHOLE_BYTES - seen)
      addBlock(at, end, 1)
      seen += end - at
      at = end
    }
    while (at < to) {
      const inStride = seen % STRIDE_BYTES
      const isCounted = inStride < BLOCK_BYTES
      const length = (isCounted ? BLOCK_BYTES : STRIDE_BYTES) - inStride
      const end = Math.min(to, at + length)
      if (isCounted) addBlock(at, end, STRIDE_BYTES / BLOCK_BYTES)
      seen += end - at
      at = end
    }
  }
  let [from, missed] = [0, 0]
  for (const attachment of attachments) {
    const found = bytes.indexOf(`"${attachment.slice(0, SOUGHT_CHARS)}`, from, 'latin1')
    if (found === -1) {
      if (++missed === MAX_MISSED) break
      continue
    }
    addText(from, found + 1)
    from = found + 1 + attachment.length
  }
  addText(from, bytes.length)
  return sum
}

const ASSISTANT_FRAME = '{"assistantResponseMessage":{"content":""}},'
const TOOL_FRAME = '{"toolSpecification":{"name":"","description":"","inputSchema":{"json":}}},'
const RESULT_FRAME = '{"toolUseId":"","content":[{"text":""}],"status":"success"},'
const IMAGE_FRAME = '{"format":"jpeg","source":{"bytes":""}},'
const DOCUMENT_FRAME = '{"name":"","format":"pdf","source":{"bytes":""}},'

/** Counts what is the upstream's form of a request and no text in it, as `countText()` has counted it. */
function countFrames(
  payload: UpstreamPayload,
  entries: readonly HistoryEntry[],
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
  const counts = framesIn(entries)
  add(
    `{"userInputMessage":{"content":"","modelId":${JSON.stringify(modelId)},"origin":"${origin}"}},`,
    counts.users
  )
  add(ASSISTANT_FRAME, entries.length - counts.users)
  add(TOOL_FRAME, counts.tools)
  add(RESULT_FRAME, counts.results)
  add(IMAGE_FRAME, counts.images)
  add(DOCUMENT_FRAME, counts.documents)
  return sum
}

function framesIn(entries: readonly HistoryEntry[]) {
  const counts = { users: 0, tools: 0, results: 0, images: 0, documents: 0 }
  for (const entry of entries) {
    if (!('userInputMessage' in entry)) continue
    const { images = [], documents = [] } = entry.userInputMessage
    const { tools = [], toolResults = [] } = contextOf(entry)
    counts.users += 1
    counts.tools += tools.length
    counts.results += toolResults.length
    counts.images += images.length
    counts.documents += documents.length
  }
  return counts
}
