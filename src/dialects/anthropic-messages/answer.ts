import { isJsonObject } from '../../shared/json.ts'
import { type AnswerRoom, ENDLESS_ROOM, heapBytesOf } from '../answer/long-text.ts'
import { glue, glueWith, OutputText, type Written } from '../answer/output-text.ts'
import { SseComment, toSseEvent, toTellable } from '../answer/sse.ts'
import type {
  AnswerIdentity,
  Collector,
  EndReason,
  SearchResult,
  StreamPart,
  Translator,
  Usage
} from '../answer/stream-part.ts'
import type { ReplyPlan } from '../plan/plan.ts'
import { AnthropicErrors } from './error.ts'

/** What a client of this API asks of its answer beside what all may ask. */
export interface MessagesWishes {
  /** Kinds of safety verdict; all are answered as unsupported, none is made up. */
  readonly safeguards: readonly string[]
}

type MessagesPlan = ReplyPlan<MessagesWishes>

type Block =
  | { readonly type: 'text'; readonly text: OutputText }
  | { readonly type: 'thinking'; readonly text: OutputText; signature: string }
  | { readonly type: 'redacted'; readonly content: string }
  | { readonly type: 'tool'; readonly id: string; readonly name: string; readonly json: OutputText }
  | { readonly type: 'search'; readonly json: string }

/** What a block takes beside its texts, at most. */
const BlockBytes = 1024

/** Collects one answer into a message (kiro-protocol §10.4.2). */
export class AnthropicAnswer implements Collector {
  readonly #plan: MessagesPlan
  readonly #identity: AnswerIdentity
  readonly #room: AnswerRoom
  readonly #blocks: Block[] = []
  #searches = 0
  #end: Extract<StreamPart, { type: 'end' }> | null = null

  constructor(plan: MessagesPlan, identity: AnswerIdentity, room: AnswerRoom = ENDLESS_ROOM) {
    this.#plan = plan
    this.#identity = identity
    this.#room = room
  }

  push(part: StreamPart): void {
    switch (part.type) {
      case 'text':
        this.#addText(part.text)
        break
      case 'reasoning':
        this.#thinking().text.add(part.text)
        break
      case 'signature':
        this.#room.hold(heapBytesOf(part.signature))
        this.#thinking().signature = part.signature
        break
      case 'redacted':
        this.#room.hold(heapBytesOf(part.content))
        this.#add(part)
        break
      case 'tool-start':
        this.#add(this.#newCall(part.id, part.name))
        break
      case 'tool-delta':
        this.#addJson(part.json)
        break
      case 'end':
        this.#end = part
        break
      case 'tool-end':
        // Nobody could tell it from a whole one in here.
        if (part.isCut === true) this.#blocks.pop()
        break
      case 'search':
        this.#searches++
        this.#addSearch(toSearchBlocks(part).join(','))
        break
    }
  }

  toJson(): Written {
    if (this.#end === null) throw new Error('The answer has not ended')
    const { reason, stopSequence, usage } = this.#end
    const head = {
      id: this.#identity.id,
      type: 'message',
      role: 'assistant',
      model: this.#plan.asked.model
    }
    const tail = {
      stop_reason: StopReasons[reason],
      stop_sequence: stopSequence ?? null,
      ...safeguardMembers(this.#plan),
      usage: toAnthropicUsage({ cacheReadTokens: 0, cacheWriteTokens: 0, ...usage }, this.#searches)
    }
    return glue(
      `${JSON.stringify(head).slice(0, -1)},"content":[`,
      glueWith(',', this.#blocks.map(toBlockJson)),
      `],${JSON.stringify(tail).slice(1)}`
    )
  }

  #add<B extends Block>(block: B): B {
    this.#room.hold(BlockBytes)
    this.#blocks.push(block)
    return block
  }

  #addText(text: string): void {
    const last = this.#blocks.at(-1)
    const block =
      last?.type === 'text'
        ? last
        : this.#add({ type: 'text', text: new OutputText(this.#room) } as const)
    block.text.add(text)
  }

  /** The thinking block that is being written; a signed one is complete. */
  #thinking(): Extract<Block, { type: 'thinking' }> {
    const last = this.#blocks.at(-1)
    if (last?.type === 'thinking' && last.signature === '') return last
    return this.#add({ type: 'thinking', text: new OutputText(this.#room), signature: '' })
  }

  #newCall(id: string, name: string): Block {
    return { type: 'tool', id, name, json: new OutputText(this.#room, 'plain') }
  }

  #addSearch(json: string): void {
    this.#room.hold(heapBytesOf(json))
    this.#add({ type: 'search', json })
  }

  #addJson(json: string): void {
    const last = this.#blocks.at(-1)
    if (last?.type === 'tool') last.json.add(json)
  }
}

