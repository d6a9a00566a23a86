import type { IncomingMessage, ServerResponse } from 'node:http'
import { toErrorReply } from '../dialects/error-body.ts'
import type { DialectName } from '../dialects/reply-plan.ts'
import type { Logger } from '../observe/logger.ts'
import { cutOff, StallTimer } from '../reply/stall-timer.ts'
import { whenSent } from '../reply/when-sent.ts'
import { abortErrorOf } from '../shared/abort-error.ts'
import { asGatewayError, GatewayError } from '../shared/errors.ts'
import { answerEarly } from './answer-early.ts'
import { bodyMemoryOf } from './body-memory.ts'
import type { ClientBody } from './convert-body.ts'
import type { DataPlane } from './data-plane.ts'
import { Phases } from './phases.ts'
import { recordTurn } from './record-turn.ts'
import { readBody } from './request-body.ts'

export interface LocalTurnOptions {
  readonly plane: DataPlane
  readonly dialect: DialectName
  /** Name of the route in log and metrics. */
  readonly route: string
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
  readonly keyName: string
  readonly log: Logger
  /** Makes the answer's body of the client's. */
  readonly answer: (body: ClientBody, signal: AbortSignal) => Promise<object>
}

/**
 * One request that is answered from its body alone: looked at like any other and never sent. It needs memory and a
 * thread, but no connection and no credential.
 */
export class LocalTurn {
  readonly #options: LocalTurnOptions
  readonly #phases = new Phases()
  readonly #gone = new AbortController()
  #bodyBytes = 0

  constructor(options: LocalTurnOptions) {
    this.#options = options
    const { response } = options
    response.once('close', () => {
      if (!response.writableFinished) this.#gone.abort(new GatewayError('GW_CLIENT_CLOSED'))
    })
  }

  /** Never rejects. Resolves once the client has been sent the answer, or is gone. */
  async run(): Promise<void> {
    const { plane, response } = this.#options
    plane.turns.add(this)
    let error: GatewayError | null = null
    try {
      error = await this.#answer()
      await whenSent(response)
    } finally {
      plane.turns.remove(this)
    }
    const { signal } = this.#gone
    this.#record(
      error ?? (signal.aborted && !response.writableFinished ? abortErrorOf(signal) : null)
    )
  }

  /** Ends it early; the client is told why. */
  abort(error: GatewayError): void {
    this.#gone.abort(error)
  }

  /** Gives the failure that was answered, if it was one. */
  async #answer(): Promise<GatewayError | null> {
    try {
      const answer = await this.#makeAnswer()
      this.#send(200, { 'content-type': 'application/json; charset=utf-8' }, JSON.stringify(answer))
      return null
    } catch (cause) {
      const error = asGatewayError(cause)
      const { dialect, requestId } = this.#options
      const { status, headers, body } = toErrorReply(dialect, error, requestId)
      this.#send(status, headers, body)
      return error
    }
  }

  async #makeAnswer(): Promise<object> {
    const { plane, request, dialect, keyName: key } = this.#options
    const { signal } = this.#gone
    if (plane.isDraining()) throw new GatewayError('GW_DRAINING')
    const { server } = plane.config()
    using memory = bodyMemoryOf(plane, { key, signal })
    const limits = { maxBytes: server.maxBodyBytes, timeoutMs: server.bodyTimeoutMs }
    const body = await readBody(request, limits, memory, signal)
    this.#bodyBytes = body.byteLength
    this.#phases.end('read')
    const answer = await this.#options.answer({ dialect, body, memory, key }, signal)
    this.#phases.end('transform')
    return answer
  }

  #send(status: number, headers: Readonly<Record<string, string>>, body: string): void {
    const { request, response, plane } = this.#options
    if (response.destroyed || response.writableEnded) return
    const closing = plane.isDraining() ? { connection: 'close' } : {}
    answerEarly(request, response, { status, headers: { ...headers, ...closing }, body })
    const timeoutMs = plane.config().server.clientStallTimeoutMs
    new StallTimer({ response, timeoutMs, onStalled: () => cutOff(response) }).watchEnd()
  }

  #record(error: GatewayError | null): void {
    const { plane, response, route, log, requestId } = this.#options
    recordTurn(
      { metrics: plane.metrics, log },
      {
        requestId,
        route,
        status: response.destroyed && !response.writableFinished ? 499 : response.statusCode,
        error,
        plan: null,
        usage: null,
        bodyBytes: this.#bodyBytes,
        phases: this.#phases
      }
    )
  }
}
