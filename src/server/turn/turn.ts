import type { IncomingMessage, ServerResponse } from 'node:http'
import { monotonicNow, WaitClock } from '../../admission/clock.ts'
import type { Usage } from '../../dialects/answer/stream-part.ts'
import { type DialectName, toErrorReply } from '../../dialects/dialect.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import type { Logger } from '../../observe/logger.ts'
import type { AnswerMemory } from '../../reply/answer-memory.ts'
import type { AnswerSink } from '../../reply/sinks.ts'
import { cutOff, StallTimer, whenSent } from '../../reply/stall-timer.ts'
import { abortErrorOf, asGatewayError, GatewayError } from '../../shared/errors.ts'
import { RequestPayload } from '../../upstream/call/request-payload.ts'
import { askUpstream } from '../ask/ask-upstream.ts'
import { answerInRounds } from '../ask/rounds.ts'
import { type BodyMemory, bodyMemoryOf } from '../plane/body-memory.ts'
import type { DataPlane } from '../plane/data-plane.ts'
import { Phases } from '../plane/open-turns.ts'
import { readBody } from '../plane/request-body.ts'
import { answerEarly } from './answer-early.ts'
import { type ClientBody, convertBody } from './body.ts'
import { createSink } from './create-sink.ts'
import { recordTurn, TurnDebug } from './turn-record.ts'

export interface TurnOptions {
  readonly plane: DataPlane
  readonly dialect: DialectName
  /** Name of the route in log and metrics. */
  readonly route: string
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
  readonly keyName: string
  readonly log: Logger
}

/**
 * One request for an answer, from its first byte to its log line (architecture §2): body, transform, permit, upstream,
 * answer. Everything it holds is given back by the time `run()` resolves, or shortly after by the exchange.
 */
export class Turn {
  readonly #options: TurnOptions
  readonly #phases = new Phases()
  readonly #arrivedAt = monotonicNow()
  readonly #gone = new AbortController()
  readonly #onClose = (): void => {
    if (!this.#options.response.writableFinished)
      this.#gone.abort(new GatewayError('GW_CLIENT_CLOSED'))
  }
  /** Ends everything for a client that is no use waiting for. */
  readonly #onStalled = (): void => {
    this.#gone.abort(new GatewayError('GW_CLIENT_STALLED'))
    cutOff(this.#options.response)
  }
  readonly #debug: TurnDebug
  #plan: ReplyPlan | null = null
  /** Held until the client has its answer: the plan is, too. */
  #memory: BodyMemory | null = null
  #sink: AnswerSink | null = null
  /** Held until the client has the answer: it may read slowly. */
  #room: AnswerMemory | null = null
  /** Of all rounds, where the answer takes several. */
  #usage: Usage | null = null
  #bodyBytes = 0
  /** The bare estimate, before it was corrected by what was learnt; 0 once another request is sent than the client's. */
  #estimatedTokens = 0

  constructor(options: TurnOptions) {
    this.#options = options
    this.#debug = new TurnDebug(options.plane.debug)
    options.response.once('close', this.#onClose)
  }

  /**
   * Never rejects: a failure is answered, in the client's dialect, and logged. Resolves once the client has been
   * sent everything, or is gone.
   */
  async run(): Promise<void> {
    const { plane, response } = this.#options
    plane.turns.add(this)
    plane.metrics.requestsInFlight.inc()
    let error: GatewayError | null = null
    try {
      error = await this.#answer()
      await whenSent(response)
    } finally {
      this.#memory?.release()
      this.#room?.release()
      plane.metrics.requestsInFlight.dec()
      plane.turns.remove(this)
    }
    const { signal } = this.#gone
    const isCutShort = signal.aborted && !response.writableFinished
    this.#record(error ?? (isCutShort ? abortErrorOf(signal) : null))
  }

  /** Ends it early; the client is told why. */
  abort(error: GatewayError): void {
    this.#gone.abort(error)
  }

  /** Gives the failure that was answered, if it was one. */
  async #answer(): Promise<GatewayError | null> {
    try {
      await this.#serve()
      this.#phases.end('stream')
      return null
    } catch (cause) {
      const error = asGatewayError(cause)
      this.#memory?.release() // it may take its client 10 s to be through with a body that nobody reads
      this.#debug.noteFailure(error)
      this.#answerError(error)
      return error
    } finally {
      this.#sink?.dispose()
    }
  }