/** Tool arguments go in as the text they are: parsing them would round large numbers. */
function toBlockJson(block: Block): Written {
  switch (block.type) {
    case 'search':
      return block.json
    case 'redacted':
      return JSON.stringify({ type: 'redacted_thinking', data: block.content })
    case 'tool': {
      const head = JSON.stringify({ type: 'tool_use', id: block.id, name: block.name })
      return glue(`${head.slice(0, -1)},"input":`, block.json.written(), '}')
    }
    case 'text':
      return glue('{"type":"text","text":', block.text.written(), '}')
    case 'thinking': {
      const signature = JSON.stringify(block.signature)
      const text = block.text.written()
      return glue('{"type":"thinking","thinking":', text, `,"signature":${signature}}`)
    }
  }
  return ''
}

type EndPart = Extract<StreamPart, { type: 'end' }>
type SearchPart = Extract<StreamPart, { type: 'search' }>
type BlockKind = 'text' | 'thinking' | 'tool'

const Ping = toSseEvent('ping', '{"type":"ping"}')
const MessageStop = toSseEvent('message_stop', '{"type":"message_stop"}')
const BlockStarts = {
  text: '{"type":"text","text":""}',
  thinking: '{"type":"thinking","thinking":"","signature":""}'
} as const

/**
 * Writes one answer as Anthropic's events (kiro-protocol §10.4.3). At most one block is open, indexes
 * count from 0 without gaps, no block is opened for nothing, `message_stop` only after a whole answer.
 *
 * ```
 *   new ──first part──▶ open { [block start · deltas · stop]* } ──end──▶ ended
 * ```
 */
export class AnthropicTranslator implements Translator {
  readonly #plan: MessagesPlan
  readonly #identity: AnswerIdentity
  #state: 'new' | 'open' | 'ended' = 'new'
  #block: BlockKind | null = null
  #index = -1
  #searches = 0
  /** A call broke off that the client has seen the beginning of. */
  #isCut = false
  /** The current block's delta event up to its own members; made once per block (hot path). */
  #deltaHead = ''

  constructor(plan: MessagesPlan, identity: AnswerIdentity) {
    this.#plan = plan
    this.#identity = identity
  }

  push(part: StreamPart): string {
    switch (part.type) {
      case 'text':
        return (
          this.#enter('text') +
          this.#delta(`"type":"text_delta","text":${JSON.stringify(part.text)}`)
        )
      case 'reasoning':
        return (
          this.#enter('thinking') +
          this.#delta(`"type":"thinking_delta","thinking":${JSON.stringify(part.text)}`)
        )
      case 'signature':
        return this.#sign(part.signature)
      case 'redacted': {
        const block = { type: 'redacted_thinking', data: part.content }
        return this.#open('thinking', JSON.stringify(block)) + this.#close()
      }
      case 'tool-start':
        return this.#startTool(part.id, part.name)
      case 'tool-delta':
        return this.#delta(`"type":"input_json_delta","partial_json":${JSON.stringify(part.json)}`)
      case 'tool-end':
        if (part.isCut === true) this.#isCut = true
        return this.#close()
      case 'search':
        return this.#search(part)
      case 'end':
        return this.#end(part)
    }
    return ''
  }

  fail(error: Error): string {
    this.#state = 'ended'
    return AnthropicErrors.toEvent(toTellable(error))
  }

  heartbeat(): string {
    if (this.#state === 'ended') return ''
    return this.#state === 'new' ? SseComment : Ping
  }

  /** A signature is the last thing in its block; without text before it the block is just that. */
  #sign(signature: string): string {
    const event = `"type":"signature_delta","signature":${JSON.stringify(signature)}`
    return this.#enter('thinking') + this.#delta(event) + this.#close()
  }

