import type { AnswerIdentity } from '../answer-identity.ts'
import { toTellable } from '../error-format.ts'
import type { ReplyPlan } from '../reply-plan.ts'
import { SseComment, toSseEvent } from '../sse.ts'
import type { StreamPart, Translator } from '../stream-part.ts'
import { AnthropicErrors } from './error-format.ts'
import { safeguardMembers } from './safeguards.ts'
import { toSearchBlocks } from './search-blocks.ts'
import { StopReasons } from './stop-reason.ts'
import { toAnthropicUsage } from './usage.ts'

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
  readonly #plan: ReplyPlan
  readonly #identity: AnswerIdentity
  #state: 'new' | 'open' | 'ended' = 'new'
  #block: BlockKind | null = null
  #index = -1
  #searches = 0
  /** A call broke off that the client has seen the beginning of. */
  #isCut = false
  /** The current block's delta event up to its own members; made once per block (hot path). */
  #deltaHead = ''

  constructor(plan: ReplyPlan, identity: AnswerIdentity) {
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
      model: this.#plan.model,
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
