import type { Message } from '../../kiro/message.ts'
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
        if (turns.length > 0) repairs.note('system-hoisted')
        systemParts.push(readDraft('user', message, context).toText())
        break
      case 'assistant':
        turns.push(readAssistant(message, context))
        break
      case 'tool':
      case 'function':
        turns.push(readResult(message, context))
        break
      case 'user':
        turns.push(readDraft('user', message, context).toMessage())
        break
      default:
        repairs.note('role-unknown')
        turns.push(readDraft('user', message, context).toMessage())
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

function readDraft(
  role: Message['role'],
  message: ChatMessage,
  { index, repairs }: MessageContext
): MessageDraft {
  const draft = new MessageDraft(role)
  readContent(message.content, { draft, path: `messages[${index}].content`, repairs })
  return draft
}

function readAssistant(message: ChatMessage, context: MessageContext): Message {
  const { repairs, index, functionIds } = context
  const draft = readDraft('assistant', message, context)
  draft.addText(message.refusal ?? '')
  for (const { id, function: called, custom } of message.tool_calls ?? []) {
    const input = called?.arguments ?? (custom ? { input: custom.input ?? '' } : undefined)
    const name = called?.name ?? custom?.name
    if (name === undefined) repairs.note('block-dropped')
    else draft.toolCalls.push({ id: id ?? '', name, input: toToolInput(input, repairs) })
  }
  const legacy = message.function_call
  if (legacy !== undefined && legacy !== null) {
    const id = `call_${index}`
    functionIds.set(legacy.name, id)
    draft.toolCalls.push({ id, name: legacy.name, input: toToolInput(legacy.arguments, repairs) })
  }
  return draft.toMessage()
}

function readResult(
  message: ChatMessage,
  { index, repairs, functionIds }: MessageContext
): Message {
  const draft = new MessageDraft('user')
  const path = `messages[${index}].content`
  const text = readResultText(message.content, { draft, path, repairs })
  const id = message.tool_call_id ?? functionIds.get(message.name ?? '') ?? ''
  draft.toolResults.push({ id, text, isError: false })
  return draft.toMessage()
}
