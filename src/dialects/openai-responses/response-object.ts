import { toCountMembers } from '../answer/usage.ts'
import type { ErrorKind } from '../../shared/error-table.ts'
import type { GatewayError } from '../../shared/errors.ts'
import { toOpenAiMessage } from '../answer/openai-error.ts'
import { type AnswerIdentity, glue, glueWith, type Written } from '../answer/answer-writer.ts'
import type { EndReason, Usage } from '../answer/stream-part.ts'
import type { AskedAnswer } from '../plan/plan.ts'
import type { ResponsesWishes } from './output-items.ts'

export type ResponseState =
  | { readonly status: 'in_progress' }
  | { readonly status: 'completed'; readonly usage: Usage }
  | { readonly status: 'incomplete'; readonly usage: Usage; readonly reason: IncompleteReason }
  | { readonly status: 'failed'; readonly error: ReturnType<typeof toResponseError> }

/** Values of OpenAI's own API. Nothing here samples by temperature, but generated clients refuse `null` for it. */
const DEFAULTS = {
  access_programs: null,
  background: false,
  frequency_penalty: 0,
  instructions: null,
  max_output_tokens: null,
  max_tool_calls: null,
  parallel_tool_calls: true,
  presence_penalty: 0,
  previous_response_id: null,
  prompt_cache_key: null,
  reasoning: { effort: null, summary: null },
  safety_identifier: null,
  service_tier: 'default',
  temperature: 1,
  text: { format: { type: 'text' } },
  tool_choice: 'auto',
  tools: [],
  top_logprobs: 0,
  top_p: 1,
  truncation: 'disabled',
  user: null,
  metadata: {}
} as const

const DEFAULT_TEXTS = Object.entries(DEFAULTS).map(
  ([name, value]) => [name, JSON.stringify(value)] as const
)

/** Members that are the same whatever the request says. */
const FIXED: readonly string[] = ['access_programs', 'background', 'service_tier']
/** Members of a request that its answer repeats. */
export const ECHOED = Object.keys(DEFAULTS).filter((name) => !FIXED.includes(name))

export class ResponseObject {
  readonly #head: string
  readonly #now: () => number
  readonly #identity: AnswerIdentity

  constructor(asked: AskedAnswer<ResponsesWishes>, identity: AnswerIdentity) {
    const { id, created, now } = identity
    this.#now = now
    this.#identity = identity
    const { model, keepsItems, own: wishes } = asked
    const own = { id, object: 'response', created_at: created, model, store: keepsItems }
    let head = JSON.stringify(own).slice(0, -1)
    for (const [name, text] of DEFAULT_TEXTS) head += `,"${name}":${wishes.echo[name] ?? text}`
    this.#head = head
  }

  /** Time of the end, once it was told. */
  #completedAt: number | null = null

  toJson(state: ResponseState, output: readonly Written[]): Written {
    return glue(`${this.#head},"output":[`, glueWith(',', output), `],${this.#tailOf(state)}`)
  }

  /** JSON text of the answer to a call to compact. */
  toCompaction(used: Usage, output: readonly Written[]): Written {
    const { id, created } = this.#identity
    const head = { id, object: 'response.compaction', created_at: created }
    const usage = JSON.stringify(toResponseUsage(used))
    const begun = JSON.stringify(head).slice(0, -1)
    return glue(`${begun},"output":[`, glueWith(',', output), `],"usage":${usage}}`)
  }

  /** JSON text without the output. */
  toJsonAlone(state: ResponseState): string {
    return `${this.#head},${this.#tailOf(state)}`
  }

  /** Ends the object. */
  #tailOf(state: ResponseState): string {
    if (state.status === 'completed') this.#completedAt ??= this.#now()
    const tail = {
      status: state.status,
      completed_at: state.status === 'completed' ? this.#completedAt : null,
      error: state.status === 'failed' ? state.error : null,
      incomplete_details: state.status === 'incomplete' ? { reason: state.reason } : null,
      usage: 'usage' in state ? toResponseUsage(state.usage) : null
    }
    return JSON.stringify(tail).slice(1)
  }
}

type IncompleteReason = 'max_output_tokens' | 'content_filter'

export const IncompleteReasons = {
  stop: null,
  tool: null,
  length: 'max_output_tokens',
  context: 'max_output_tokens',
  'stop-sequence': null,
  filter: 'content_filter',
  pause: null
} as const satisfies Record<EndReason, IncompleteReason | null>

/** Cached tokens are part of `input_tokens` here (kiro-protocol §6.3). */
function toResponseUsage(usage: Usage): object {
  const {
    cacheReadTokens = 0,
    cacheWriteTokens = 0,
    reasoningTokens = 0,
    credits,
    hiddenTokens: hidden,
    inputWithin: within
  } = usage
  const inputTokens = usage.inputTokens + cacheReadTokens + cacheWriteTokens
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: cacheReadTokens, cache_write_tokens: cacheWriteTokens },
    output_tokens: usage.outputTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: inputTokens + usage.outputTokens,
    ...toCountMembers({ hidden, within }),
    ...(credits !== undefined && { credits_used: credits })
  }
}

const DEFAULT_RETRY_AFTER_S = 3

/** Codes on which clients compact, wait or give up. Every other failure may pass: Codex retries on `server_error`. */
const CODES: Readonly<Partial<Record<ErrorKind, string>>> = {
  overflow: 'context_length_exceeded',
  rate: 'rate_limit_exceeded',
  often: 'rate_limit_exceeded',
  limit: 'insufficient_quota',
  quota: 'insufficient_quota',
  refused: 'invalid_prompt',
  request: 'invalid_prompt',
  account: 'upstream_auth_failed',
  denied: 'permission_error',
  forbidden: 'permission_error',
  model: 'model_not_found'
}

export function toResponseError(error: GatewayError) {
  const code = CODES[error.kind] ?? 'server_error'
  const message = toOpenAiMessage(error)
  if (code !== 'rate_limit_exceeded') return { code, message }
  // Codex reads the wait from these words, as there is no header.
  const seconds = Math.max(0, error.retryAfterS ?? DEFAULT_RETRY_AFTER_S)
  return { code, message: `${message} Please try again in ${seconds}s.` }
}
