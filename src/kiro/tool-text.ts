import { isBlank, joinText, type Message, type ToolCall, type ToolResult } from './message.ts'
import type { OfferedTools } from './tools.ts'
import type { Repairs } from './repairs.ts'

/** What stands for a result without text; the upstream refuses an empty one. */
export const EMPTY_RESULT = '(empty result)'

/**
 * Without tools on offer the upstream refuses tool turns, so all of them become text (kiro-protocol §4.8
 * step 4): a message's own text first, then its calls, then its results.
 */
export function toolTurnsToText(messages: readonly Message[], repairs: Repairs): Message[] {
  return messages.map((message) => {
    if (message.toolCalls.length === 0 && message.toolResults.length === 0) return message
    for (const { source } of [...message.toolCalls, ...message.toolResults]) {
      repairs.note('tools-as-text', source)
    }
    const pieces = [...message.toolCalls.map(callText), ...message.toolResults.map(resultText)]
    return { ...message, text: appendPieces(message.text, pieces), toolCalls: [], toolResults: [] }
  })
}

/**
 * Gives calls the names under which their tools are on offer; calls of tools that are not become text,
 * and so do their results (step 5).
 */
export function nameToolCalls(
  messages: readonly Message[],
  { wireNameOf }: OfferedTools,
  repairs: Repairs
): Message[] {
  const undeclared = new Set<string>()
  return messages.map((message) => {
    if (message.toolCalls.length === 0 && message.toolResults.length === 0) return message
    const pieces: string[] = []
    const toolCalls: ToolCall[] = []
    for (const call of message.toolCalls) {
      const name = wireNameOf(call.name)
      if (name === undefined) {
        undeclared.add(call.id)
        pieces.push(callText(call))
        repairs.note('tool-undeclared', call.source)
      } else {
        undeclared.delete(call.id)
        toolCalls.push(name === call.name ? call : { ...call, name })
      }
    }
    const toolResults: ToolResult[] = []
    for (const result of message.toolResults) {
      if (undeclared.has(result.id)) {
        pieces.push(resultText(result))
        repairs.note('tool-undeclared', result.source)
      } else {
        toolResults.push(result)
      }
    }
    return { ...message, text: appendPieces(message.text, pieces), toolCalls, toolResults }
  })
}

/** A call in words. */
export function callText(call: ToolCall): string {
  const { head, json } = callWords(call)
  return head + json
}

/** The two halves of a call in words: which one it is, and its arguments. */
export interface CallWords {
  readonly head: string
  readonly json: string
}

export function callWords({ name, id, input }: ToolCall): CallWords {
  return { head: `[Tool: ${name} (${id})]\n`, json: JSON.stringify(input) }
}

/** A result in words. */
export function resultText({ id, text }: ToolResult): string {
  return `[Tool Result (${id})]\n${isBlank(text) ? EMPTY_RESULT : text}`
}

/** Adds pieces to a text as paragraphs of their own. */
export function appendPieces(text: string, pieces: readonly string[]): string {
  return pieces.reduce((all, piece) => joinText(all, piece, '\n\n'), text)
}
