import { asJsonObject, isJsonObject, type JsonObject } from '../kiro/json-object.ts'
import type { ContentValue } from './block-context.ts'

/** A tool and where in the body it stands. */
export interface PlacedTool {
  readonly tool: JsonObject
  readonly source: string
}

interface Said {
  readonly content?: ContentValue
}

/** What all messages together say about the tools on offer. */
export interface ToolChanges {
  /** Tools that came with a message. */
  readonly added: readonly PlacedTool[]
  /** Names that were withdrawn and not added again. */
  readonly withdrawn: ReadonlySet<unknown>
}

/**
 * Reads the `tool_addition` and `tool_removal` blocks in their order. The upstream takes one list of tools for a whole
 * conversation, so what holds at the end of it holds for all of it.
 */
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

/** The tool that a change is about, or the server whose tools they all are; `''` where it names none. */
export function changedToolName(block: JsonObject): string {
  const tool = asJsonObject(block['tool']) ?? {}
  const name = definitionOf(block)?.['name'] ?? tool['name'] ?? tool['server_name']
  return typeof name === 'string' ? name : ''
}

function definitionOf(block: JsonObject): JsonObject | null {
  return asJsonObject(asJsonObject(block['tool'])?.['definition'])
}

/** A compaction brings the changes of what it stands for. */
function* changesIn(messages: readonly Said[]) {
  for (const [index, { content }] of messages.entries()) {
    if (!Array.isArray(content)) continue
    for (const [at, block] of content.entries()) {
      const source = `messages[${index}].content[${at}]`
      if (!isJsonObject(block)) continue
      if (block['type'] === 'tool_addition' || block['type'] === 'tool_removal') {
        yield { block, source }
      }
      const earlier = block['type'] === 'compaction' ? block['tool_changes'] : undefined
      if (!Array.isArray(earlier)) continue
      for (const [place, change] of earlier.entries()) {
        if (isJsonObject(change))
          yield { block: change, source: `${source}.tool_changes[${place}]` }
      }
    }
  }
}
