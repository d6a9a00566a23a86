import { asJsonObject, type JsonObject } from '../kiro/json-object.ts'
import type { BlockContext, ContentValue } from './block-context.ts'
import { AttachmentNeeded, attachmentOf } from './attachments.ts'
import { Blocks } from './block-schema.ts'
import { checkShape } from './check-shape.ts'
import { invalidPart } from './json-body.ts'
import { MessageDraft } from './message-draft.ts'

const TEXT_DATA_URL = /^data:text\/[^;,]+(?:;[^;,]*)*;base64,/i

/**
 * A `document` or `search_result` block: the upstream has no documents, so their text goes inline under a
 * line with their title.
 *
 * @throws {AttachmentNeeded} for PDFs and documents on the web
 * @throws {GatewayError} GW_BODY_INVALID for other documents that are not text, except in tool results: an agent
 *   that once opened one must be able to go on
 */
export function readDocument(block: JsonObject, context: BlockContext): void {
  if (block['type'] === 'search_result') {
    const { title, source, content } = checkShape(Blocks.searchResult, block, context.path)
    const heading = [title, source].filter(Boolean).join(', ')
    addNested(`[Search result: ${heading}]`, content, context)
    return
  }
  const { title, context: about, source } = checkShape(Blocks.document, block, context.path)
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
    throw new AttachmentNeeded(context.path)
  } else if (context.isInToolResult) {
    omitDocument(heading, context)
  } else {
    throw invalidPart(
      `${context.path}.source`,
      'only PDFs and documents of text are supported, by themselves or by URL; uploaded files do not exist here',
      'content-text'
    )
  }
}

/**
 * OpenAI's `file` and `input_file`: text inline under its name, like a document.
 *
 * @throws {AttachmentNeeded} for PDFs and files on the web
 * @throws {GatewayError} GW_BODY_INVALID for everything else, except in tool results
 */
export function readFile(block: JsonObject, context: BlockContext): void {
  const { draft, path } = context
  if (attachmentOf(block) !== null) {
    throw new AttachmentNeeded(path)
  }
  const file = asJsonObject(block['file']) ?? block
  const { file_data: data, filename } = file
  const head = typeof data === 'string' ? TEXT_DATA_URL.exec(data.slice(0, 256)) : null
  const title = typeof filename === 'string' ? `[Document: ${filename}]` : '[Document]'
  if (typeof data !== 'string' || head === null) {
    if (context.isInToolResult) return omitDocument(title, context)
    throw invalidPart(
      path,
      'only PDFs and files of text are supported, as "file_data" with a data URL; uploaded files do not exist here',
      'content-text'
    )
  }
  const text = textOfBase64(data.slice(head[0].length), path)
  draft.addParagraph(`${title}\n${text}`)
}

/** Each of these takes six characters of JSON, where base64 has not two for it. */
const CONTROL = /[^\P{Cc}\s]/gu
const MAX_CONTROL_SHARE = 0.1
const MAX_TEXT_CONTROLS = 1000

/** @throws {GatewayError} GW_BODY_INVALID for bytes that are no text. */
function textOfBase64(data: string, path: string): string {
  const text = Buffer.from(data, 'base64').toString()
  let controls = 0
  CONTROL.lastIndex = 0
  while (CONTROL.test(text)) {
    controls++
    if (controls > MAX_TEXT_CONTROLS && controls > text.length * MAX_CONTROL_SHARE) {
      throw invalidPart(path, 'is called text, and its bytes are none', 'content-text')
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
  context.draft.images.push(...draft.images)
}
