import type { JsonObject } from '../kiro/json-object.ts'
import { callText } from '../kiro/tool-text.ts'
import type { Block, BlockContext, ContentValue } from './block-context.ts'
import { Blocks } from './block-schema.ts'
import { checkShape } from './check-shape.ts'
import { readDocument, readFile } from './document-block.ts'
import { imageOfBase64, imageOfUrl } from './image-content.ts'
import { invalidPart } from './json-body.ts'
import { changedToolName } from './tool-changes.ts'
import { toToolInput } from './tool-input.ts'
import { readResultContent, readToolResult } from './tool-result-block.ts'
import { wordsOf } from './vendor-words.ts'

/**
 * Clients have a text in a document in the result of a tool, and nothing deeper. What is has its words read in one go:
 * every level between would copy them.
 */
const MAX_LEVELS = 4

/** What readers of a whole message's content need. */
export type ContentContext = Pick<BlockContext, 'draft' | 'path' | 'repairs'> & {
  readonly isInToolResult?: boolean
}

/**
 * Reads a message's content into its draft. Clients mix the vendors' block types, so every dialect takes
 * all of them; the path in an error says which block it was.
 *
 * @throws {AttachmentNeeded} for what must be fetched or turned into text first
 * @throws {GatewayError} GW_BODY_INVALID for blocks of a known type that are not what they must be, and for audio
 */
export function readContent(content: ContentValue, context: ContentContext): void {
  const { draft, path } = context
  if (content === null || content === undefined) return
  if (typeof content === 'string') {
    draft.addText(content)
    return
  }
  for (const [index, block] of content.entries()) {
    readPart(block, { ...context, path: `${path}[${index}]` })
  }
}

/** The same for one block that stands by itself at `context.path`. */
export function readPart(block: Block, context: ContentContext): void {
  const isInToolResult = context.isInToolResult ?? false
  readBlock(block, { ...context, isInToolResult, level: 0, readBlock })
}

/** The text of a tool's answer, each block on lines of its own; images go to the draft. */
export function readResultText(content: ContentValue, context: ContentContext): string {
  return readResultContent(content, { ...context, isInToolResult: true, level: 0, readBlock })
}

function readBlock(block: Block, context: BlockContext): void {
  if (typeof block === 'string') context.draft.addText(block)
  else if (context.level > MAX_LEVELS) readWords(block, context)
  else readTypedBlock(block, context)
}

function readTypedBlock(block: JsonObject, context: BlockContext): void {
  const { draft, path, repairs } = context
  switch (block['type']) {
    case 'text':
    case 'input_text':
    case 'output_text':
    case 'summary_text':
      draft.addText(checkShape(Blocks.text, block, path).text)
      break
    case 'refusal':
      draft.addText(checkShape(Blocks.refusal, block, path).refusal)
      break
    case 'image':
      readImage(block, context)
      break
    case 'image_url':
    case 'input_image':
      readImageUrl(block, context)
      break
    case 'tool_use':
      readToolUse(block, context)
      break
    case 'tool_result':
      draft.toolResults.push(readToolResult(block, context))
      break
    case 'tool_reference': {
      const { tool_name: name } = checkShape(Blocks.toolReference, block, path)
      draft.addParagraph(`The tool "${name}" is available now.`)
      break
    }
    case 'tool_addition':
    case 'tool_removal':
      readToolChange(block, context)
      break
    case 'document':
    case 'search_result':
      readDocument(block, context)
      break
    case 'thinking':
    case 'redacted_thinking':
    case 'reasoning':
      break
    case 'input_audio':
    case 'audio':
      if (!context.isInToolResult) throw invalidPart(path, 'audio is not supported', 'content-text')
      // Where a tool has said it, every later request would be refused as well.
      repairs.note('document-omitted', path)
      draft.addParagraph('[Audio]\n(It cannot be heard here.)')
      break
    case 'file':
    case 'input_file':
      readFile(block, context)
      break
    default:
      readOther(block, context)
  }
}

function readImage(block: JsonObject, { draft, path, repairs }: BlockContext): void {
  const { source } = checkShape(Blocks.image, block, path)
  const context = { path: `${path}.source`, repairs }
  if (source.type === 'base64') {
    draft.images.push(imageOfBase64(source.media_type ?? '', source.data ?? '', context))
  } else if (source.type === 'url') {
    draft.images.push(imageOfUrl(source.url ?? '', context))
  } else {
    throw invalidPart(
      `${path}.source.type`,
      'must be "base64"; uploaded files do not exist here',
      'image-bytes'
    )
  }
}

function readImageUrl(block: JsonObject, { draft, path, repairs }: BlockContext): void {
  if (typeof block['file_id'] === 'string' && !block['image_url']) {
    const problem = 'uploaded files do not exist here; send the image itself as "image_url"'
    throw invalidPart(`${path}.file_id`, problem, 'image-bytes')
  }
  const { image_url: image } = checkShape(Blocks.imageUrl, block, path)
  const url = typeof image === 'string' ? image : image.url
  const place = typeof image === 'string' ? `${path}.image_url` : `${path}.image_url.url`
  draft.images.push(imageOfUrl(url, { path: place, repairs }))
}

function readToolUse(block: JsonObject, { draft, path, repairs }: BlockContext): void {
  const { id, name, input } = checkShape(Blocks.toolUse, block, path)
  const args = toToolInput(input, repairs, path)
  draft.toolCalls.push({ id: id ?? '', name, input: args, source: path })
}

/** In words; what is on offer is another matter (`readToolChanges`). */
function readToolChange(block: JsonObject, { draft, path, repairs }: BlockContext): void {
  const name = changedToolName(block)
  if (name === '') return repairs.note('block-dropped', path)
  const state = block['type'] === 'tool_addition' ? 'now' : 'no longer'
  draft.addParagraph(`The tool "${name}" is ${state} available.`)
}

/**
 * Blocks of the vendors' own tools and of types to come: a call becomes words, text is kept wherever
 * such a block has it, and what has none is left out.
 */
function readOther(block: JsonObject, context: BlockContext): void {
  const { draft, path, repairs } = context
  const { text, name, input } = block
  if (typeof name === 'string' && input !== undefined) {
    const id = typeof block['id'] === 'string' ? block['id'] : ''
    draft.addParagraph(callText({ id, name, input: toToolInput(input, repairs, path) }))
  } else if (typeof text === 'string') {
    draft.addText(text)
  } else {
    readWords(block, context)
  }
}

function readWords(block: JsonObject, { draft, path, repairs }: BlockContext): void {
  const words = wordsOf(block)
  if (words === '') repairs.note('block-dropped', path)
  draft.addParagraph(words)
}
