import { asJsonObject, type JsonObject } from '../../shared/json.ts'
import { checkShape, invalidPart } from '../plan/json-body.ts'
import { attachmentOf, fileDataOf, inlineSource, misplacedAttachment } from './attachments.ts'
import { type BlockContext, type ContentValue, MessageDraft } from './draft.ts'
import { imageOfUrl } from './images.ts'
import { Blocks } from './shape.ts'

const IMAGE_DATA_URL = /^data:image\/(?:png|jpe?g|gif|webp)[;,]/i
const TEXT_DATA_URL = /^data:text\/[^;,]+(?:;[^;,]*)*;base64,/i

/**
 * Puts text inline under its title: the upstream has no place for it.
 * @throws {GatewayError} GW_BODY_INVALID for documents that are not text, except in tool results: an agent
 * that once opened one must be able to go on
 */
export function readDocument(block: JsonObject, context: BlockContext): void {
  if (block['type'] === 'search_result') {
    const { title, source, content } = checkShape(Blocks.searchResult, block, context.path)
    const heading = [title, source].filter(Boolean).join(', ')
    addNested(`[Search result: ${heading}]`, content, context)
    return
  }
  const inline = { ...block, source: inlineSource(block['source']) }
  const { title, context: about, source } = checkShape(Blocks.document, inline, context.path)
  const heading = [title ? `[Document: ${title}]` : '[Document]', about].filter(Boolean).join('\n')
  const mediaType = (source.media_type ?? '').toLowerCase()
  if (source.type === 'text') {
    context.draft.addParagraph(`${heading}\n${source.data ?? ''}`)
  } else if (source.type === 'content') {
    addNested(heading, source.content, context)
  } else if (source.type === 'base64' && mediaType.startsWith('text/')) {
    const text = textOfBase64(source.data ?? '', `${context.path}.source.data`)
    context.draft.addParagraph(`${heading}\n${text}`)
  } else if (attachmentOf(block) !== null) {
    throw misplacedAttachment(context.path)
  } else if (context.isInToolResult) {
    omitDocument(heading, context)
  } else {
    throw invalidPart(
      `${context.path}.source`,
      'only PDF and text documents are supported, inline or by URL; uploaded files are not supported',
      'content-text'
    )
  }
}

/** @throws {GatewayError} GW_BODY_INVALID for anything but text and images, except in tool results */
export function readFile(block: JsonObject, context: BlockContext): void {
  const { draft, path } = context
  if (attachmentOf(block) !== null) throw misplacedAttachment(path)
  const file = asJsonObject(block['file']) ?? block
  const { filename } = file
  const data = fileDataOf(file)
  if (typeof data === 'string' && IMAGE_DATA_URL.test(data.slice(0, 256))) {
    draft.images.push(imageOfUrl(data, context))
    return
  }
  const head = typeof data === 'string' ? TEXT_DATA_URL.exec(data.slice(0, 256)) : null
  const title = typeof filename === 'string' ? `[Document: ${filename}]` : '[Document]'
  if (typeof data !== 'string' || head === null) {
    if (context.isInToolResult) return omitDocument(title, context)
    throw invalidPart(
      path,
      'only PDF and text files are supported, as "file_data" with a data URL; uploaded files are not supported',
      'content-text'
    )
  }
  const text = textOfBase64(data.slice(head[0].length), path)
  draft.addParagraph(`${title}\n${text}`)
}

/** A control character takes six characters of JSON, where base64 has less than two for it. */
const CONTROL = /[^\P{Cc}\s]/gu
const MAX_CONTROL_SHARE = 0.1
const MAX_TEXT_CONTROLS = 1000

/** @throws {GatewayError} GW_BODY_INVALID for binary content */
function textOfBase64(data: string, path: string): string {
  const text = Buffer.from(data, 'base64').toString()
  let controls = 0
  CONTROL.lastIndex = 0
  while (CONTROL.test(text)) {
    controls++
    if (controls > MAX_TEXT_CONTROLS && controls > text.length * MAX_CONTROL_SHARE) {
      throw invalidPart(path, 'is declared as text, but its content is not text', 'content-text')
    }
  }
  return text
}

function omitDocument(heading: string, { draft, path, repairs }: BlockContext): void {
  repairs.note('document-omitted', path)
  draft.addParagraph(`${heading}\n(This document cannot be read here: it is not text.)`)
}

function addNested(heading: string, content: ContentValue, context: BlockContext): void {
  const draft = new MessageDraft(context.draft.role)
  const blocks = typeof content === 'string' ? [content] : (content ?? [])
  const level = context.level + 1
  for (const block of blocks) context.readBlock(block, { ...context, draft, level })
  context.draft.addParagraph(`${heading}\n${draft.toText()}`)
  context.draft.adopt(draft)
}
