import { openReasoning } from '../../kiro/conversation/signed-reasoning.ts'
import { callText, resultText } from '../../kiro/conversation/tool-turns.ts'
import type { Repairs } from '../../kiro/rules/repairs.ts'
import {
  type KeptReasoning,
  type Message,
  type Role,
  textMessage,
  type ToolCall,
  type ToolResult
} from '../../kiro/wire/message.ts'
import { isJsonObject, type JsonObject } from '../../shared/json.ts'
import { type ContentContext, readContent, readPart, readResultText } from '../request/blocks.ts'
import { type Block, MessageDraft, SortedMessages, toToolInput } from '../request/draft.ts'
import { checkShape } from '../plan/json-body.ts'
import {
  COMPACTION_REQUEST,
  COMPACTION_TRIGGER,
  readCompaction,
  UNREADABLE
} from './output-items.ts'
import type { SummaryKeys } from '../../shared/sealed-summary.ts'
import { type DeclaredTools, SEARCH_NAME } from './declared-tools.ts'
import type { InputItem } from './input.ts'
import { Items } from './schema.ts'
import { wordFoundTools } from './tools.ts'

/** Output of a function or custom tool whose call is not among the items before it. */
export interface StrayOutput {
  readonly path: string
  readonly callId: string
}

const FUNCTION_OUTPUTS: ReadonlySet<string> = new Set([
  'function_call_output',
  'custom_tool_call_output'
])

/** Reads input items. Adjacent messages of one role are joined later, so that words and calls become one turn. */
export class ItemReader {
  readonly sorted: SortedMessages
  readonly strayOutputs: StrayOutput[] = []
  readonly #declared: DeclaredTools
  readonly #repairs: Repairs
  readonly #summaryKeys: SummaryKeys | undefined
  readonly #ids = new CallIds()
  /** Waits for the words or calls that follow it. */
  #reasoning: KeptReasoning | null | undefined

  /** Needs all tools declared, also those of later items. */
  constructor(declared: DeclaredTools, repairs: Repairs, summaryKeys?: SummaryKeys) {
    this.#summaryKeys = summaryKeys
    this.#declared = declared
    this.#repairs = repairs
    this.sorted = new SortedMessages(repairs)
  }

  /** Some result belongs to a call only by a name that is not the call's own. */
  get hasDistantIds(): boolean {
    return this.#ids.hasDistant
  }

  /** False while reasoning waits. */
  get isBetweenMessages(): boolean {
    return this.#reasoning === undefined
  }

  /** @throws {GatewayError} GW_BODY_INVALID */
  read(one: InputItem): void {
    const { messages } = this.sorted
    const at = messages.length
    this.#readItem(one)
    const first = messages[at]
    if (first === undefined) return
    if (this.#reasoning !== undefined && first.role === 'assistant') {
      messages[at] = { ...first, reasoning: this.#reasoning }
    }
    this.#reasoning = undefined
  }

  #readItem(one: InputItem): void {
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
        const text = readCompaction(item, path, this.#summaryKeys)
        if (text === UNREADABLE) this.#repairs.note('block-dropped', path)
        this.#add('user', path, { text })
        break
      }
      case COMPACTION_TRIGGER:
        this.#add('user', path, { text: COMPACTION_REQUEST })
        break
      case 'reasoning':
        this.#readReasoning(openReasoning(item['encrypted_content']))
        break
      case 'additional_tools': // declared already
        break
      default: {
        const output = outputOf(one)
        if (output !== null) this.#readOutput({ ...one, item: output })
        else if (type.endsWith(SUFFIX) || CALL_TYPES.has(type)) this.#readVendorCall(one)
        else this.#readOther(one)
      }
    }
  }

  /** Keeps reasoning for the words or calls around it; alone it means nothing. */
  #readReasoning(reasoning: KeptReasoning | null): void {
    const { messages } = this.sorted
    const last = messages.at(-1)
    if (last?.role === 'assistant') messages[messages.length - 1] = { ...last, reasoning }
    else this.#reasoning = reasoning
  }

  #readMessage({ item, path }: InputItem): void {
    const { role, content } = checkShape(Items.message, item, path)
    const draft = new MessageDraft(role === 'assistant' ? 'assistant' : 'user')
    readContent(content, { draft, path: `${path}.content`, repairs: this.#repairs })
    const isSystem = (role === 'system' || role === 'developer') && this.sorted.isAtSystemText
    this.sorted.add(role, draft, path)
    // System text cannot carry images.
    if (isSystem && draft.images.length + draft.documents.length > 0) {
      const { images, documents } = draft
      this.#add('user', path, { images, documents })
    }
  }

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
    this.#addResult(one, output, { text, isError }, draft)
  }

  /** The vendor's tool is never on offer, so that its call becomes words. */
  #readVendorCall(one: InputItem): void {
    const { type, item, path } = one
    const ids = checkShape(Items.vendorCall, item, path)
    const name = type.endsWith(SUFFIX) ? type.slice(0, -SUFFIX.length) : type
    const input = inputOf(item)
    if (ids.call_id) return this.#addCall(one, ids, { name, input })
    // The item has the result, too: OpenAI ran the call.
    const id = ids.id ?? ''
    const { output } = item
    const isTold = typeof output === 'string' && output !== ''
    const told = isTold ? `\n\n${resultText({ id, text: output, isError: false })}` : ''
    const text = callText({ id, name, input }) + told
    this.#add('assistant', path, { text })
  }

  #readOther({ type, item, path }: InputItem): void {
    const isAssistant = item['role'] === 'assistant' || ASSISTANT_PARTS.has(type)
    const draft = new MessageDraft(isAssistant ? 'assistant' : 'user')
    readPart(item, { draft, path, repairs: this.#repairs })
    if (draft.toText() !== '' || draft.images.length + draft.documents.length > 0)
      this.sorted.messages.push(draft.toMessage(path))
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
    this.#add('assistant', path, { toolCalls: [call] })
  }

  #addResult(
    { path, type }: InputItem,
    ids: ItemIds,
    said: Pick<ToolResult, 'text' | 'isError'>,
    { images = [], documents = [] }: Partial<Pick<MessageDraft, 'images' | 'documents'>> = {}
  ): void {
    const id = this.#ids.ofOutput(ids.call_id)
    if (ids.call_id && FUNCTION_OUTPUTS.has(type) && !this.#ids.isCall(id))
      this.strayOutputs.push({ path, callId: ids.call_id })
    const result: ToolResult = { ...said, id, source: path }
    this.#add('user', path, { toolResults: [result], images, documents })
  }

  #add(role: Role, source: string, said: Partial<Message>): void {
    this.sorted.messages.push({ ...textMessage(role, ''), ...said, source })
  }
}

