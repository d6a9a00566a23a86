import type { JsonObject } from '../kiro/json-object.ts'
import type { BlockContext, ContentValue } from './block-context.ts'
import { Blocks } from './block-schema.ts'
import { checkShape } from './check-shape.ts'
import { invalidPart } from './json-body.ts'
import { MessageDraft } from './message-draft.ts'

/**
 * A `document` or `search_result` block: the upstream has no documents, so their text goes inline under a
 * line with their title.
 *
 * @throws {GatewayError} GW_BODY_INVALID for PDFs and other documents that are not text, except in tool
 *   results: an agent that once opened a PDF must be able to go on.
 */
export function readDocument(block: JsonObject, context: BlockContext): void {
  if (block['type'] === 'search_result') {
    const { title, source, content } = checkShape(Blocks.searchResult, block, context.path)
    const heading = [title, source].filter(Boolean).join(', ')
    addNested(`[Search result: ${heading}]`, content, context)
    return
  }
  const { title, source } = checkShape(Blocks.document, block, context.path)
  const heading = title ? `[Document: ${title}]` : '[Document]'
  const mediaType = (source.media_type ?? '').toLowerCase()
  if (source.type === 'text') {
    context.draft.addParagraph(`${heading}\n${source.data ?? ''}`)
  } else if (source.type === 'content') {
    addNested(heading, source.content, context)
  } else if (source.type === 'base64' && mediaType.startsWith('text/')) {
    const text = Buffer.from(source.data ?? '', 'base64').toString()
    context.draft.addParagraph(`${heading}\n${text}`)
  } else if (context.isInToolResult) {
    context.repairs.note('document-omitted', context.path)
    context.draft.addParagraph(`${heading}\n(This document cannot be read here: it is not text.)`)
  } else {
    throw invalidPart(
      `${context.path}.source`,
      'only documents of text are supported; PDFs, URLs and uploaded files cannot be read',
      'content-text'
    )
  }
}

function addNested(heading: string, content: ContentValue, context: BlockContext): void {
  const draft = new MessageDraft(context.draft.role)
  const blocks = typeof content === 'string' ? [content] : (content ?? [])
  for (const block of blocks) context.readBlock(block, { ...context, draft })
  context.draft.addParagraph(`${heading}\n${draft.toText()}`)
  context.draft.images.push(...draft.images)
}
