import { GatewayError } from '../shared/errors.ts'
import {
  type Attachment,
  type AttachmentBlock,
  type AttachmentContent,
  findAttachments,
  toBlock
} from './attachments.ts'
import { parseJsonBody } from './json-body.ts'

/** What was got for the attachments of a body. */
export interface AttachmentContents {
  /** From the web, by URL. */
  readonly fetched: Readonly<Record<string, AttachmentContent>>
  /** What is in the PDFs that it carries, in their order. */
  readonly pdfs: readonly AttachmentContent[]
}

/**
 * Puts the content of every attachment in its place, as blocks that `convertRequest()` reads in any dialect.
 *
 * @throws {GatewayError} GW_BODY_INVALID when one that the user has just sent can't be read; an older one becomes a
 *   note, so that the conversation can go on
 */
export function inlineAttachments(
  body: Uint8Array,
  { fetched, pdfs }: AttachmentContents
): Uint8Array {
  let pdfsSeen = 0
  const contentOf = (attachment: Attachment): AttachmentContent | undefined => {
    if (attachment.kind === 'pdf') return pdfs[pdfsSeen++]
    return Object.hasOwn(fetched, attachment.url) ? fetched[attachment.url] : undefined
  }
  const json = parseJsonBody(body)
  const blocks = findAttachments(json)
  const newest = new Map(blocks.map((block) => [nameOf(block), block]))
  for (const block of blocks) {
    const content = contentOf(block.attachment) ?? { kind: 'failed', reason: 'it was not fetched' }
    if (content.kind === 'failed' && block.isNew) throw unreadable(block.pointer, content.reason)
    const isAgain = newest.get(nameOf(block)) !== block && content.kind !== 'failed'
    block.replaceWith(isAgain ? { type: 'text', text: NAMED_AGAIN } : toBlock(block, content))
  }
  return Buffer.from(JSON.stringify(json))
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