  async #serve(): Promise<void> {
    const { plane, keyName, log, requestId } = this.#options
    const { signal } = this.#gone
    if (plane.isDraining()) throw new GatewayError('GW_DRAINING')
    plane.credentials.current() // a request that can't be served is not worth reading
    // Nor is one that would be refused for want of a permit: this refuses it as the queue would.
    if (plane.lease.isFull(keyName)) (await plane.lease.acquire(this.#waiter(), signal)).release()
    const memory = bodyMemoryOf(plane, { key: keyName, signal })
    this.#memory = memory
    const { payload, plan } = await this.#prepare(memory)
    this.#plan = plan
    this.#debug.noteRequest(payload)
    const maxBytes = plane.config().server.maxAnswerBytes
    const room = plane.answers.open({ maxBytes, isStream: plan.asked.isStream })
    this.#room = room
    const sink = this.#createSink(plan, room)
    this.#sink = sink
    const question = {
      payload,
      plan,
      sink,
      room,
      phases: this.#phases,
      waiter: this.#waiter(),
      waited: new WaitClock(this.#arrivedAt),
      log,
      requestId,
      signal,
      onTrimmed: () => {
        this.#estimatedTokens = 0
        this.#plan = { ...plan, repairs: [...plan.repairs, 'history-trimmed'] }
      },
      onAnswering: () => memory.shrinkToKept()
    }
    const { rounds } = plan
    if (rounds !== null) {
      const onUsage = (usage: Usage): void => {
        this.#usage = usage
      }
      await answerInRounds(plane, { ...question, rounds, memory, onUsage })
      return
    }
    const { usage, measuredInputTokens } = await askUpstream(plane, question)
    this.#usage = usage
    if (measuredInputTokens !== null) {
      plane.calibration.learn(plan.upstreamModel, this.#estimatedTokens, measuredInputTokens)
    }
  }

  /** Body → payload. When this returns, nobody holds the body any more. */
  async #prepare(memory: BodyMemory): Promise<{ payload: RequestPayload; plan: ReplyPlan }> {
    const { plane, request, dialect, keyName: key } = this.#options
    const { signal } = this.#gone
    const { server } = plane.config()
    const limits = { maxBytes: server.maxBodyBytes, timeoutMs: server.bodyTimeoutMs }
    const body = await readBody(request, limits, memory, signal)
    this.#bodyBytes = body.byteLength
    this.#phases.end('read')
    const { payload, plan } = await convertBody(plane, { dialect, body, memory, key }, signal)
    this.#phases.end('transform')
    plane.metrics.transformSeconds.observe(this.#phases.spentMs('transform') / 1000)
    memory.shrinkTo(payload.byteLength, plan.keptBytes)
    this.#estimatedTokens = plan.inputTokens
    const inputTokens = plane.calibration.correct(plan.upstreamModel, plan.inputTokens)
    return {
      payload: new RequestPayload(payload, { isKept: plan.rounds !== null }),
      plan: { ...plan, inputTokens }
    }
  }

  #waiter() {
    return { key: this.#options.keyName, arrivedAt: this.#arrivedAt }
  }

  #createSink(plan: ReplyPlan, room: AnswerMemory): AnswerSink {
    const { plane, response, keyName } = this.#options
    return createSink({
      plane,
      plan,
      keyName,
      response,
      room,
      headers: () => this.#answerHeaders(),
      onStalled: this.#onStalled
    })
  }

  #answerHeaders(): Record<string, string> {
    const headers: Record<string, string> = { 'server-timing': this.#phases.toServerTiming() }
    Object.assign(headers, repairsHeader(this.#plan))
    if (this.#options.plane.isLeaving()) headers['connection'] = 'close'
    return headers
  }

  #answerError(error: GatewayError): void {
    const { request, response, dialect, requestId, plane } = this.#options
    if (response.destroyed || response.writableEnded) return
    if (this.#sink?.hasBegun === true) {
      this.#sink.fail(error)
      return
    }
    const reply = toErrorReply(dialect, error, requestId)
    const headers = {
      ...reply.headers,
      ...repairsHeader(this.#plan),
      ...(plane.isLeaving() && { connection: 'close' })
    }
    answerEarly(request, response, { ...reply, headers })
    const timeoutMs = plane.config().server.clientStallTimeoutMs
    new StallTimer({ response, timeoutMs, onStalled: this.#onStalled }).watchEnd()
  }

  #record(error: GatewayError | null): void {
    const { plane, response, route, log, requestId } = this.#options
    const record = {
      requestId,
      route,
      status: response.destroyed && !response.writableFinished ? 499 : response.statusCode,
      error,
      plan: this.#plan,
      usage: this.#usage,
      bodyBytes: this.#bodyBytes,
      phases: this.#phases
    }
    recordTurn({ metrics: plane.metrics, log }, record)
    this.#debug.keep(record)
  }
}

/** Which repairs were made; on errors, too, since a repair may be what the upstream refused. */
function repairsHeader(plan: ReplyPlan | null): Record<string, string> {
  const repairs = plan?.repairs ?? []
  return repairs.length === 0 ? {} : { 'x-kiro-gateway-repairs': repairs.join(', ') }
}

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
