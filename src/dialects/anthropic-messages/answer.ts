import { toCountMembers } from '../answer/usage.ts'
import { sealReasoning } from '../../kiro/conversation/signed-reasoning.ts'
import { sumOfGroups } from '../../kiro/tokens/request-tokens.ts'
import type { ReasoningContent } from '../../kiro/wire/payload.ts'
import type { FoundPage } from '../../kiro/wire/web-search.ts'
import type { GatewayError } from '../../shared/errors.ts'
import { isJsonObject } from '../../shared/json.ts'
import {
  type AnswerBlock,
  AnswerWriter,
  CollectedBlock,
  toSseEvent,
  glue,
  glueWith,
  type Written
} from '../answer/answer-writer.ts'
import { heapBytesOf } from '../answer/output-text.ts'
import type { EndPart, EndReason, SearchPart, Usage } from '../answer/stream-part.ts'
import { type AppliedEdit, toAppliedEdits } from './context-edits.ts'
import { AnthropicErrors } from './error.ts'

export interface MessagesWishes {
  readonly safeguards: readonly string[]
  /** Edits that were applied; left out if the request asks for none. */
  readonly edits?: readonly AppliedEdit[]
}

const BlockBytes = 1024

/** Calls come from the model itself, never from code that it runs. */
const DirectCaller = { type: 'direct' } as const
const Caller = JSON.stringify(DirectCaller)

const Ping = toSseEvent('ping', '{"type":"ping"}')
const MessageStop = toSseEvent('message_stop', '{"type":"message_stop"}')

/** Wire form of each block: up to its text, empty at the start, and the beginning of a delta. */
const Blocks = {
  text: {
    head: '{"type":"text","text":',
    empty: '""}',
    delta: '"type":"text_delta","text":'
  },
  reasoning: {
    head: '{"type":"thinking","thinking":',
    empty: '"","signature":""}',
    delta: '"type":"thinking_delta","thinking":'
  },
  call: {
    head: '{"type":"tool_use",',
    empty: '{}}',
    delta: '"type":"input_json_delta","partial_json":'
  }
} as const

/** Indexes count from 0 without gaps; `message_stop` ends only a whole answer. */
export class MessageWriter extends AnswerWriter<MessagesWishes> {
  #index = -1
  #searches = 0
  readonly #blocks: (CollectedBlock | string)[] = []

  protected override get ping(): string {
    return Ping
  }

  protected override start(): string {
    if (!this.plan.asked.isStream) return ''
    const message = {
      ...this.#head(),
      content: [],
      stop_reason: null,
      stop_sequence: null,
      stop_details: null,
      // Clients add up cache counts, so these begin at 0. The end has the sum written to the cache but not
      // its parts: clients that found parts here would price by their zeros.
      usage: {
        ...toMessageUsage({ inputTokens: this.plan.inputTokens, outputTokens: 1 }, 0),
        cache_creation: null
      }
    }
    const json = JSON.stringify({ type: 'message_start', message })
    return toSseEvent('message_start', json) + Ping
  }

  protected override open(kind: 'text' | 'reasoning'): AnswerBlock {
    return this.#block(kind, Blocks[kind].head)
  }

  protected override openCall(id: string, name: string): AnswerBlock {
    const named = `"id":${JSON.stringify(id)},"caller":${Caller},"name":${JSON.stringify(name)},"input":`
    return this.#block('call', Blocks.call.head + named)
  }

  protected override redacted(content: ReasoningContent): string {
    const { reasoning, upstreamModel } = this.plan
    if (reasoning === 'none') return ''
    const data = sealReasoning(upstreamModel, content)
    return this.#whole(JSON.stringify({ type: 'redacted_thinking', data }))
  }

