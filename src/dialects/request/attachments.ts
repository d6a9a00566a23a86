import { formatOf, isEncryptedPdf, sentAsTheyAre } from '../../kiro/conversation/documents.ts'
import type { DocumentFormat } from '../../kiro/wire/payload.ts'
import type { GatewayError } from '../../shared/errors.ts'
import { asJsonObject, isJsonObject, type JsonObject } from '../../shared/json.ts'
import { invalidPart } from '../plan/json-body.ts'

/** The refusal of an attachment that stands where `findAttachments()` does not look. */
export function misplacedAttachment(path: string): GatewayError {
  const problem =
    'what has to be fetched, or turned into text, can stand in the content of messages only'
  return invalidPart(path, problem, 'content-text')
}

/** Content that a request names or carries in a form that the upstream does not take. */
export type Attachment =
  | { readonly kind: 'url'; readonly url: string }
  /** Base64 text; its text is what is wanted. */
  | { readonly kind: 'pdf'; readonly base64: string }
  /** One that the upstream may take as it is. */
  | CarriedDocument

/** A document in a request whose format the upstream knows. */
export interface CarriedDocument {
  readonly kind: 'document'
  readonly format: DocumentFormat
  readonly base64: string
}

/** The content of an attachment, or why there is none. */
export type AttachmentContent =
  /** A PDF that the upstream may take as it is. */
  | { readonly kind: 'pdf'; readonly base64: string }
  | { readonly kind: 'image'; readonly mediaType: string; readonly base64: string }
  | { readonly kind: 'text'; readonly text: string }
  /** The reason is for the client. */
  | { readonly kind: 'failed'; readonly reason: string }

/** The content of a URL. */
export type FetchedContent = AttachmentContent

/** One block that has to be replaced. */
export interface AttachmentBlock {
  readonly attachment: Attachment
  /** It is, or may turn out to be, a document and goes up as it is. */
  readonly isSent: boolean
  /** It would be, were it not one too many or too large. */
  readonly isSurplus: boolean
  /** A block before it names the same URL. */
  readonly isRepeated: boolean
  /** A user's own words, not what a tool has said. */
  readonly isUsers: boolean
  /** RFC 6901, from the body's root. */
  readonly pointer: string
  readonly title: string
  /** The sender's words about it. */
  readonly context: string
  /** The user has just sent it, so that they can be told if it can't be read; else the conversation must go on. */
  readonly isNew: boolean
  replaceWith(block: JsonObject): void
}

/** Members that hold the messages, in the three dialects. */
const MESSAGE_MEMBERS = ['messages', 'input'] as const

/** Members of blocks that hold blocks; a tool's arguments are data, whatever they look like. */
const NESTED_MEMBERS = ['content', 'output', 'source'] as const

const PDF_DATA_URL = /^data:application\/pdf;base64,/i
const WEB_URL = /^https?:\/\//i

/**
 * Every block of a parsed body whose content must be fetched or turned into text first, and where the upstream is sent
 * documents as they are, those.
 */