  #startTool(id: string, name: string): string {
    const fixed = `"type":"tool_use","id":${JSON.stringify(id)}`
    return this.#open('tool', `{${fixed},"name":${JSON.stringify(name)},"input":{}}`)
  }

  #search(part: SearchPart): string {
    this.#searches++
    const [call, found] = toSearchBlocks(part)
    return this.#open('tool', call) + this.#close() + this.#open('tool', found) + this.#close()
  }

  #end(part: EndPart): string {
    const before = this.#start() + this.#close()
    const delta = {
      stop_reason: StopReasons[this.#isCut && part.reason === 'tool' ? 'length' : part.reason],
      stop_sequence: part.stopSequence ?? null,
      ...safeguardMembers(this.#plan)
    }
    const usage = toAnthropicUsage(part.usage, this.#searches)
    this.#state = 'ended'
    return (
      before +
      toSseEvent('message_delta', JSON.stringify({ type: 'message_delta', delta, usage })) +
      MessageStop
    )
  }

  #enter(kind: keyof typeof BlockStarts): string {
    return this.#block === kind ? '' : this.#open(kind, BlockStarts[kind])
  }

  #open(kind: BlockKind, block: string): string {
    const before = this.#start() + this.#close()
    this.#block = kind
    this.#index++
    this.#deltaHead = `event: content_block_delta\ndata: {"type":"content_block_delta","index":${this.#index},"delta":{`
    const json = `{"type":"content_block_start","index":${this.#index},"content_block":${block}}`
    return before + toSseEvent('content_block_start', json)
  }

  #delta(members: string): string {
    return `${this.#deltaHead}${members}}}\n\n`
  }

  #close(): string {
    if (this.#block === null) return ''
    this.#block = null
    const json = `{"type":"content_block_stop","index":${this.#index}}`
    return toSseEvent('content_block_stop', json)
  }

  #start(): string {
    if (this.#state !== 'new') return ''
    this.#state = 'open'
    const message = {
      id: this.#identity.id,
      type: 'message',
      role: 'assistant',
      model: this.#plan.asked.model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      // Clients add the cache counts up, so they are told from the start; so far nothing is known of any.
      usage: {
        input_tokens: this.#plan.inputTokens,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
        output_tokens: 1
      }
    }
    const json = JSON.stringify({ type: 'message_start', message })
    return toSseEvent('message_start', json) + Ping
  }
}

/** Anthropic's words for why an answer ended (kiro-protocol §10.1). */
export const StopReasons = {
  stop: 'end_turn',
  tool: 'tool_use',
  length: 'max_tokens',
  context: 'model_context_window_exceeded',
  'stop-sequence': 'stop_sequence',
  filter: 'refusal',
  pause: 'pause_turn'
} as const satisfies Record<EndReason, string>

/** Usage in Anthropic's words; the cache counts appear together or, where nothing is known, not at all. Searches are counted once there were any. */
export function toAnthropicUsage(usage: Usage, searches = 0): object {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = usage
  const isCacheKnown = cacheReadTokens !== undefined || cacheWriteTokens !== undefined
  return {
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    ...(isCacheKnown && {
      cache_read_input_tokens: cacheReadTokens ?? 0,
      cache_creation_input_tokens: cacheWriteTokens ?? 0
    }),
    ...(searches > 0 && { server_tool_use: { web_search_requests: searches } })
  }
}

/**
 * A web search as the two blocks that the Messages API has for one (kiro-protocol §9.4, A36): what was asked and
 * what was found, each as JSON text.
 */
export function toSearchBlocks(
  part: Extract<StreamPart, { type: 'search' }>
): readonly [call: string, found: string] {
  const id = `srvtoolu_${part.id}`
  const call = { type: 'server_tool_use', id, name: 'web_search', input: { query: part.query } }
  const content =
    part.problem === undefined
      ? part.results.map(toResult)
      : { type: 'web_search_tool_result_error', error_code: toErrorCode(part.problem) }
  const found = { type: 'web_search_tool_result', tool_use_id: id, content }
  return [JSON.stringify(call), JSON.stringify(found)]
}

/** The vendor's words, and the one for all other problems. */
const ErrorCodes = [
  'invalid_tool_input',
  'max_uses_exceeded',
  'query_too_long',
  'too_many_requests'
]

function toErrorCode(problem: string): string {
  return ErrorCodes.includes(problem) ? problem : 'unavailable'
}

function toResult({ title, url, snippet, publishedAt }: SearchResult): object {
  return {
    type: 'web_search_result',
    title,
    url,
    encrypted_content: snippet,
    page_age: publishedAt === undefined ? null : new Date(publishedAt).toISOString()
  }
}

/** More kinds than there are; what a client repeats or invents beyond is not answered. */
const MAX_KINDS = 16
const MAX_KIND_CHARS = 100

/** The kinds of safety verdict that a request asks for, each once; what is no safeguard is passed over. */
export function safeguardTypesOf(safeguards: unknown): readonly string[] {
  if (!Array.isArray(safeguards)) return []
  const kinds = safeguards.flatMap((one: unknown) => {
    const kind = isJsonObject(one) ? one['type'] : undefined
    return typeof kind === 'string' && kind.length <= MAX_KIND_CHARS ? [kind] : []
  })
  return [...new Set(kinds)].slice(0, MAX_KINDS)
}

/**
 * The verdicts, as a member beside the stop reason: nothing here judges tool calls, and saying so lets Claude Code ask
 * its user. A verdict that nobody has made would be worse than none (kiro-protocol §11.3).
 */
function safeguardMembers({ asked }: MessagesPlan): object {
  const { safeguards } = asked.own
  if (safeguards.length === 0) return {}
  return {
    safeguard_results: safeguards.map((type) => ({ type, status: { type: 'unsupported' } }))
  }
}
