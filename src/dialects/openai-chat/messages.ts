import type { Message, Role } from '../../kiro/message.ts'
import type { Repairs } from '../../kiro/repairs.ts'
import { readContent, readResultText } from '../content-blocks.ts'
import { MessageDraft } from '../message-draft.ts'
import { toToolInput } from '../tool-input.ts'
import type { ChatMessage } from './schema.ts'

/** A request's messages, sorted into system text and turns. */
export interface ReadMessages {
  readonly systemParts: readonly string[]
  readonly messages: readonly Message[]
}

/** Reads the messages of a Chat Completions request, the legacy `function` ones too. */
export function readMessages(messages: readonly ChatMessage[], repairs: Repairs): ReadMessages {
  const systemParts: string[] = []
  const turns: Message[] = []
  const functionIds = new Map<string, string>()
  for (const [index, message] of messages.entries()) {
    const context = { index, repairs, functionIds }
    switch (message.role ?? '') {
      case 'system':
      case 'developer':
        if (turns.length > 0) repairs.note('system-hoisted', `messages[${index}]`)
        systemParts.push(readTurn('user', message, context).toText())
        break
      case 'assistant':
        turns.push(readTurn('assistant', message, context).toMessage(`messages[${index}]`))
        break
      case 'tool':
      case 'function':
        turns.push(readResult(message, context))
        break
      case 'user':
        turns.push(readTurn('user', message, context).toMessage(`messages[${index}]`))
        break
      default:
        repairs.note('role-unknown', `messages[${index}].role`)
        turns.push(readTurn('user', message, context).toMessage(`messages[${index}]`))
    }
  }
  return { systemParts, messages: turns }
}

interface MessageContext {
  readonly index: number
  readonly repairs: Repairs
  /** The id of the last legacy call of each function. */
  readonly functionIds: Map<string, string>
}

function readTurn(role: Role, message: ChatMessage, context: MessageContext): MessageDraft {
  const draft = new MessageDraft(role)
  const path = `messages[${context.index}].content`
  readContent(message.content, { draft, path, repairs: context.repairs })
  draft.addText(message.refusal ?? '')
  readCalls(message, draft, context)
  return draft
}

function readCalls(
  { tool_calls: calls, function_call: legacy }: ChatMessage,
  draft: MessageDraft,
  { index, repairs, functionIds }: MessageContext
): void {
  for (const [at, { id, function: called, custom }] of (calls ?? []).entries()) {
    const source = `messages[${index}].tool_calls[${at}]`
    const input = called?.arguments ?? (custom ? { input: custom.input ?? '' } : undefined)
    const name = called?.name ?? custom?.name
    if (name === undefined) repairs.note('block-dropped', source)
    else {
      const args = toToolInput(input, repairs, source)
      draft.toolCalls.push({ id: id ?? '', name, input: args, source })
    }
  }
  if (legacy === undefined || legacy === null) return
  const id = `call_${index}`
  functionIds.set(legacy.name, id)
  const source = `messages[${index}].function_call`
  const input = toToolInput(legacy.arguments, repairs, source)
  draft.toolCalls.push({ id, name: legacy.name, input, source })
}

function readResult(message: ChatMessage, context: MessageContext): Message {
  const { index, repairs, functionIds } = context
  const draft = new MessageDraft('user')
  const source = `messages[${index}]`
  const path = `${source}.content`
  const text = readResultText(message.content, { draft, path, repairs })
  const id = message.tool_call_id ?? functionIds.get(message.name ?? '') ?? ''
  draft.toolResults.push({ id, text, isError: false, source })
  draft.addText(message.refusal ?? '')
  readCalls(message, draft, context)
  return draft.toMessage(source)
}
