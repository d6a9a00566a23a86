import { isJsonObject, type JsonObject } from '../kiro/json-object.ts'
import type { ToolResult } from '../kiro/message.ts'
import type { BlockContext, ContentValue } from './block-context.ts'
import { Blocks } from './block-schema.ts'
import { checkShape } from './check-shape.ts'
import { MessageDraft } from './message-draft.ts'

/** A `tool_result` block. Its images go to the message: the upstream has no place for them in results. */
export function readToolResult(block: JsonObject, context: BlockContext): ToolResult {
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

/** The text of a tool's answer, each block on lines of its own; images go to `context.draft`. */
export function readResultContent(content: ContentValue, context: BlockContext): string {
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
    context.draft.images.push(...draft.images)
  }
  return lines.join('\n')
}