  protected override search(part: SearchPart): string {
    this.#searches++
    return toSearchBlocks(part)
      .map((json) => this.#whole(json))
      .join('')
  }

  protected override writeEnd(end: EndPart, last: AnswerBlock | null): Written {
    if (!this.plan.asked.isStream) return ''
    const usage = toDeltaUsage(end.usage, this.#searches)
    const delta = { ...this.#reasons(end), container: null }
    const message = { type: 'message_delta', delta, usage, ...this.#edits() }
    const told = toSseEvent('message_delta', JSON.stringify(message)) + MessageStop
    return glue(last?.end('whole') ?? '', told)
  }

  protected override writeFailure(error: GatewayError): string {
    return AnthropicErrors.toEvent(error)
  }

  protected override writeWhole(end: EndPart): Written {
    const tail = {
      ...this.#reasons(end),
      usage: toMessageUsage(end.usage, this.#searches),
      ...this.#edits()
    }
    return glue(
      `${JSON.stringify(this.#head()).slice(0, -1)},"content":[`,
      glueWith(',', this.#blocks.map(toBlockJson)),
      `],${JSON.stringify(tail).slice(1)}`
    )
  }

  /** The SDK's types require `container` and `diagnostics` in every message. */
  #head(): object {
    const { model } = this.plan.asked
    const { id } = this.identity
    return { id, type: 'message', role: 'assistant', model, container: null, diagnostics: null }
  }

  #edits(): object {
    const { asked, inputTokens, groups } = this.plan
    const { edits } = asked.own
    if (edits === undefined) return {}
    const applied = toAppliedEdits(edits, inputTokens / sumOfGroups(groups))
    return { context_management: { applied_edits: applied } }
  }

  #reasons({ reason, stopSequence }: EndPart): object {
    return {
      stop_reason: StopReasons[reason],
      stop_sequence: stopSequence ?? null,
      stop_details: null,
      ...safeguardMembers(this.plan.asked.own)
    }
  }

  #block(kind: keyof typeof Blocks, head: string): AnswerBlock {
    if (this.plan.asked.isStream) {
      const index = ++this.#index
      const event = `event: content_block_delta\ndata: {"type":"content_block_delta","index":${index},"delta":{`
      const delta = event + Blocks[kind].delta
      const signature = `${event}"type":"signature_delta","signature":`
      return {
        kind,
        begin: () => toBlockStart(index, head + Blocks[kind].empty),
        add: (text) => `${delta}${JSON.stringify(text)}}}\n\n`,
        sign: (opaque) => `${signature}${JSON.stringify(opaque)}}}\n\n`,
        end: () => toBlockStop(index)
      }
    }
    this.room.hold(BlockBytes)
    const form = kind === 'call' ? 'plain' : 'json'
    return new CollectedBlock({ kind, blocks: this.#blocks, head, form, room: this.room })
  }

  #whole(json: string): string {
    if (this.plan.asked.isStream) {
      return toBlockStart(++this.#index, json) + toBlockStop(this.#index)
    }
    this.room.hold(BlockBytes + heapBytesOf(json))
    this.#blocks.push(json)
    return ''
  }
}

function toBlockStart(index: number, block: string): string {
  const json = `{"type":"content_block_start","index":${index},"content_block":${block}}`
  return toSseEvent('content_block_start', json)
}

function toBlockStop(index: number): string {
  return toSseEvent('content_block_stop', `{"type":"content_block_stop","index":${index}}`)
}

/** Tool arguments stay text: parsing would round large numbers. */
function toBlockJson(block: CollectedBlock | string): Written {
  if (typeof block === 'string') return block
  const { kind, head, text, signature } = block
  const signed = kind === 'reasoning' ? `,"signature":${JSON.stringify(signature)}` : ''
  return glue(head, text.written(), `${signed}}`)
}

const StopReasons = {
  stop: 'end_turn',
  tool: 'tool_use',
  length: 'max_tokens',
  context: 'model_context_window_exceeded',
  'stop-sequence': 'stop_sequence',
  filter: 'refusal',
  pause: 'pause_turn'
} as const satisfies Record<EndReason, string>

function toDeltaUsage(usage: Usage, searches: number) {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, reasoningTokens } = usage
  const { hiddenTokens: hidden, inputWithin: within } = usage
  return {
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    cache_read_input_tokens: cacheReadTokens ?? 0,
    cache_creation_input_tokens: cacheWriteTokens ?? 0,
    output_tokens_details:
      reasoningTokens === undefined ? null : { thinking_tokens: reasoningTokens },
    server_tool_use:
      searches === 0 ? null : { web_search_requests: searches, web_fetch_requests: 0 },
    ...toCountMembers({ hidden, within })
  }
}

function toMessageUsage(usage: Usage, searches: number): object {
  const told = toDeltaUsage(usage, searches)
  return {
    ...told,
    // The upstream does not say for how long it caches; Anthropic's default is five minutes.
    cache_creation: {
      ephemeral_5m_input_tokens: told.cache_creation_input_tokens,
      ephemeral_1h_input_tokens: 0
    },
    inference_geo: null,
    service_tier: 'standard',
    speed: null
  }
}

/** Writes a web search as the API's two blocks, query and results, each as JSON text (kiro-protocol §9.4). */
function toSearchBlocks(part: SearchPart): readonly [call: string, found: string] {
  const id = `srvtoolu_${part.id}`
  const caller = DirectCaller
  const call = {
    type: 'server_tool_use',
    id,
    caller,
    name: 'web_search',
    input: { query: part.query }
  }
  const { problem } = part
  const code = problem !== undefined && ErrorCodes.includes(problem) ? problem : 'unavailable'
  const content =
    problem === undefined
      ? part.results.map(toResult)
      : { type: 'web_search_tool_result_error', error_code: code }
  const found = { type: 'web_search_tool_result', tool_use_id: id, caller, content }
  return [JSON.stringify(call), JSON.stringify(found)]
}

const ErrorCodes = [
  'invalid_tool_input',
  'max_uses_exceeded',
  'query_too_long',
  'too_many_requests'
]

function toResult({ title, url, snippet, publishedAt }: FoundPage): object {
  return {
    type: 'web_search_result',
    title,
    url,
    encrypted_content: snippet,
    page_age: publishedAt === undefined ? null : new Date(publishedAt).toISOString()
  }
}

/** More kinds than exist; bounds what a client repeats or invents. */
const MAX_KINDS = 16
const MAX_KIND_CHARS = 100

export function safeguardTypesOf(safeguards: unknown): readonly string[] {
  if (!Array.isArray(safeguards)) return []
  const kinds = safeguards.flatMap((one: unknown) => {
    const kind = isJsonObject(one) ? one['type'] : undefined
    return typeof kind === 'string' && kind.length <= MAX_KIND_CHARS ? [kind] : []
  })
  return [...new Set(kinds)].slice(0, MAX_KINDS)
}

/**
 * Nothing here judges tool calls: saying so lets Claude Code ask its user, where an invented verdict would
 * be worse.
 */
function safeguardMembers({ safeguards }: MessagesWishes): object {
  if (safeguards.length === 0) return {}
  return {
    safeguard_results: safeguards.map((type) => ({ type, status: { type: 'unsupported' } }))
  }
}
