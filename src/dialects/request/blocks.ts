import { readThinking } from '../../kiro/conversation/signed-reasoning.ts'
import { callText } from '../../kiro/conversation/tool-turns.ts'
import type { ToolResult } from '../../kiro/wire/message.ts'
import { asJsonObject, isJsonObject, type JsonObject } from '../../shared/json.ts'
import { checkShape, invalidPart } from '../plan/json-body.ts'
import { readDocument, readFile } from './documents.ts'
import {
  type Block,
  type BlockContext,
  type ContentValue,
  MessageDraft,
  type PlacedDocument,
  placedDocumentOf,
  toToolInput
} from './draft.ts'
import { imageOfBase64, imageOfUrl } from './images.ts'
import { Blocks } from './shape.ts'

/** Deeper text is read in one pass, since every level would copy it; clients nest no deeper. */
const MAX_LEVELS = 4

export type ContentContext = Pick<BlockContext, 'draft' | 'path' | 'repairs'> & {
  readonly isInToolResult?: boolean
}

/**
 * Clients mix the vendors' block types, so every dialect takes all of them.
 * @throws {GatewayError} GW_BODY_INVALID for malformed blocks of a known type, audio, and unresolved
 * attachments
 */
export function readContent(content: ContentValue, context: ContentContext): void {
  const { draft, path } = context
  if (content === null || content === undefined) return
  if (typeof content === 'string') {
    draft.addText(content)
    return
  }
  const { isInToolResult = false } = context
  for (const [index, block] of content.entries()) {
    const at = `${path}[${index}]`
    readBlock(block, { ...context, path: at, isInToolResult, level: 0, readBlock })
  }
}

export function readPart(block: Block, context: ContentContext): void {
  const isInToolResult = context.isInToolResult ?? false
  readBlock(block, { ...context, isInToolResult, level: 0, readBlock })
}

export function readResultText(content: ContentValue, context: ContentContext): string {
  return readResultContent(content, { ...context, isInToolResult: true, level: 0, readBlock })
}

function readBlock(block: Block, context: BlockContext): void {
  if (typeof block === 'string') return context.draft.addText(block)
  const placed = placedDocumentOf(block)
  if (placed !== undefined) addPlaced(placed, context.draft)
  else if (context.level > MAX_LEVELS) readWords(block, context)
  else readTypedBlock(block, context)
}

function addPlaced(placed: PlacedDocument, draft: MessageDraft): void {
  if ('note' in placed) return draft.addEndNote(placed.note)
  draft.addParagraph(placed.context)
  draft.documents.push(placed.document)
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
      draft.reasoning = readThinking(block)
      break
    case 'reasoning':
      break
    case 'input_audio':
    case 'audio':
      if (!context.isInToolResult) throw invalidPart(path, 'audio is not supported', 'content-text')
      // Refusing audio of a tool's would also refuse every later request.
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
      'must be "base64"; uploaded files are not supported',
      'image-bytes'
    )
  }
}

