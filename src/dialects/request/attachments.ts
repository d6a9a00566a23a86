import { GatewayError } from '../../shared/errors.ts'
import { asJsonObject, isJsonObject, type JsonObject } from '../../shared/json.ts'
import { invalidPart } from '../plan/json-body.ts'

/** The refusal of an attachment that stands where `findAttachments()` does not look. */
export function misplacedAttachment(path: string): GatewayError {
  const problem =
    'what has to be fetched, or turned into text, can stand in the content of messages only'
  return invalidPart(path, problem, 'content-text')
}

/** Content that a request names or carries in a form that the upstream does not take. */
type Attachment =
  | { readonly kind: 'url'; readonly url: string }
  /** Base64 text. */
  | { readonly kind: 'pdf'; readonly base64: string }

/** What became of an attachment. */
export type AttachmentContent =
  | { readonly kind: 'image'; readonly mediaType: string; readonly base64: string }
  | { readonly kind: 'text'; readonly text: string }
  /** The reason is for the client. */
  | { readonly kind: 'failed'; readonly reason: string }

/** What was got from the web: as it is, or still a PDF. */
export type FetchedContent = AttachmentContent | Extract<Attachment, { kind: 'pdf' }>

/** One block that has to be replaced. */
interface AttachmentBlock {
  readonly attachment: Attachment
  /** RFC 6901, from the body's root. */
  readonly pointer: string
  readonly title: string
  /** What its sender says about it. */
  readonly context: string
  /** The user has just sent it, so that they can be told if it can't be read; else the conversation must go on. */
  readonly isNew: boolean
  replaceWith(block: JsonObject): void
}

/** Where bodies of the three dialects have their messages. */
const MESSAGE_MEMBERS = ['messages', 'input'] as const

/** Members of blocks that hold blocks; a tool's arguments are data, whatever they look like. */
const NESTED_MEMBERS = ['content', 'output', 'source'] as const

const PDF_DATA_URL = /^data:application\/pdf;base64,/i
const WEB_URL = /^https?:\/\//i

/** Every block of a parsed body whose content must be fetched or turned into text first. */
export function findAttachments(body: JsonObject): readonly AttachmentBlock[] {
  const found: AttachmentBlock[] = []
  for (const member of MESSAGE_MEMBERS) {
    const messages = body[member]
    if (!Array.isArray(messages)) continue
    messages.forEach((message, index) => {
      const place = {
        pointer: `/${member}/${index}`,
        isNew: index === messages.length - 1 && asJsonObject(message)?.['role'] === 'user',
        replace: (block: JsonObject) => {
          messages[index] = block
        }
      }
      visit(message, place, found)
    })
  }
  return found
}

interface Place {
  readonly pointer: string
  readonly isNew: boolean
  readonly replace: (block: JsonObject) => void
}

function visit(value: unknown, place: Place, found: AttachmentBlock[]): void {
  if (!isJsonObject(value)) return
  const attachment = attachmentOf(value)
  if (attachment !== null) {
    const { pointer, isNew, replace } = place
    const title = titleOf(value)
    const context = typeof value['context'] === 'string' ? value['context'] : ''
    found.push({ attachment, pointer, isNew, title, context, replaceWith: replace })
    return
  }
  const isNew = place.isNew && value['type'] !== 'tool_result'
  for (const member of NESTED_MEMBERS) {
    const nested = value[member]
    const pointer = `${place.pointer}/${member}`
    if (Array.isArray(nested)) visitList(nested, { ...place, pointer, isNew }, found)
    else if (member === 'source') visit(nested, { pointer, isNew, replace: ignore }, found)
  }
}

function visitList(list: unknown[], place: Omit<Place, 'replace'>, found: AttachmentBlock[]): void {
  list.forEach((item, index) => {
    const replace = (block: JsonObject): void => {
      list[index] = block
    }
    visit(item, { ...place, pointer: `${place.pointer}/${index}`, replace }, found)
  })
}

/** A source itself is never replaced, only blocks in lists inside it. */
function ignore(): void {}