const ASSISTANT_PARTS = new Set(['output_text', 'refusal', 'tool_use'])

interface ItemIds {
  readonly id?: string | null
  readonly call_id?: string | null
}

/** Reads a tool's output: a string, a list of parts (images go to the draft), or any other JSON as text. */
function readOutput(output: unknown, context: ContentContext): string {
  if (output === undefined || output === null) return ''
  if (typeof output === 'string') return output
  if (Array.isArray(output) && (output.length === 0 || output.some(isPart))) {
    return readResultText(output.map(toPart), context)
  }
  if (isJsonObject(output) && typeof output['image_url'] === 'string') {
    return readResultText([{ type: 'input_image', image_url: output['image_url'] }], context)
  }
  return JSON.stringify(output)
}

/** JSON of a tool may have types of its own. */
function isPart(value: unknown): value is Block {
  if (typeof value === 'string') return true
  if (!isJsonObject(value)) return false
  const { type } = value
  if (typeof type !== 'string') return false
  return /^(?:in|out)put_/.test(type) || PART_MEMBERS.some((member) => member in value)
}

function toPart(value: unknown): Block {
  return isPart(value) ? value : { type: 'text', text: JSON.stringify(value) }
}

const PART_MEMBERS = [
  'text',
  'refusal',
  'content',
  'source',
  'image_url',
  'file',
  'file_data',
  'file_id',
  'file_url',
  'encrypted_content',
  'tool_name'
] as const

const JOINT = /[|\n]/
const JOINED = 2

/** Matches outputs to calls that are named by the call's id, the item's id, or both joined. */
class CallIds {
  readonly #calls = new Set<string>()
  readonly #others = new Map<string, string>()
  #hasDistant = false

  get hasDistant(): boolean {
    return this.#hasDistant
  }

  isCall(id: string): boolean {
    return this.#calls.has(id)
  }

  ofCall(callId: string | null | undefined, itemId: string | null | undefined): string {
    const id = callId || itemId || ''
    if (id === '') return ''
    this.#calls.add(id)
    for (const other of [itemId ?? '', ...id.split(JOINT, JOINED)]) {
      if (other !== '' && !this.#others.has(other)) this.#others.set(other, id)
    }
    return id
  }

  /** The id of the call that an output belongs to, or its own if there is no such call. */
  ofOutput(callId: string | null | undefined): string {
    const id = callId ?? ''
    if (this.#calls.has(id)) return id
    this.#hasDistant = true
    for (const word of [id, ...id.split(JOINT, JOINED)]) {
      const call = this.#calls.has(word) ? word : this.#others.get(word)
      if (call !== undefined) return call
    }
    return id
  }
}

/** Suffix of call types, such as `web_search_call` or `local_shell_call`. */
const SUFFIX = '_call'
const CALL_TYPES = new Set(['program', 'mcp_approval_request'])
/** Members that are not input: marks of the item, its result, bytes. */
const OTHER_MEMBERS = new Set([
  'type',
  'id',
  'call_id',
  'status',
  'output',
  'result',
  'encrypted_content'
])

/** Returns the result as a function's output; `null` for items of other types. */
function outputOf({ type, item }: InputItem): JsonObject | null {
  switch (type) {
    case 'local_shell_call_output':
      return { ...item, call_id: item['call_id'] ?? item['id'] }
    case 'program_output':
      return { ...item, output: item['result'] }
    case 'mcp_approval_response': {
      const { approval_request_id: callId, approve, reason } = item
      return { ...item, call_id: callId, output: { approve, reason } }
    }
    default:
      return type.endsWith('_call_output') ? item : null
  }
}

function inputOf(item: JsonObject): JsonObject {
  const { action } = item
  if (isJsonObject(action) && typeof action['query'] === 'string') return { query: action['query'] }
  return Object.fromEntries(Object.entries(item).filter(([key]) => !OTHER_MEMBERS.has(key)))
}
