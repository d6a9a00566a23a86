import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { monotonicNow, WaitClock } from '../../admission/clock.ts'
import {
  createWriter,
  type DialectName,
  Dialects,
  marksOf,
  toErrorReply
} from '../../dialects/dialect.ts'
import type { KeptItems } from '../../dialects/answer/answer-writer.ts'
import type { JsonSpan } from '../../dialects/openai-responses/json-spans.ts'
import type { Measurement } from '../../dialects/answer/usage.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import type { RepairCode } from '../../kiro/rules/repair-table.ts'
import type { TokenLesson } from '../../kiro/tokens/token-gauge.ts'
import { hasLimits, type NamedKey } from '../../keys/key.ts'
import type { Logger } from '../../observe/logger.ts'
import type { RunningTurn } from '../../ipc/dashboard.ts'
import type { AnswerMemory } from '../../reply/answer-memory.ts'
import type { ClientResponse } from '../../reply/client-response.ts'
import { type AnswerSink, CollectReply, KeptReply } from '../../reply/sinks.ts'
import { StallTimer, StreamReply, whenSent } from '../../reply/stream-reply.ts'
import { abortErrorOf, asGatewayError, GatewayError } from '../../shared/errors.ts'
import { freeIfLong } from '../../shared/own-memory.ts'
import type { TurnTrace } from '../../tracing/tracer.ts'
import { RequestPayload } from '../../upstream/call/requests.ts'
import { askUpstream } from '../ask/ask-upstream.ts'
import { answerInRounds } from '../ask/rounds.ts'
import { type BodyMemory, bodyMemoryOf } from './body-memory.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import { type KeyStream, limitsHere, TurnLimits } from '../primary/key-limits.ts'
import { type KeyProblemOf, type OpenTurn, Progress } from '../worker/open-turns.ts'
import { readBody, unreadBytesOf } from '../body/request-body.ts'
import { answerEarly, KNOWN } from './answer-early.ts'
import { AnswerKeeper } from './answer-keeper.ts'
import { type ClientBody, convertClientBody, type EarlierConversation } from './body.ts'
import type { KeptTurns } from './kept-turns.ts'
import {
  clientFamilyOf,
  keyHashOf,
  recordTurn,
  toTracedTurn,
  toUsageRow
} from '../worker/turn-record.ts'
import { TurnDebug } from './turn-debug.ts'

export interface TurnOptions {
  readonly plane: DataPlane
  readonly dialect: DialectName
  readonly route: string
  readonly request: IncomingMessage
  readonly response: ClientResponse
  readonly requestId: string
  readonly keyName: string
  /** Name for taking turns: of the key, or one that several keys share. */
  readonly place: string
  /** `null` for a key of the operator or of Kiro, and without keys. */
  readonly namedKey: NamedKey | null
  /** Id of a named key, or the other kind of key. */
  readonly usageKey: string
  readonly log: Logger
  /** The request is a call to compact its conversation. */
  readonly isCompactCall?: boolean
  /** Answers without the upstream: needs memory and a thread, but no connection and no credential. */
  readonly answerHere?: LocalAnswer
  /** Request that came as one message of a WebSocket; otherwise its body is read from the connection. */
  readonly arrived?: ArrivedBody
}

/** A request that is in memory already. */
export interface ArrivedBody {
  readonly body: Uint8Array
  /** Place of the value of its tools; `null` if it has none. */
  readonly tools: JsonSpan | null
  /** Has room for the body, though not yet for its conversion. Taken. */
  readonly memory: BodyMemory
  readonly earlier: EarlierConversation | null
  /** Told when it waits for its key's streams no more. */
  readonly onStream: () => void
  /** Told of the turns that need not be converted again, if the conversation goes on. */
  readonly onTurns: (turns: KeptTurns) => void
  /** Told of a whole answer before its last event. */
  readonly onAnswer: (answer: SocketAnswer) => void
}

export interface SocketAnswer {
  readonly responseId: string
  readonly items: KeptItems
  /** True for an answer that can be found by its id. */
  readonly isStored: boolean
}

/** Answers with an object, or with JSON text of one. */
export type LocalAnswer = (body: ClientBody, signal: AbortSignal) => Promise<object | string>

