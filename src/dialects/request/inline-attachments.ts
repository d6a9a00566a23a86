import {
  documentNote,
  DocumentNames,
  isOfFormat,
  isTextFormat,
  isTooLarge
} from '../../kiro/conversation/documents.ts'
import type { Repairs } from '../../kiro/rules/repairs.ts'
import { type RuleId, UpstreamLimits } from '../../kiro/rules/rules.ts'
import { GatewayError } from '../../shared/errors.ts'
import {
  type Attachment,
  type AttachmentBlock,
  type AttachmentContent,
  type AttachmentContents,
  type CarriedDocument,
  toBlock
} from './attachments.ts'
import { isBase64, toCanonical } from './images.ts'
import { toPlacedBlock } from './draft.ts'

/** Stands for content that is named again: memory was reserved once, and the first place must stay as it was. */
const NAMED_AGAIN = '[What stands here is shown above, where it was named first.]'

/**
 * Returns how many characters the contents added.
 * @throws {GatewayError} GW_BODY_INVALID if one that was just sent is unreadable; an older one becomes a
 * note
 */
export function inlineAttachments(
  blocks: readonly AttachmentBlock[],
  { fetched, pdfs }: AttachmentContents,
  repairs: Repairs
): number {
  let [pdfsSeen, chars] = [0, 0]
  const contentOf = (attachment: Attachment): AttachmentContent | undefined => {
    if (attachment.kind === 'pdf') return pdfs[pdfsSeen++]
    if (attachment.kind === 'document') return undefined
    return Object.hasOwn(fetched, attachment.url) ? fetched[attachment.url] : undefined
  }
  const documents = new DocumentPlacer(repairs)
  for (const block of blocks) {
    const { attachment } = block
    if (attachment.kind === 'document') {
      documents.place(block, attachment)
      continue
    }
    const content = contentOf(attachment) ?? { kind: 'failed', reason: 'it was not fetched' }
    if (block.isRepeated && content.kind !== 'failed') {
      block.replaceWith({ type: 'text', text: NAMED_AGAIN })
      chars += NAMED_AGAIN.length
      continue
    }
    chars += charsOf(content)
    if (content.kind === 'pdf') {
      documents.place(block, { kind: 'document', format: 'pdf', base64: content.base64 })
    } else if (
      attachment.kind === 'pdf' &&
      !documents.placeText(block, attachment.base64, content)
    ) {
      continue
    } else {
      if (content.kind === 'failed' && block.isNew) throw unreadable(block.pointer, content.reason)
      block.replaceWith(toBlock(block, content))
    }
  }
  return chars
}

function charsOf(content: AttachmentContent): number {
  if (content.kind === 'failed') return content.reason.length
  return (content.kind === 'text' ? content.text : content.base64).length
}

function unreadable(pointer: string, reason: string): GatewayError {
  return new GatewayError('GW_BODY_INVALID', undefined, {
    message: `${pointer}: this attachment could not be read: ${reason}`,
    param: pointer
  })
}

/** Places validated, uniquely named documents, or their text. */
class DocumentPlacer {
  readonly #repairs: Repairs
  readonly #names = new DocumentNames()

  constructor(repairs: Repairs) {
    this.#repairs = repairs
  }

  /** @throws {GatewayError} GW_BODY_INVALID for a user's document that is too large, or not of its type */
  place(block: AttachmentBlock, { format, base64 }: CarriedDocument): void {
    const name = this.#names.take(block.title)
    const text = toCanonical(base64)
    const bytes = Buffer.from(text, 'base64')
    const problem = problemOf(text, bytes, format)
    if (problem !== null) return this.#refuse(block, ...problem)
    if (block.isSent) {
      const document = { name, format, source: { bytes: text } }
      return block.replaceWith(toPlacedBlock({ document, context: block.context }))
    }
    if (isTextFormat(format)) {
      this.#noteText(block, text)
      return block.replaceWith(toBlock(block, { kind: 'text', text: bytes.toString() }))
    }
    if (isTooLarge(text)) return this.#refuse(block, 'document-size', TOO_LARGE)
    this.#noteText(block, text)
    block.replaceWith(toPlacedBlock({ note: documentNote(name, format) }))
  }

  /** False if the PDF is surplus and has no text: a note replaces it, since the user need not send fewer. */
  placeText(block: AttachmentBlock, base64: string, content: AttachmentContent): boolean {
    if (!block.isSurplus) return true
    if (content.kind !== 'failed') {
      this.#noteText(block, base64)
      return true
    }
    if (isTooLarge(base64)) return true
    this.place(block, { kind: 'document', format: 'pdf', base64 })
    return false
  }

  #noteText({ pointer }: AttachmentBlock, base64: string): void {
    this.#repairs.note(isTooLarge(base64) ? 'document-large' : 'document-as-text', pointer)
  }

  /** Refuses an attachment, except in a tool's result, which must not end its conversation. */
  #refuse(block: AttachmentBlock, rule: RuleId, problem: string): void {
    const { pointer, isUsers, title } = block
    if (isUsers) {
      const message = `${pointer}: ${problem}`
      throw new GatewayError('GW_BODY_INVALID', undefined, { message, param: pointer, rule })
    }
    this.#repairs.note('document-omitted', pointer)
    block.replaceWith(
      toBlock({ title, context: '' }, { kind: 'failed', reason: `the document ${problem}` })
    )
  }
}

const TOO_LARGE = `is too large: at most ${(UpstreamLimits.documentChars * 3) / 4} bytes are taken; send its text`

function problemOf(
  base64: string,
  bytes: Buffer,
  format: CarriedDocument['format']
): readonly [RuleId, string] | null {
  if (base64 === '') return ['document-bytes', 'is empty']
  if (!isBase64(base64)) return ['document-bytes', 'is not base64']
  if (isOfFormat(bytes, format)) return null
  return ['document-format', `is declared as ${format}, but its content is not`]
}
