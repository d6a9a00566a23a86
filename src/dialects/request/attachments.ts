import { formatOf, isEncryptedPdf, sentAsTheyAre } from '../../kiro/conversation/documents.ts'
import type { DocumentFormat } from '../../kiro/wire/payload.ts'
import type { GatewayError } from '../../shared/errors.ts'
import { asJsonObject, isJsonObject, type JsonObject } from '../../shared/json.ts'
import { invalidPart } from '../plan/json-body.ts'

export function misplacedAttachment(path: string): GatewayError {
  const problem =
    'what has to be fetched, or turned into text, can stand in the content of messages only'
  return invalidPart(path, problem, 'content-text')
}

/** Content that a request names, or carries in a form that the upstream does not take. */
export type Attachment =
  | { readonly kind: 'url'; readonly url: string }
  /** Base64 of a PDF whose text is wanted. */
  | { readonly kind: 'pdf'; readonly base64: string }
  | CarriedDocument

export interface CarriedDocument {
  readonly kind: 'document'
  readonly format: DocumentFormat
  readonly base64: string
}

export type AttachmentContent =
  /** A PDF that may be sent natively. */
  | { readonly kind: 'pdf'; readonly base64: string }
  | { readonly kind: 'image'; readonly mediaType: string; readonly base64: string }
  | { readonly kind: 'text'; readonly text: string }
  /** `reason` is for the client. */
  | { readonly kind: 'failed'; readonly reason: string }

export type FetchedContent = AttachmentContent

export interface AttachmentBlock {
  readonly attachment: Attachment
  readonly isSent: boolean
  /** True if there are too many documents, or this one is too large. */
  readonly isSurplus: boolean
  /** An earlier block names the same URL. */
  readonly isRepeated: boolean
  readonly isUsers: boolean
  readonly pointer: string
  readonly title: string
  readonly context: string
  /** Just sent, so that the user can be told if it is unreadable; older ones must not stop the conversation. */
  readonly isNew: boolean
  replaceWith(block: JsonObject): void
}

/** Place of what is not in the body. */
const EARLIER = '/previous_response_id'
const MESSAGE_MEMBERS = ['messages', 'input'] as const

/** Members that hold blocks; a tool's arguments are data, whatever they look like. */
const NESTED_MEMBERS = ['content', 'output', 'source'] as const

const PDF_DATA_URL = /^data:application\/pdf;base64,/i
const WEB_URL = /^https?:\/\//i

/** Includes the documents that may be sent natively. `earlier`: items before those of the body, whose blocks are replaced in place. */
export function findAttachments(
  body: JsonObject,
  sendsDocuments = false,
  earlier: readonly JsonObject[] = []
): readonly AttachmentBlock[] {
  const found: FoundBlock[] = []
  for (const item of earlier) {
    const isUsers = item['role'] === 'user'
    const place = { pointer: EARLIER, sendsDocuments, isUsers, isNew: false, list: null, found }
    visit(item, place, 0)
  }
  for (const member of MESSAGE_MEMBERS) {
    const messages = body[member]
    if (!Array.isArray(messages)) continue
    const list: unknown[] = messages
    for (const [at, message] of list.entries()) {
      const isUsers = asJsonObject(message)?.['role'] === 'user'
      const isNew = isUsers && at === list.length - 1
      visit(message, { pointer: `/${member}`, sendsDocuments, isUsers, isNew, list, found }, at)
    }
  }
  if (found.length === 0) return []
  const marked = markRepeated(found)
  return sendsDocuments
    ? chooseSent(marked)
    : marked.map((block) => ({ ...block, isSent: false, isSurplus: false }))
}

type MarkedBlock = Omit<AttachmentBlock, 'isSent' | 'isSurplus'> & { readonly isDocument: boolean }
type FoundBlock = Omit<MarkedBlock, 'isRepeated'>

function markRepeated(found: readonly FoundBlock[]): readonly MarkedBlock[] {
  const seen = new Set<string>()
  return found.map((block) => {
    const { attachment } = block
    if (attachment.kind !== 'url') return { ...block, isRepeated: false }
    const isRepeated = seen.has(attachment.url)
    seen.add(attachment.url)
    return { ...block, isRepeated }
  })
}

