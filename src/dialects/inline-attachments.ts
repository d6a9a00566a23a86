import { GatewayError } from '../shared/errors.ts'
import { type Attachment, type AttachmentContent, findAttachments, toBlock } from './attachments.ts'
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
  for (const block of findAttachments(json)) {
    const content = contentOf(block.attachment) ?? { kind: 'failed', reason: 'it was not fetched' }
    if (content.kind === 'failed' && block.isNew) throw unreadable(block.pointer, content.reason)
    block.replaceWith(toBlock(block, content))
  }
  return Buffer.from(JSON.stringify(json))
}

function unreadable(pointer: string, reason: string): GatewayError {
  return new GatewayError('GW_BODY_INVALID', undefined, {
    message: `${pointer}: this attachment could not be read: ${reason}`,
    param: pointer
  })
}