/** What a block needs; `null` for one that can be read as it is. */
export function attachmentOf(block: JsonObject): Attachment | null {
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

function ofSource(source: unknown): Attachment | null {
  if (!isJsonObject(source)) return null
  if (source['type'] === 'url') return ofUrl(source['url'])
  const { data, media_type: mediaType } = source
  const isPdf = typeof mediaType === 'string' && mediaType.toLowerCase() === 'application/pdf'
  return isPdf && typeof data === 'string' ? { kind: 'pdf', base64: bare(data) } : null
}

function ofFile({ file_url: url, file_data: data, filename }: JsonObject): Attachment | null {
  const fromUrl = ofUrl(url)
  if (fromUrl !== null || typeof data !== 'string') return fromUrl
  const isNamedPdf =
    typeof filename === 'string' && /\.pdf$/i.test(filename) && !data.startsWith('data:')
  return PDF_DATA_URL.test(data) || isNamedPdf ? { kind: 'pdf', base64: bare(data) } : null
}

function ofUrl(url: unknown): Attachment | null {
  return typeof url === 'string' && WEB_URL.test(url) ? { kind: 'url', url } : null
}

function bare(data: string): string {
  return data.startsWith('data:') ? data.slice(data.indexOf(',') + 1) : data
}

function titleOf(block: JsonObject): string {
  const file = isJsonObject(block['file']) ? block['file'] : block
  const title = block['title'] ?? file['filename']
  return typeof title === 'string' ? title : ''
}

/** The block that stands for an attachment once its content is there; every dialect reads these. */
export function toBlock(
  { title, context }: AttachmentBlock,
  content: AttachmentContent
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

/** What a request must have got before it can be converted. */
export interface AttachmentNeeds {
  readonly urls: readonly string[]
  /** Those that it carries, which only have to be turned into text. Each has memory of its own. */
  readonly pdfs: readonly Uint8Array<ArrayBuffer>[]
}

export function attachmentNeedsOf(blocks: readonly AttachmentBlock[]): AttachmentNeeds {
  const attachments = blocks.map((block) => block.attachment)
  return {
    urls: [...new Set(attachments.flatMap((one) => (one.kind === 'url' ? [one.url] : [])))],
    // In memory of its own, however small it is.
    pdfs: attachments.flatMap((one) =>
      one.kind === 'pdf' ? [new Uint8Array(Buffer.from(one.base64, 'base64'))] : []
    )
  }
}

/** What was got for the attachments of a body. */
export interface AttachmentContents {
  /** From the web, by URL. */
  readonly fetched: Readonly<Record<string, AttachmentContent>>
  /** What is in the PDFs that it carries, in their order. */
  readonly pdfs: readonly AttachmentContent[]
}

/**
 * Puts the content of every attachment in its place, as blocks that every dialect reads. Gives how many characters.
 *
 * @throws {GatewayError} GW_BODY_INVALID when one that the user has just sent can't be read; an older one becomes a
 *   note, so that the conversation can go on
 */
export function inlineAttachments(
  blocks: readonly AttachmentBlock[],
  { fetched, pdfs }: AttachmentContents
): number {
  let [pdfsSeen, chars] = [0, 0]
  const contentOf = (attachment: Attachment): AttachmentContent | undefined => {
    if (attachment.kind === 'pdf') return pdfs[pdfsSeen++]
    return Object.hasOwn(fetched, attachment.url) ? fetched[attachment.url] : undefined
  }
  const newest = new Map(blocks.map((block) => [nameOf(block), block]))
  for (const block of blocks) {
    const content = contentOf(block.attachment) ?? { kind: 'failed', reason: 'it was not fetched' }
    if (content.kind === 'failed' && block.isNew) throw unreadable(block.pointer, content.reason)
    const isAgain = newest.get(nameOf(block)) !== block && content.kind !== 'failed'
    block.replaceWith(isAgain ? { type: 'text', text: NAMED_AGAIN } : toBlock(block, content))
    chars += isAgain ? NAMED_AGAIN.length : charsOf(content)
  }
  return chars
}

function charsOf(content: AttachmentContent): number {
  if (content.kind === 'failed') return content.reason.length
  return (content.kind === 'image' ? content.base64 : content.text).length
}

/** A URL is a few bytes wherever it stands, its content megabytes: that stands once, as memory was set aside for it once. */
const NAMED_AGAIN = '[What stood here comes again below and is shown there.]'

/** What is not named but carried is itself and no other. */
function nameOf({ attachment, pointer }: AttachmentBlock): string {
  return attachment.kind === 'url' ? attachment.url : pointer
}

function unreadable(pointer: string, reason: string): GatewayError {
  return new GatewayError('GW_BODY_INVALID', undefined, {
    message: `${pointer}: this attachment could not be read: ${reason}`,
    param: pointer
  })
}