function readImageUrl(block: JsonObject, { draft, path, repairs }: BlockContext): void {
  if (typeof block['file_id'] === 'string' && !block['image_url']) {
    const problem = 'uploaded files are not supported; send the image itself as "image_url"'
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

function readToolChange(block: JsonObject, { draft, path, repairs }: BlockContext): void {
  const name = changedToolName(block)
  if (name === '') return repairs.note('block-dropped', path)
  const state = block['type'] === 'tool_addition' ? 'now' : 'no longer'
  draft.addParagraph(`The tool "${name}" is ${state} available.`)
}

/** Turns calls into words, keeps text and drops other blocks. */
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

/** Reads a `tool_result`; its images go to the message, since the upstream takes none in results. */
function readToolResult(block: JsonObject, context: BlockContext): ToolResult {
  const result = checkShape(Blocks.toolResult, block, context.path)
  const { content } = result
  const text = isJsonObject(content)
    ? JSON.stringify(content)
    : readResultContent(content, { ...context, path: `${context.path}.content` })
  return {
    id: result.tool_use_id ?? '',
    text,
    isError: result.is_error === true,
    source: context.path
  }
}

function readResultContent(content: ContentValue, context: BlockContext): string {
  if (typeof content === 'string') return content
  const lines: string[] = []
  for (const [index, block] of (content ?? []).entries()) {
    const draft = new MessageDraft(context.draft.role)
    const path = `${context.path}[${index}]`
    context.readBlock(block, {
      ...context,
      path,
      draft,
      isInToolResult: true,
      level: context.level + 1
    })
    const text = draft.toText()
    if (text !== '') lines.push(text)
    context.draft.adopt(draft)
  }
  return lines.join('\n')
}

const LINE_MEMBERS = ['title', 'url', 'tool_name', 'text'] as const

const NESTED_MEMBERS = [
  'stdout',
  'stderr',
  'error_message',
  'lines',
  'source',
  'content',
  'tool_references',
  'tabs'
] as const

/** Finds the readable text in a block of a vendor's tool, whatever its shape; `''` if there is none. */
export function wordsOf(value: unknown): string {
  const lines: string[] = []
  addLines(value, lines)
  return lines.join('\n')
}

function addLines(value: unknown, lines: string[]): void {
  if (typeof value === 'string') addLine(value, lines)
  else if (Array.isArray(value)) for (const one of value) addLines(one, lines)
  else if (isJsonObject(value)) addLinesOfObject(value, lines)
}

function addLinesOfObject(value: JsonObject, lines: string[]): void {
  const { error_code: code, encrypted_content: content, type, data } = value
  // Our content is the page's text; Anthropic's is one long encrypted word.
  const excerpt = typeof content === 'string' && content.includes(' ') ? content : ''
  const words = [...LINE_MEMBERS.map((name) => textOf(value[name])), excerpt]
  addLine(words.filter((word) => word !== '').join(' '), lines)
  if (typeof code === 'string') lines.push(`It failed: ${code}`)
  if (type === 'text') addLine(textOf(data), lines)
  for (const name of NESTED_MEMBERS) addLines(value[name], lines)
}

function addLine(line: string, lines: string[]): void {
  if (line !== '') lines.push(line)
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

interface PlacedTool {
  readonly tool: JsonObject
  readonly source: string
}

interface Said {
  readonly content?: ContentValue
}

interface ToolChanges {
  readonly added: readonly PlacedTool[]
  readonly withdrawn: ReadonlySet<unknown>
}

/** Applies the changes in order. The upstream takes one list of tools, so the final state holds for all messages. */
export function readToolChanges(messages: readonly Said[]): ToolChanges {
  const added = new Map<string, PlacedTool>()
  const withdrawn = new Set<unknown>()
  for (const { block, source } of changesIn(messages)) {
    const name = changedToolName(block)
    if (block['type'] === 'tool_removal') withdrawn.add(name)
    else withdrawn.delete(name)
    const tool = definitionOf(block)
    if (tool !== null) added.set(name, { tool, source: `${source}.tool.definition` })
  }
  return { added: [...added.values()], withdrawn }
}

function changedToolName(block: JsonObject): string {
  const tool = asJsonObject(block['tool']) ?? {}
  const name = definitionOf(block)?.['name'] ?? tool['name'] ?? tool['server_name']
  return typeof name === 'string' ? name : ''
}

function definitionOf(block: JsonObject): JsonObject | null {
  return asJsonObject(asJsonObject(block['tool'])?.['definition'])
}

const CHANGE_TYPES = new Set<unknown>(['tool_addition', 'tool_removal', 'compaction'])

/** A compaction carries the changes of what it replaces. */
function* changesIn(messages: readonly Said[]) {
  for (const [index, { content }] of messages.entries()) {
    if (!Array.isArray(content)) continue
    for (const [at, block] of content.entries()) {
      if (!isJsonObject(block) || !CHANGE_TYPES.has(block['type'])) continue
      const source = `messages[${index}].content[${at}]`
      if (block['type'] !== 'compaction') {
        yield { block, source }
        continue
      }
      const earlier = block['tool_changes']
      if (!Array.isArray(earlier)) continue
      for (const [place, change] of earlier.entries()) {
        if (isJsonObject(change))
          yield { block: change, source: `${source}.tool_changes[${place}]` }
      }
    }
  }
}
