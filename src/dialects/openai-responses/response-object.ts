import type { ErrorKind, GatewayError } from '../../shared/errors.ts'
import { asJsonObject } from '../../shared/json.ts'
import { type AnswerRoom, ENDLESS_ROOM, heapBytesOf } from '../answer/long-text.ts'
import { toOpenAiMessage } from '../answer/openai-error.ts'
import { glue, glueWith, type Written } from '../answer/output-text.ts'
import type {
  AnswerIdentity,
  Collector,
  EndReason,
  KeptItems,
  StreamPart,
  Usage
} from '../answer/stream-part.ts'
import {
  type ItemKind,
  ItemMaker,
  type OutputItem,
  type ResponsesPlan,
  toItemJson
} from './output-items.ts'
import { RawInput } from './raw-input.ts'

/** How far a response is. */
export type ResponseState =
  | { readonly status: 'in_progress' }
  | { readonly status: 'completed'; readonly usage: Usage }
  | { readonly status: 'incomplete'; readonly usage: Usage; readonly reason: IncompleteReason }
  | { readonly status: 'failed'; readonly error: ResponseError }

/** Members that a response always has, whether or not its request could set them. */
const DEFAULTS = {
  access_programs: null,
  background: false,
  instructions: null,
  max_output_tokens: null,
  parallel_tool_calls: true,
  previous_response_id: null,
  reasoning: { effort: null, summary: null },
  temperature: null,
  text: { format: { type: 'text' } },
  tool_choice: 'auto',
  tools: [],
  top_p: null,
  truncation: 'disabled',
  metadata: {}
} as const

/** Writes the response object of one answer (kiro-protocol §10.3.2), whose fixed members are made once. */
export class ResponseObject {
  readonly #head: string

  constructor({ asked }: ResponsesPlan, { id, created }: AnswerIdentity) {
    const { model, keepsItems, own: wishes } = asked
    const own = { id, object: 'response', created_at: created, model, store: keepsItems }
    const said = { ...own, ...DEFAULTS, ...asJsonObject(JSON.parse(wishes.echo)), ...own }
    // A slice that leaves one character out.
    this.#head = JSON.stringify(said).slice(0, -1)
  }

  /** JSON text; `output` are the JSON texts of the items. */
  toJson(state: ResponseState, output: readonly Written[]): Written {
    const tail = {
      status: state.status,
      error: state.status === 'failed' ? state.error : null,
      incomplete_details: state.status === 'incomplete' ? { reason: state.reason } : null,
      usage: 'usage' in state ? toResponseUsage(state.usage) : null
    }
    return glue(
      `${this.#head},"output":[`,
      glueWith(',', output),
      `],${JSON.stringify(tail).slice(1)}`
    )
  }
}

/** Collects one answer into a response (kiro-protocol §10.3.2), whose items are those of the stream. */
export class ResponsesAnswer implements Collector {
  readonly #response: ResponseObject
  readonly #items: ItemMaker
  readonly #room: AnswerRoom
  readonly #output: Written[] = []
  readonly #kept = new Map<string, Written>()
  #item: OutputItem | null = null
  #rawInput: RawInput | null = null
  #isCut = false
  #end: Extract<StreamPart, { type: 'end' }> | null = null

  constructor(plan: ResponsesPlan, identity: AnswerIdentity, room: AnswerRoom = ENDLESS_ROOM) {
    this.#room = room
    this.#response = new ResponseObject(plan, identity)
    this.#items = new ItemMaker(identity.id, plan, room)
  }

  get keptItems(): KeptItems {
    return this.#kept
  }

  push(part: StreamPart): void {
    switch (part.type) {
      case 'text':
        if (part.text !== '') this.#enter(this.#items.textKind).text.add(part.text)
        break
      case 'reasoning':
        if (part.text !== '') this.#enter('reasoning').text.add(part.text)
        break
      case 'signature':
        this.#sign(part.signature)
        break
      case 'redacted':
        this.#close('completed')
        this.#sign(part.content)
        break
      case 'tool-start':
        this.#open(this.#items.makeCall(part.id, part.name))
        break
      case 'tool-delta':
        this.#item?.text.add(this.#rawInput?.push(part.json) ?? part.json)
        break
      case 'tool-end':
        this.#endCall(part.isCut === true)
        break
      case 'search': {
        this.#close('completed')
        const { id, json } = this.#items.makeSearch(part)
        this.#output.push(json)
        this.#kept.set(id, json)
        break
      }
      case 'end':
        this.#close(this.#incompleteReason(part) === null ? 'completed' : 'incomplete')
        this.#end = part
        break
    }
  }