function chooseSent(found: readonly MarkedBlock[]): readonly AttachmentBlock[] {
  const documents = found.filter(({ isDocument, isRepeated }) => isDocument && !isRepeated)
  const isSent = sentAsTheyAre(documents.map(({ attachment }) => charsIn(attachment)))
  const sent = new Set(documents.filter((_, index) => isSent[index]))
  return found.map((block) => {
    const { attachment } = block
    const isPdf = attachment.kind === 'document' && attachment.format === 'pdf'
    const isChosen = sent.has(block)
    const chosen = { ...block, isSent: isChosen, isSurplus: block.isDocument && !isChosen }
    if (!isPdf) return chosen
    const { base64 } = attachment
    if (isChosen && !isEncryptedPdf(Buffer.from(base64, 'base64'))) return chosen
    return { ...chosen, isSent: false, attachment: { kind: 'pdf', base64 } }
  })
}

function charsIn(attachment: Attachment): number {
  return attachment.kind === 'url' ? 0 : attachment.base64.length
}

/** Place of the values of a list, or of one value. */
interface Place {
  readonly sendsDocuments: boolean
  readonly isUsers: boolean
  readonly pointer: string
  readonly isNew: boolean
  /** `null` for a source, which is never replaced itself. */
  readonly list: unknown[] | null
  readonly found: FoundBlock[]
}

function visit(value: unknown, place: Place, at: number): void {
  if (!isJsonObject(value)) return
  const { sendsDocuments, list, found } = place
  const pointer = list === null ? place.pointer : `${place.pointer}/${at}`
  const carried = sendsDocuments ? carriedDocumentOf(value) : null
  const attachment = carried ?? attachmentOf(value)
  if (attachment !== null) {
    const { isNew, isUsers } = place
    const isDocument = carried !== null || isDocumentBlock(value)
    const title = titleOf(value)
    const context = typeof value['context'] === 'string' ? value['context'] : ''
    const replaceWith = (block: JsonObject): void => {
      if (list !== null) list[at] = block
    }
    found.push({ attachment, isDocument, pointer, isNew, isUsers, title, context, replaceWith })
    return
  }
  const isResult = value['type'] === 'tool_result'
  const isNew = place.isNew && !isResult
  const isUsers = place.isUsers && !isResult
  for (const member of NESTED_MEMBERS) {
    const nested = value[member]
    const inner: unknown[] | null = Array.isArray(nested) ? nested : null
    if (inner === null && (member !== 'source' || !isJsonObject(nested))) continue
    const within = {
      pointer: `${pointer}/${member}`,
      sendsDocuments,
      isUsers,
      isNew,
      list: inner,
      found
    }
    for (const [index, item] of (inner ?? [nested]).entries()) visit(item, within, index)
  }
}

const DOCUMENT_BLOCKS = new Set<unknown>(['document', 'input_file', 'file'])

function isDocumentBlock(block: JsonObject): boolean {
  return DOCUMENT_BLOCKS.has(block['type'])
}

const DATA_URL_TYPE = /^data:([^;,]*)/i
const BASE64_URL = /^data:([^;,]*)(?:;[^;,]*)*;base64,/i
const MAX_HEAD_CHARS = 256

function carriedDocumentOf(block: JsonObject): CarriedDocument | null {
  if (!isDocumentBlock(block)) return null
  const isSource = block['type'] === 'document'
  const holder = isSource ? inlineSource(block['source']) : (asJsonObject(block['file']) ?? block)
  if (holder === null) return null
  if (isSource && holder['type'] !== 'base64') return null
  const data = isSource ? holder['data'] : fileDataOf(holder)
  if (typeof data !== 'string') return null
  const named = isSource ? holder['media_type'] : undefined
  const inUrl = DATA_URL_TYPE.exec(data.slice(0, MAX_HEAD_CHARS))?.[1]
  const mediaType = typeof named === 'string' ? named : (inUrl ?? '')
  const format = formatOf(mediaType, titleOf(block))
  return format === null ? null : { kind: 'document', format, base64: bare(data) }
}

/** LangChain puts data URLs where others put the file's address. */
export function fileDataOf({ file_data: data, file_url: url }: JsonObject): unknown {
  const isInline = typeof url === 'string' && DATA_URL_TYPE.test(url.slice(0, MAX_HEAD_CHARS))
  return typeof data !== 'string' && isInline ? url : data
}

