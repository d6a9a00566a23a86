import type { ReplyPlan } from '../dialects/reply-plan.ts'
import { parseJsonObject } from '../kiro/json-object.ts'
import { outlineOf } from '../kiro/payload-outline.ts'
import type { DebugCapture } from '../observe/debug-capture.ts'
import type { GatewayError } from '../shared/errors.ts'
import type { RequestPayload } from '../upstream/request-payload.ts'
import type { Phases } from './phases.ts'

export interface DebugRecord {
  readonly requestId: string
  readonly route: string
  readonly status: number
  readonly plan: ReplyPlan | null
  readonly error: GatewayError | null
  readonly phases: Phases
}

/** The debug file of one request, where the operator asked for it: how it was built, and none of its text. */
export class TurnDebug {
  readonly #capture: DebugCapture
  #payload: RequestPayload | null = null
  #outline: unknown = null

  constructor(capture: DebugCapture) {
    this.#capture = capture
  }

  /** The upstream's request is made; it will be gone by the time that it has been answered. */
  noteRequest(payload: RequestPayload): void {
    this.#payload = payload
    if (this.#capture.wants('answered')) this.#outlinePayload()
  }

  /** It failed: what is left of it is looked at now. */
  noteFailure(error: GatewayError): void {
    if (this.#outline === null && this.#capture.wants(outcomeOf(error))) this.#outlinePayload()
  }

  /** The request is over. */
  keep(record: DebugRecord): void {
    const { requestId, route, status, plan, error, phases } = record
    if (!this.#capture.wants(outcomeOf(error))) return
    void this.#capture.keep(requestId, {
      at: new Date().toISOString(),
      requestId,
      route,
      status,
      ...(error !== null && { code: error.code, message: error.message, detail: error.detail }),
      ...(plan !== null && {
        model: plan.model,
        upstreamModel: plan.upstreamModel,
        isStream: plan.isStream,
        inputTokens: plan.inputTokens,
        contextWindow: plan.contextWindow,
        repairs: plan.repairs,
        borderline: plan.borderline
      }),
      phaseMs: phases.toJson(),
      request: this.#outline
    }) // cannot reject
  }

  #outlinePayload(): void {
    const bytes = this.#payload?.peek() ?? null
    if (bytes === null) return
    this.#outline = outlineOf(parseJsonObject(Buffer.from(bytes).toString()))
  }
}

/** A client that left before it had its answer is no failure of anything: 499. */
function outcomeOf(error: GatewayError | null): 'failed' | 'answered' {
  return error === null || error.status === 499 ? 'answered' : 'failed'
}