  toJson(): Written {
    if (this.#end === null) throw new Error('The answer has not ended')
    const { usage } = this.#end
    const reason = this.#incompleteReason(this.#end)
    return this.#response.toJson(
      reason === null ? { status: 'completed', usage } : { status: 'incomplete', usage, reason },
      this.#output
    )
  }

  #incompleteReason({ reason }: Extract<StreamPart, { type: 'end' }>) {
    return IncompleteReasons[reason] ?? (this.#isCut ? 'max_output_tokens' : null)
  }

  #enter(kind: ItemKind): OutputItem {
    return this.#item?.kind === kind ? this.#item : this.#open(this.#items.make(kind))
  }

  #open(item: OutputItem): OutputItem {
    this.#close('completed')
    this.#item = item
    this.#rawInput = item.kind === 'custom_tool_call' ? new RawInput(this.#room) : null
    return item
  }

  #sign(opaque: string): void {
    this.#room.hold(heapBytesOf(opaque))
    this.#enter('reasoning').opaque = opaque
    this.#close('completed')
  }

  #endCall(isCut: boolean): void {
    if (isCut) this.#isCut = true
    else this.#item?.text.add(this.#rawInput?.end() ?? '')
    this.#close(isCut ? 'incomplete' : 'completed')
  }

  #close(status: 'completed' | 'incomplete'): void {
    const item = this.#item
    if (item === null) return
    const json = toItemJson(item, status, item.text.written())
    this.#output.push(json)
    // A call that broke off must not come back as one.
    if (status === 'completed' || item.callMembers === '') this.#kept.set(item.id, json)
    this.#item = null
  }
}

export type IncompleteReason = 'max_output_tokens' | 'content_filter'

/** Why a response is not complete, by why the answer ended; `null` where it is (kiro-protocol §10.1). */
export const IncompleteReasons = {
  stop: null,
  tool: null,
  length: 'max_output_tokens',
  context: 'max_output_tokens',
  'stop-sequence': null,
  filter: 'content_filter',
  pause: null
} as const satisfies Record<EndReason, IncompleteReason | null>

/** Usage in the words of a response; cached tokens are a part of `input_tokens` there (kiro-protocol §6.3). */
export function toResponseUsage(usage: Usage): object {
  const { cacheReadTokens = 0, cacheWriteTokens = 0, reasoningTokens = 0, credits } = usage
  const inputTokens = usage.inputTokens + cacheReadTokens + cacheWriteTokens
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: cacheReadTokens, cache_write_tokens: cacheWriteTokens },
    output_tokens: usage.outputTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: inputTokens + usage.outputTokens,
    ...(credits !== undefined && { credits_used: credits })
  }
}

/** `error` of a response that failed. */
export interface ResponseError {
  readonly code: string
  readonly message: string
}

/** Seconds, where the upstream did not say. */
const DEFAULT_RETRY_AFTER_S = 3

/**
 * Codes that clients act on: they compact, wait or give up. Every other failure is one that may pass, and Codex tries
 * again on `server_error` (kiro-protocol §11.4).
 */
const CODES: Readonly<Partial<Record<ErrorKind, string>>> = {
  overflow: 'context_length_exceeded',
  rate: 'rate_limit_exceeded',
  quota: 'insufficient_quota',
  refused: 'invalid_prompt',
  request: 'invalid_prompt',
  account: 'upstream_auth_failed',
  forbidden: 'permission_error',
  model: 'model_not_found'
}

/** A failure after the stream began, which its HTTP status can't tell any more (kiro-protocol §8.7). */
export function toResponseError(error: GatewayError): ResponseError {
  const code = CODES[error.kind] ?? 'server_error'
  const message = toOpenAiMessage(error)
  if (code !== 'rate_limit_exceeded') return { code, message }
  // Where there is no header for it, Codex reads from these words how long to wait.
  const seconds = Math.max(0, error.retryAfterS ?? DEFAULT_RETRY_AFTER_S)
  return { code, message: `${message} Please try again in ${seconds}s.` }
}
