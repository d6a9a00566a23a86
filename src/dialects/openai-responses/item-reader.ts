import type { Message, ToolCall, ToolResult } from '../../kiro/message.ts'
import type { UpstreamImage } from '../../kiro/payload.ts'
import type { Repairs } from '../../kiro/repairs.ts'
import { checkShape } from '../check-shape.ts'
import { readContent, readPart } from '../content-blocks.ts'
import { MessageDraft } from '../message-draft.ts'
import { toToolInput } from '../tool-input.ts'
import { CallIds } from './call-ids.ts'
import { COMPACTION_REQUEST, COMPACTION_TRIGGER, readCompaction } from './compaction.ts'
import { type DeclaredTools, SEARCH_NAME } from './declared-tools.ts'
import type { InputItem } from './input-items.ts'
import { Items } from './item-schema.ts'
import { readOutput } from './output-value.ts'
import { wordFoundTools } from './tools.ts'
import { isVendorCall, outputOf, readVendorCall } from './vendor-calls.ts'

/**
 * Reads the items of an input into system text and messages, one message for each: adjacent ones of one role
 * become one turn later on, so that an assistant's words and all its calls belong together.
 */
export class ItemReader {
  readonly systemParts: string[] = []
  readonly messages: Message[] = []
  readonly #declared: DeclaredTools
  readonly #repairs: Repairs
  readonly #ids = new CallIds()

  /** All tools must have been declared before, also those that stand in later items. */
  constructor(declared: DeclaredTools, repairs: Repairs) {
    this.#declared = declared
    this.#repairs = repairs
  }

  /** @throws {GatewayError} GW_BODY_INVALID */
  read(one: InputItem): void {
    const { type, item, path } = one
    switch (type) {
      case 'message':
        this.#readMessage(one)
        break
      case 'function_call': {
        const call = checkShape(Items.functionCall, item, path)
        this.#addCall(one, call, { name: this.#nameOf(call), input: call.arguments })
        break
      }
      case 'custom_tool_call': {
        const call = checkShape(Items.customCall, item, path)
        const input = { input: call.input ?? '' }
        this.#addCall(one, call, { name: this.#nameOf(call), input })
        break
      }
      case 'tool_search_call': {
        const call = checkShape(Items.searchCall, item, path)
        const name = this.#declared.fullNameOf(SEARCH_NAME, undefined)
        this.#addCall(one, call, { name, input: call.arguments })
        break
      }
      case 'tool_search_output': {
        const found = checkShape(Items.toolList, item, path)
        const text = wordFoundTools(found.tools, this.#declared)
        this.#addResult(one, found, { text, isError: false })
        break
      }
      case 'compaction': {
        const { text, isRead } = readCompaction(item)
        if (!isRead) this.#repairs.note('block-dropped', path)
        this.messages.push({ ...EMPTY, role: 'user', text, source: path })
        break
      }
      case COMPACTION_TRIGGER:
        this.messages.push({ ...EMPTY, role: 'user', text: COMPACTION_REQUEST, source: path })
        break
      case 'reasoning': // what it holds cannot be sent back to the upstream
      case 'additional_tools': // declared already
        break
      default: {
        const output = outputOf(one)
        if (output !== null) this.#readOutput({ ...one, item: output })
        else if (isVendorCall(type)) this.#readVendorCall(one)
        else this.#readOther(one)
      }
    }
  }

  #readMessage({ item, path }: InputItem): void {
    const { role, content } = checkShape(Items.message, item, path)
    const draft = new MessageDraft(role === 'assistant' ? 'assistant' : 'user')
    readContent(content, { draft, path: `${path}.content`, repairs: this.#repairs })
    switch (role ?? '') {
      case 'system':
      case 'developer':
        if (this.messages.length > 0) this.#repairs.note('system-hoisted', path)
        this.systemParts.push(draft.toText())
        // The system text has no place for images.
        if (draft.images.length > 0) {
          this.messages.push({ ...EMPTY, role: 'user', images: draft.images, source: path })
        }
        break
      case 'assistant':
      case 'user':
        this.messages.push(draft.toMessage(path))
        break
      default:
        this.#repairs.note('role-unknown', `${path}.role`)
        this.messages.push(draft.toMessage(path))
    }
  }

  /** The output of a function, a custom tool or any other call of a client's. */
  #readOutput(one: InputItem): void {
    const { item, path } = one
    const output = checkShape(Items.output, item, path)
    const draft = new MessageDraft('user')
    const text = readOutput(output.output, {
      draft,
      path: `${path}.output`,
      repairs: this.#repairs
    })
    const isError = output.status === 'failed'
    this.#addResult(one, output, { text, isError }, draft.images)
  }

  #readVendorCall(one: InputItem): void {
    const { id, callId, name, input, words } = readVendorCall(one)
    if (callId !== null) this.#addCall(one, { id, call_id: callId }, { name, input })
    else this.messages.push({ ...EMPTY, role: 'assistant', text: words, source: one.path })
  }

  /** A bare part, or an item of a type to come: what it has of text is kept. */
  #readOther({ type, item, path }: InputItem): void {
    const isAssistant = item['role'] === 'assistant' || ASSISTANT_PARTS.has(type)
    const draft = new MessageDraft(isAssistant ? 'assistant' : 'user')
    readPart(item, { draft, path, repairs: this.#repairs })
    if (draft.toText() !== '' || draft.images.length > 0) this.messages.push(draft.toMessage(path))
  }

  #nameOf(call: { readonly name: string; readonly namespace?: string | null }): string {
    return this.#declared.fullNameOf(call.name, call.namespace)
  }

  #addCall(
    { path }: InputItem,
    ids: ItemIds,
    { name, input }: { readonly name: string; readonly input: unknown }
  ): void {
    const call: ToolCall = {
      id: this.#ids.ofCall(ids.call_id, ids.id),
      name,
      input: toToolInput(input, this.#repairs, path),
      source: path
    }
    this.messages.push({ ...EMPTY, role: 'assistant', toolCalls: [call], source: path })
  }

  #addResult(
    { path }: InputItem,
    ids: ItemIds,
    said: Pick<ToolResult, 'text' | 'isError'>,
    images: readonly UpstreamImage[] = []
  ): void {
    const result: ToolResult = { ...said, id: this.#ids.ofOutput(ids.call_id), source: path }
    this.messages.push({ ...EMPTY, role: 'user', toolResults: [result], images, source: path })
  }
}

/** Parts that only an assistant's words are made of. */
const ASSISTANT_PARTS = new Set(['output_text', 'refusal', 'tool_use'])

interface ItemIds {
  readonly id?: string | null
  readonly call_id?: string | null
}

const EMPTY = { text: '', images: [], toolCalls: [], toolResults: [] } as const