/**
 * One request, from its first byte to its log line (architecture §2). Frees everything by the time `run()`
 * resolves, but for the exchange, shortly after. An answer that is read on for its metering keeps only its
 * turn.
 */
export class Turn implements OpenTurn {
  readonly #options: TurnOptions
  readonly #trace: TurnTrace | null
  readonly #progress: Progress
  readonly #arrivedAt = monotonicNow()
  readonly #gone = new AbortController()
  readonly #onClose = (): void => {
    if (!this.#options.response.writableFinished)
      this.#gone.abort(new GatewayError('GW_CLIENT_CLOSED'))
  }
  /** The connection was reset because unread bytes took too much memory. */
  readonly #onUnread = (): void => {
    const { response } = this.#options
    if (response.writableFinished) return
    this.#gone.abort(new GatewayError('GW_CLIENT_STALLED', 'unread'))
    response.destroy()
  }
  readonly #debug: TurnDebug | null
  #plan: ReplyPlan | null = null
  #payload: RequestPayload | null = null
  /** Held with the plan until the client has its answer. */
  #memory: BodyMemory | null = null
  #sink: AnswerSink | null = null
  /** Held until the client, which may be slow, has the answer. */
  #room: AnswerMemory | null = null
  /** `null` for an answer that is not stored. */
  #kept: AnswerKeeper | null = null
  #bodyBytes = 0
  /** `null` for a key without limits. */
  #limits: TurnLimits | null = null
  readonly #writtenBefore: number

  constructor(options: TurnOptions) {
    this.#options = options
    const { plane, route, request, response, requestId } = options
    const { traceparent } = request.headers
    this.#trace = plane.tracing.tracer?.begin({ route, traceparent, at: performance.now() }) ?? null
    if (this.#trace !== null) response.setHeader('traceparent', this.#trace.traceparent)
    this.#progress = new Progress(this.#trace)
    const { debugMode } = plane.current.config.observe
    const content = debugMode === 'off' ? null : (plane.recorder?.open(request, requestId) ?? null)
    this.#debug = debugMode === 'off' ? null : new TurnDebug(plane, debugMode, content)
    this.#writtenBefore = request.socket.bytesWritten
    if (options.arrived !== undefined) this.#memory = options.arrived.memory
    response.once('close', this.#onClose).once('unread', this.#onUnread)
  }

  /** Never rejects. Resolves once the client has everything, or is gone, and the cost is known. */
  async run(): Promise<void> {
    const { plane, response, answerHere } = this.#options
    plane.turns.add(this)
    plane.metrics.requestsInFlight.inc()
    if (answerHere === undefined) plane.records.begin()
    let error: GatewayError | null = null
    let status = 0
    try {
      error = await this.#answer()
      await whenSent(response)
      if (this.#debug !== null) await this.#debug.content?.settled()
    } finally {
      this.#progress.over()
      this.#room?.release()
      plane.metrics.requestsInFlight.dec()
      status = this.#status
      const { signal } = this.#gone
      if (signal.aborted && !response.writableFinished) error ??= abortErrorOf(signal)
      await this.#progress.owed // its metering may come long after its client has left
      this.#memory?.release()
      plane.turns.remove(this)
    }
    this.#record(error, status)
  }

  /** 499 if the client has left. */
  get #status(): number {
    const { response } = this.#options
    return response.destroyed && !response.writableFinished ? 499 : response.statusCode
  }

  get isOver(): boolean {
    return this.#progress.isOver
  }

  get keyLabel(): string {
    const { namedKey, usageKey } = this.#options
    return namedKey?.name ?? usageKey
  }

  get isWaiting(): boolean {
    return this.#progress.isWaiting
  }

  shown(): RunningTurn {
    const { requestId, request } = this.#options
    return {
      id: requestId,
      at: Math.round(performance.timeOrigin + this.#progress.startedAt),
      key: this.keyLabel,
      client: clientFamilyOf(request.headers['user-agent']),
      model: this.#plan?.upstreamModel ?? '',
      step: this.#step
    }
  }

  get #step(): RunningTurn['step'] {
    if (this.isWaiting) return 'waiting'
    if (this.#options.response.headersSent) return 'answering'
    return this.#plan === null ? 'reading' : 'asking'
  }

  abort(error: GatewayError): void {
    this.#gone.abort(error)
  }

  checkKey(problemOf: KeyProblemOf): void {
    const { request, response } = this.#options
    const isAsked = this.#plan !== null && !this.isWaiting
    if (isAsked || response.headersSent) return
    const problem = problemOf(request.headers)
    if (problem !== null) this.abort(problem)
  }

  async #answer(): Promise<GatewayError | null> {
    const { plane, answerHere } = this.#options
    try {
      if (plane.life.state === 'draining') throw new GatewayError('GW_DRAINING')
      if (answerHere === undefined) await this.#serve()
      else await this.#serveHere(answerHere)
      return null
    } catch (cause) {
      const error = asGatewayError(cause)
      // The client may take 10 s to send the rest of a discarded body.
      if (this.#progress.owed === null) this.#memory?.release()
      this.#debug?.noteFailure(error)
      this.#answerError(error)
      return error
    } finally {
      this.#sink?.dispose()
      void this.#kept?.dispose() // never rejects
    }
  }

  async #serveHere(answerHere: LocalAnswer): Promise<void> {
    const { plane, namedKey } = this.#options
    const limits = namedKey === null ? null : limitsHere(namedKey, plane.limits)
    const waited = new WaitClock(this.#arrivedAt)
    using held = new DisposableStack()
    if (limits !== null) {
      await limits.admit({ arrivedAt: this.#arrivedAt, signal: this.#gone.signal })
      if (limits.hasStreams) held.use(await this.#takeStream(limits, waited))
    }
    const answer = await answerHere(await this.#readBody(), this.#gone.signal)
    this.#progress.end('transform')
    this.#memory?.release()
    const headers = { 'content-type': 'application/json; charset=utf-8' }
    this.#send(200, headers, typeof answer === 'string' ? answer : JSON.stringify(answer))
  }

  async #serve(): Promise<void> {
    const { plane, place, namedKey, keyName, dialect, log, requestId } = this.#options
    const { signal } = this.#gone
    const isLimited = namedKey !== null && hasLimits(namedKey)
    const limits = isLimited ? new TurnLimits(namedKey, plane.limits) : null
    this.#limits = limits
    const waiter = { key: place, arrivedAt: this.#arrivedAt }
    plane.account.check(place) // a request that can't be served is not worth reading
    await plane.credentials.ready(signal)
    if (limits !== null) await limits.admit({ ...waiter, signal })
    const waited = new WaitClock(this.#arrivedAt)
    using stream = limits?.hasStreams === true ? await this.#takeStream(limits, waited) : null
    this.#options.arrived?.onStream()
    // Refuses without a body what the queue would refuse with one.
    if (plane.lease.isFull(place)) (await plane.lease.acquire(waiter, signal)).release()
    const { payload, plan, estimatedTokens, input } = await this.#convert(await this.#readBody())
    const answerId = Dialects[dialect].toAnswerId(randomUUID().replaceAll('-', ''))
    if (plan.asked.keepsItems) {
      this.#kept = new AnswerKeeper(plane.items, { owner: keyName, responseId: answerId })
      if (input !== undefined) this.#kept.keepInput(input)
    }
    this.#plan = plan
    this.#payload = payload
    this.#trace?.asks(plan.upstreamModel)
    this.#debug?.noteRequest(payload)
    this.#debug?.content?.noteEstimate(estimatedTokens)
    const maxBytes = plane.current.config.server.maxAnswerBytes
    const room = plane.answers.open({ maxBytes, isStream: plan.asked.isStream })
    this.#room = room
    const sink = this.#createSink(plan, answerId, room)
    this.#sink = sink
    const progress = this.#progress
    const wait = { waiter, stream, waited, progress, signal }
    const capture = this.#debug?.content ?? null
    const question = { ...wait, limits, payload, plan, sink, room, log, requestId, capture }
    if (plan.rounds !== null) {
      await answerInRounds(plane, { ...question, rounds: plan.rounds })
    } else {
      const { meter } = await askUpstream(plane, question)
      const measurement = meter.measurement()
      // Measurements of a changed conversation do not apply to this one.
      if (measurement !== null && payload.changes.length === 0)
        plane.calibration.learn(lessonOf(plan, measurement))
    }
    progress.end('stream')
  }

  /** Precedes the body: waits for other streams of the key can be long, and must not hold memory. */
  async #takeStream(limits: TurnLimits, waited: WaitClock): Promise<KeyStream | null> {
    const progress = this.#progress
    progress.beginWait()
    try {
      const wish = { arrivedAt: waited.resume(monotonicNow()), signal: this.#gone.signal }
      return await limits.stream(wish, unreadBytesOf(this.#options.request))
    } finally {
      waited.stop(monotonicNow())
      progress.endWait('key')
    }
  }

  async #readBody(): Promise<ClientBody> {
    const { plane, request, dialect, keyName: key, place, namedKey, arrived } = this.#options
    const { signal } = this.#gone
    const memory = arrived?.memory ?? bodyMemoryOf(plane, { key: place, signal })
    this.#memory = memory
    const { maxBodyBytes: maxBytes, bodyTimeoutMs: timeoutMs } = plane.current.config.server
    if (arrived !== undefined) await memory.extend(arrived.body.byteLength)
    const body = arrived?.body ?? (await readBody(request, { maxBytes, timeoutMs }, memory, signal))
    this.#bodyBytes = body.byteLength
    this.#progress.end('read')
    if (this.#debug !== null) await this.#debug.content?.body(body)
    const earlier = arrived?.earlier ?? null
    const tools = arrived?.tools ?? null
    const { isCompactCall = false } = this.#options
    const marks = marksOf(request.headers)
    return { dialect, body, tools, memory, key, place, namedKey, earlier, marks, isCompactCall }
  }

  /** When this returns, the body is not referenced any more. */
  async #convert(body: ClientBody) {
    const { plane } = this.#options
    const { memory } = body
    const converted = await convertClientBody(plane, body, this.#gone.signal)
    freeIfLong(body.body)
    const { payload: bytes, plan, leftOut, input, turns } = converted
    if (turns !== null) this.#options.arrived?.onTurns(turns)
    this.#progress.end('transform')
    plane.metrics.transformSeconds.observe(this.#progress.spentMs('transform') / 1000)
    memory.shrinkTo(bytes.byteLength, plan.keptBytes)
    const estimatedTokens = plan.inputTokens // before what was learnt corrects it
    const { input: inputTokens, reading: gauge } = plane.calibration.count(
      plan.upstreamModel,
      plan.groups
    )
    const payload = new RequestPayload({ bytes, memory, isKept: plan.rounds !== null, leftOut })
    const isCostly = plan.start !== undefined && plane.conversations.hasNewSystemText(plan.start)
    const noted: readonly RepairCode[] = isCostly ? ['system-text-changed'] : []
    const repairs = [...plan.repairs, ...noted]
    return { payload, plan: { ...plan, inputTokens, gauge, repairs }, estimatedTokens, input }
  }

  #createSink(plan: ReplyPlan, id: string, room: AnswerMemory): AnswerSink {
    const { plane, response, keyName: owner } = this.#options
    const { heartbeatMs, clientStallTimeoutMs: stallTimeoutMs } = plane.current.config.server
    const summaryKeys = { keys: plane.compactionKeys, owner }
    const identity = { id, created: unixTime(), now: unixTime }
    const made = createWriter(plan, identity, room, summaryKeys)
    const writer = this.#debug?.content?.watch(made, plan.asked.isStream) ?? made
    // Known only when the answer begins.
    const headers = (): Readonly<Record<string, string>> => ({
      'server-timing': this.#progress.toServerTiming(),
      ...this.#standingHeaders,
      ...this.#usualHeaders
    })
    const common = { response, writer, stallTimeoutMs, headers, gone: this.#gone }
    const sink = plan.asked.isStream
      ? new StreamReply({ ...common, heartbeatMs })
      : new CollectReply(common)
    const { arrived } = this.#options
    const kept = this.#kept
    if (kept === null && arrived === undefined) return sink
    return new KeptReply({
      sink,
      save: async () => {
        const items = writer.keptItems
        arrived?.onAnswer({ responseId: id, items, isStored: kept !== null })
        await kept?.save(writer)
      },
      isGone: () => response.destroyed
    })
  }

  /** Headers that errors have, too, since the upstream may have refused a repair. */
  get #usualHeaders(): Readonly<Record<string, string>> {
    const { repairs = [], upstreamModel = '' } = this.#toldPlan ?? {}
    const isOther = repairs.includes('model-substituted') && HEADER_TEXT.test(upstreamModel)
    return {
      ...(repairs.length > 0 && { 'x-kiro-gateway-repairs': repairs.join(', ') }),
      ...(isOther && { 'x-kiro-gateway-model': upstreamModel }),
      ...(this.#options.plane.life.isLeaving && { connection: 'close' })
    }
  }

  /** Read when the answer begins, so that its own reservation counts. */
  get #standingHeaders(): Readonly<Record<string, string>> {
    const { plane, dialect } = this.#options
    const api = Dialects[dialect]
    if (api.toStandingHeaders === undefined) return {}
    const standing = this.#limits?.standing() ?? plane.account.planStanding
    return standing === null ? {} : api.toStandingHeaders(standing)
  }

  #answerError(error: GatewayError): void {
    const { dialect, requestId } = this.#options
    if (this.#sink?.hasBegun === true) {
      if (!this.#isAnswered) this.#sink.fail(error)
      return
    }
    const { status, headers, body } = toErrorReply(dialect, error, requestId)
    this.#send(status, headers, body)
  }

  get #isAnswered(): boolean {
    const { response } = this.#options
    return response.destroyed || response.writableEnded
  }

  #send(status: number, ownHeaders: Readonly<Record<string, string>>, body: string): void {
    const { request, response, plane } = this.#options
    if (this.#isAnswered) return
    const headers = { ...ownHeaders, ...this.#usualHeaders }
    this.#debug?.content?.send(headers, body)
    answerEarly(request, response, { status, headers, body }, KNOWN)
    const timeoutMs = plane.current.config.server.clientStallTimeoutMs
    new StallTimer({ response, timeoutMs, gone: this.#gone }).watchEnd()
  }

  #record(error: GatewayError | null, status: number): void {
    const { plane, request, route, dialect, log, requestId } = this.#options
    const { namedKey, keyName, usageKey, answerHere } = this.#options
    const client = clientFamilyOf(request.headers['user-agent'])
    const record = {
      requestId,
      route,
      client,
      keyName: namedKey?.name ?? null,
      status,
      error,
      plan: this.#toldPlan,
      method: request.method ?? '',
      keyHash: usageKey === 'anyone' ? null : keyHashOf(keyName),
      bodyBytes: this.#bodyBytes,
      bytesOut: Math.max(0, request.socket.bytesWritten - this.#writtenBefore),
      progress: this.#progress,
      isLocal: answerHere !== undefined,
      traceId: this.#trace?.traceId
    }
    recordTurn({ metrics: plane.metrics, log, refusals: plane.refusals }, record)
    if (answerHere === undefined) {
      const row = toUsageRow(record, { key: usageKey, client, dialect, worker: plane.slot })
      plane.records.note(row)
    }
    this.#trace?.end(toTracedTurn(record, { client, dialect }))
    void this.#debug?.keep(record) // cannot reject
  }

  /** The plan with the repairs that were made while it was carried out. */
  get #toldPlan(): ReplyPlan | null {
    const plan = this.#plan
    const made: readonly RepairCode[] = this.#payload?.changes ?? []
    return plan === null || made.length === 0
      ? plan
      : { ...plan, repairs: [...plan.repairs, ...made] }
  }
}

/** Returns what a measurement of an answer teaches of its model. */
function lessonOf(
  { upstreamModel: model, groups }: Pick<ReplyPlan, 'upstreamModel' | 'groups'>,
  { tokens: measured, within, answer }: Measurement
): TokenLesson {
  const all = groups.map((tokens, at) => tokens + (answer[at] ?? 0))
  return { model, groups: all, measured, within }
}

/** The upstream's model names may hold anything. */
const HEADER_TEXT = /^[\x21-\x7e]+$/

/** Seconds. */
export function unixTime(): number {
  return Math.floor(Date.now() / 1000)
}