export function findAttachments(
  body: JsonObject,
  sendsDocuments = false
): readonly AttachmentBlock[] {
  const found: FoundBlock[] = []
  for (const member of MESSAGE_MEMBERS) {
    const messages = body[member]
    if (!Array.isArray(messages)) continue
    messages.forEach((message, index) => {
      const place = {
        pointer: `/${member}/${index}`,
        sendsDocuments,
        isUsers: asJsonObject(message)?.['role'] === 'user',
        isNew: index === messages.length - 1 && asJsonObject(message)?.['role'] === 'user',
        replace: (block: JsonObject) => {
          messages[index] = block
        }
      }
      visit(message, place, found)
    })
  }
  const marked = markRepeated(found)
  return sendsDocuments && found.length > 0
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

/** The newest documents are sent; a PDF that is not, or that is encrypted, is read for its text. */
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

interface Place {
  readonly sendsDocuments: boolean
  readonly isUsers: boolean
  readonly pointer: string
  readonly isNew: boolean
  readonly replace: (block: JsonObject) => void
}

function visit(value: unknown, place: Place, found: FoundBlock[]): void {
  if (!isJsonObject(value)) return
  const carried = place.sendsDocuments ? carriedDocumentOf(value) : null
  const attachment = carried ?? attachmentOf(value)
  if (attachment !== null) {
    const { pointer, isNew, isUsers, replace } = place
    const isDocument = carried !== null || isDocumentBlock(value)
    const title = titleOf(value)
    const context = typeof value['context'] === 'string' ? value['context'] : ''
    found.push({
      attachment,
      isDocument,
      pointer,
      isNew,
      isUsers,
      title,
      context,
      replaceWith: replace
    })
    return
  }
  const isResult = value['type'] === 'tool_result'
  const isNew = place.isNew && !isResult
  const isUsers = place.isUsers && !isResult
  for (const member of NESTED_MEMBERS) {
    const nested = value[member]
    const pointer = `${place.pointer}/${member}`
    if (Array.isArray(nested)) visitList(nested, { ...place, pointer, isNew, isUsers }, found)
    else if (member === 'source')
      visit(nested, { ...place, pointer, isNew, isUsers, replace: ignore }, found)
  }
}

function visitList(list: unknown[], place: Omit<Place, 'replace'>, found: FoundBlock[]): void {
  list.forEach((item, index) => {
    const replace = (block: JsonObject): void => {
      list[index] = block
    }
    visit(item, { ...place, pointer: `${place.pointer}/${index}`, replace }, found)
  })
}

/** A source itself is never replaced, only blocks in lists inside it. */
function ignore(): void {}

const DOCUMENT_BLOCKS = new Set<unknown>(['document', 'input_file', 'file'])

function isDocumentBlock(block: JsonObject): boolean {
  return DOCUMENT_BLOCKS.has(block['type'])
}

const DATA_URL_TYPE = /^data:([^;,]*)/i
const BASE64_URL = /^data:([^;,]*)(?:;[^;,]*)*;base64,/i
const MAX_HEAD_CHARS = 256

/** The document that a block carries, if its format is one that the upstream knows. */
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

/** The content of a file: LangChain puts data URLs where others put the address of a file. */
export function fileDataOf({ file_data: data, file_url: url }: JsonObject): unknown {
  const isInline = typeof url === 'string' && DATA_URL_TYPE.test(url.slice(0, MAX_HEAD_CHARS))
  return typeof data !== 'string' && isInline ? url : data
}

/** A source with a data URL in place of a web address, as the base64 text that it is; any other as it came. */
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

/** Returns the attachment of a block; `null` for a block that can be read as it is. */
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

/** The block that stands for an attachment once its content is there; every dialect reads these. */
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

/** Contents that a request needs before it can be converted. */
export interface AttachmentNeeds {
  readonly urls: readonly string[]
  /** URLs among them that are left as they are if they lead to PDFs. */
  readonly documentUrls?: readonly string[]
  /** PDFs in the body, which only have to be turned into text. Each has memory of its own. */
  readonly pdfs: readonly Uint8Array<ArrayBuffer>[]
}

export function attachmentNeedsOf(blocks: readonly AttachmentBlock[]): AttachmentNeeds {
  const attachments = blocks.map((block) => block.attachment)
  const sent = blocks.filter(({ isSent }) => isSent).map((block) => block.attachment)
  const documentUrls = urlsOf(sent)
  return {
    urls: urlsOf(attachments),
    ...(documentUrls.length > 0 && { documentUrls }),
    // In memory of its own, however small it is.
    pdfs: attachments.flatMap((one) =>
      one.kind === 'pdf' ? [new Uint8Array(Buffer.from(one.base64, 'base64'))] : []
    )
  }
}

function urlsOf(attachments: readonly Attachment[]): readonly string[] {
  return [...new Set(attachments.flatMap((one) => (one.kind === 'url' ? [one.url] : [])))]
}

/** Contents of the attachments of a body. */
export interface AttachmentContents {
  /** From the web, by URL. */
  readonly fetched: Readonly<Record<string, AttachmentContent>>
  /** Contents of the PDFs in the body, in their order. */
  readonly pdfs: readonly AttachmentContent[]
}
