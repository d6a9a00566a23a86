import { asJsonObject } from '../../kiro/json-object.ts'
import type { AnswerIdentity } from '../answer-identity.ts'
import { glue, glueWith, type Written } from '../output-text.ts'
import type { ReplyPlan } from '../reply-plan.ts'
import type { Usage } from '../stream-part.ts'
import type { ResponseError } from './error-format.ts'
import type { IncompleteReason } from './incomplete-reason.ts'
import { toResponseUsage } from './usage.ts'

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

  constructor({ model, echo, keepsItems }: ReplyPlan, { id, created }: AnswerIdentity) {
    const own = { id, object: 'response', created_at: created, model, store: keepsItems }
    const said = { ...own, ...DEFAULTS, ...asJsonObject(JSON.parse(echo)), ...own }
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
