import { GatewayError } from '../shared/errors.ts'
import {
  type Attachment,
  type AttachmentContent,
  type FetchedContent,
  findAttachments,
  toBlock
} from './attachments.ts'
import { parseJsonBody } from './json-body.ts'

export interface InlineOptions {
  /** What was got from the web, by URL. */
  readonly fetched: Readonly<Record<string, FetchedContent>>
  /** Takes base64 text. */
  readonly readPdf: (base64: string) => Promise<AttachmentContent>
}

/**
 * Puts the content of every attachment in its place, as blocks that `convertRequest()` reads in any dialect.
 *
 * @throws {GatewayError} GW_BODY_INVALID when one that the user has just sent can't be read; an older one becomes a
 *   note, so that the conversation can go on
 */
export async function inlineAttachments(
  body: Uint8Array,
  { fetched, readPdf }: InlineOptions
): Promise<Uint8Array> {
  const contentOf = (attachment: Attachment): FetchedContent | undefined => {
    if (attachment.kind === 'pdf') return attachment
    return Object.hasOwn(fetched, attachment.url) ? fetched[attachment.url] : undefined
  }
  const json = parseJsonBody(body)
  for (const block of findAttachments(json)) {
    const found = contentOf(block.attachment) ?? { kind: 'failed', reason: 'it was not fetched' }
    const content = found.kind === 'pdf' ? await readPdf(found.base64) : found
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
