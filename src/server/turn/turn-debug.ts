import { outlineMember } from '../../dialects/request/payload-bytes.ts'
import type { GatewayError } from '../../shared/errors.ts'
import type { TransformPool } from '../../transform/transform-pool.ts'
import type { RequestPayload } from '../../upstream/call/requests.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { TurnCapture } from '../worker/turn-capture.ts'
import type { EndedTurn } from '../worker/turn-record.ts'

export type DebugPlane = Pick<DataPlane, 'debug'> & {
  readonly transforms: Pick<TransformPool, 'inlineMaxBytes' | 'outline'>
}

/** Debug file of one request, if the operator asked for it: its structure without any text, and maybe the capture. */
export class TurnDebug {
  readonly content: TurnCapture | null
  readonly #plane: DebugPlane
  readonly #mode: 'errors' | 'all'
  #payload: RequestPayload | null = null
  #outline: Promise<string | null> | null = null

  constructor(plane: DebugPlane, mode: 'errors' | 'all', content: TurnCapture | null = null) {
    this.#plane = plane
    this.#mode = mode
    this.content = content
  }

  /** The payload is gone by the time it is answered. */
  noteRequest(payload: RequestPayload): void {
    this.#payload = payload
    if (this.#mode === 'all') this.#outlinePayload()
  }

  noteFailure(error: GatewayError): void {
    if (this.#outline === null && this.#isWanted(error)) this.#outlinePayload()
  }

  /** Never rejects. */
  async keep(record: DebuggedTurn): Promise<void> {
    const { requestId, error } = record
    const { content } = this
    const isWanted = this.#isWanted(error)
    if (!isWanted && content?.isCut !== true) return content?.discard()
    const facts = toDebugFacts(record)
    await content?.keep(facts)
    if (!isWanted) return
    const outline = this.#outline === null ? '"request": null' : await this.#outline
    const left = '"request": "too long to be looked at beside others"'
    await this.#plane.debug.keep(requestId, facts, `  ${outline?.trimStart() ?? left}`)
  }

  /** A client that left (499) is no failure. */
  #isWanted(error: GatewayError | null): boolean {
    return this.#mode === 'all' || (error !== null && error.status !== 499)
  }

  #outlinePayload(): void {
    const bytes = this.#payload?.peek() ?? null
    if (bytes === null) return
    const { debug, transforms } = this.#plane
    if (bytes.byteLength <= transforms.inlineMaxBytes) {
      this.#outline = Promise.resolve(outlineMember(Buffer.from(bytes).toString()))
    } else this.#outline = debug.lookAt(() => transforms.outline(new Uint8Array(bytes)))
  }
}

type DebuggedTurn = Pick<
  EndedTurn,
  'requestId' | 'route' | 'status' | 'plan' | 'error' | 'progress'
>

function toDebugFacts(record: DebuggedTurn): Readonly<Record<string, unknown>> {
  const { requestId, route, status, plan, error, progress } = record
  return {
    at: new Date().toISOString(),
    requestId,
    route,
    status,
    ...(error !== null && { code: error.code, message: error.message, detail: error.detail }),
    ...(plan !== null && {
      model: plan.asked.model,
      upstreamModel: plan.upstreamModel,
      isStream: plan.asked.isStream,
      inputTokens: plan.inputTokens,
      contextWindow: plan.contextWindow,
      repairs: plan.repairs,
      borderline: plan.borderline
    }),
    phaseMs: progress.toJson()
  }
}