export function inlineSource(source: unknown): JsonObject | null {
  if (!isJsonObject(source)) return null
  const { type, url } = source
  if (type !== 'url' || typeof url !== 'string') return source
  const head = BASE64_URL.exec(url.slice(0, MAX_HEAD_CHARS))
  const mediaType = head?.[1]
  return mediaType === undefined
    ? source
    : { type: 'base64', media_type: mediaType, data: bare(url) }
}

/** `null` for a block that can be read as it is. */
export function attachmentOf(block: JsonObject): Exclude<Attachment, CarriedDocument> | null {
  switch (block['type']) {
    case 'image':
    case 'document':
      return ofSource(block['source'])
    case 'image_url':
    case 'input_image': {
      const image = block['image_url']
      return ofUrl(isJsonObject(image) ? image['url'] : image)
    }
    case 'input_file':
      return ofFile(block)
    case 'file':
      return isJsonObject(block['file']) ? ofFile(block['file']) : null
    default:
      return null
  }
}

function ofSource(sent: unknown): ReturnType<typeof attachmentOf> {
  const source = inlineSource(sent)
  if (source === null) return null
  if (source['type'] === 'url') return ofUrl(source['url'])
  const { data, media_type: mediaType } = source
  const isPdf = typeof mediaType === 'string' && mediaType.toLowerCase() === 'application/pdf'
  return isPdf && typeof data === 'string' ? { kind: 'pdf', base64: bare(data) } : null
}

function ofFile(file: JsonObject): ReturnType<typeof attachmentOf> {
  const { file_url: url, filename } = file
  const data = fileDataOf(file)
  const fromUrl = ofUrl(url)
  if (fromUrl !== null || typeof data !== 'string') return fromUrl
  const isNamedPdf =
    typeof filename === 'string' && /\.pdf$/i.test(filename) && !data.startsWith('data:')
  return PDF_DATA_URL.test(data) || isNamedPdf ? { kind: 'pdf', base64: bare(data) } : null
}

function ofUrl(url: unknown): Extract<Attachment, { kind: 'url' }> | null {
  return typeof url === 'string' && WEB_URL.test(url) ? { kind: 'url', url } : null
}

function bare(data: string): string {
  return DATA_URL_TYPE.test(data.slice(0, MAX_HEAD_CHARS))
    ? data.slice(data.indexOf(',') + 1)
    : data
}

function titleOf(block: JsonObject): string {
  const file = isJsonObject(block['file']) ? block['file'] : block
  const title = block['title'] ?? file['filename']
  return typeof title === 'string' ? title : ''
}

export function toBlock(
  { title, context }: Pick<AttachmentBlock, 'title' | 'context'>,
  content: Exclude<AttachmentContent, { kind: 'pdf' }>
): JsonObject {
  if (content.kind === 'image') {
    const { mediaType, base64 } = content
    return { type: 'image', source: { type: 'base64', media_type: mediaType, data: base64 } }
  }
  const text =
    content.kind === 'text' ? content.text : `(This could not be read: ${content.reason})`
  return {
    type: 'document',
    ...(title !== '' && { title }),
    ...(context !== '' && { context }),
    source: { type: 'text', data: text }
  }
}

export interface AttachmentNeeds {
  readonly urls: readonly string[]
  readonly documentUrls?: readonly string[]
  /** PDFs in the body whose text is needed. Each has memory of its own. */
  readonly pdfs: readonly Uint8Array<ArrayBuffer>[]
}

/** `null` if nothing has to be fetched or read first. */
export function attachmentNeedsOf(blocks: readonly AttachmentBlock[]): AttachmentNeeds | null {
  if (blocks.every(({ attachment }) => attachment.kind === 'document')) return null
  const attachments = blocks.map((block) => block.attachment)
  const sent = blocks.filter(({ isSent }) => isSent).map((block) => block.attachment)
  const documentUrls = urlsOf(sent)
  return {
    urls: urlsOf(attachments),
    ...(documentUrls.length > 0 && { documentUrls }),
    // Copies even small ones: the thread takes their memory.
    pdfs: attachments.flatMap((one) =>
      one.kind === 'pdf' ? [new Uint8Array(Buffer.from(one.base64, 'base64'))] : []
    )
  }
}

function urlsOf(attachments: readonly Attachment[]): readonly string[] {
  return [...new Set(attachments.flatMap((one) => (one.kind === 'url' ? [one.url] : [])))]
}

export interface AttachmentContents {
  readonly fetched: Readonly<Record<string, AttachmentContent>>
  readonly pdfs: readonly AttachmentContent[]
}
