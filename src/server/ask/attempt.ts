import type { PartReader } from '../../dialects/answer/part-reader.ts'
import type { EndReason, StreamPart } from '../../dialects/answer/stream-part.ts'
import type { UsageMeter } from '../../dialects/answer/usage.ts'
import {
  faultOfResponse,
  MAX_FAULT_BODY_BYTES,
  toGatewayError,
  type UpstreamFault
} from '../../kiro/wire/fault.ts'
import {
  AnswerReader,
  type MomentaryRoom,
  type StrangeEvents,
  turnShare
} from '../../reply/answer-reader.ts'
import type { AnswerSink, AnswerSource } from '../../reply/sinks.ts'
import { ByteBlocks } from '../../shared/own-memory.ts'
import { asGatewayError, codeOf, GatewayError } from '../../shared/errors.ts'
import {
  Exchange,
  type ExchangeRequest,
  type Releasable,
  type ResponseHeaders,
  type ResponseReader
} from '../../upstream/call/exchange.ts'
import type { RequestPayload } from '../../upstream/call/requests.ts'
import { type CallPhase, classifyFailure, isLoss } from '../../upstream/classify.ts'
import type { ConnectionPool } from '../../upstream/connections/pool.ts'
import type { CallTap } from '../worker/turn-capture.ts'
import type { Progress } from '../worker/open-turns.ts'
import type { MeterReading } from '../worker/meter-readings.ts'

export interface AttemptOptions {
  readonly pool: ConnectionPool
  readonly permit: Releasable
  readonly request: ExchangeRequest
  /** Released when the answer begins. */
  readonly payload: RequestPayload
  /** Redacted if the upstream echoes it. */
  readonly token: string
  readonly tap?: CallTap | undefined
  readonly parts: PartReader
  readonly room: MomentaryRoom
  readonly sink: AnswerSink
  readonly progress: Progress
  readonly firstTokenTimeoutMs: number
  readonly onAccepted: () => void
  /** Aborts because the client is gone, or the gateway gives up. */
  readonly signal: AbortSignal
  /** Asked before reading on for the metering; `null`: close the connection. If left out, none is read on. */
  readonly readOn?: (stop: () => void) => MeterReading | null
  /** Continues without its client, because its cost is unknown. */
  readonly outlivesClient?: boolean
}

export type AttemptOutcome =
  | {
      readonly name: 'answered'
      readonly lostBy?: GatewayError
    }
  | {
      readonly name: 'failed'
      readonly error: GatewayError
      readonly fault: UpstreamFault | null
      /** Once parts of an answer have come, it cannot be requested again. */
      readonly phase: CallPhase
    }

/** Abort reasons of a vanished client; others are the gateway's, and end the call. */
const LEAVING: readonly string[] = ['GW_CLIENT_CLOSED', 'GW_CLIENT_STALLED']

/** True if the upstream was at work when the gateway had no room for its answer. */
export function isWantOfRoom(error: unknown): boolean {
  return ['GW_ANSWER_TOO_LARGE', 'GW_MEMORY_FULL'].includes(codeOf(error))
}

class NothingMoreWanted extends Error {}

/**
 * One upstream call, from the permit to the last part of its answer.
 *
 *   connecting ──▶ sent ──▶ headers ──first part──▶ answering ──▶ over
 *                   ▲ └──── a deadline ────┘                        ▲ any failure, from anywhere
 *                   └─ again on another connection, before any byte of an answer
 *
 * An answer that is over for its client before the upstream has ended it may be read on for its metering (`reading`).
 */
export class Attempt implements ResponseReader, AnswerSource, Releasable {
  readonly #options: AttemptOptions
  readonly #reader: AnswerReader
  readonly #outcome = Promise.withResolvers<AttemptOutcome>()
  /** Never rejects. */
  readonly outcome = this.#outcome.promise
  /** Cost as the upstream has told it so far. */
  readonly meter: UsageMeter
  readonly #exchange: Exchange
  #phase: CallPhase | 'over' = 'connecting'
  #status = 0
  #headers: ResponseHeaders = {}
  #faultBody: ByteBlocks | null = null
  #faultBytes = 0
  readonly #startedAt = performance.now()
  #chunks = 0
  #stopReason: EndReason | null = null
  #isFlushDue = false
  #isUnwritable = false
  #isSinkFull = false
  /** Arrived when this turn of the event loop was spent. Bounded by what the engine hands over after `pause()`. */
  readonly #held: Buffer[] = []
  readonly #readHeld = (): void => {
    this.#readRest()
    if (!this.#isSinkFull && !this.#isDone) this.#exchange.resume()
  }
  readonly #flush = (): void => {
    const isDue = this.#isFlushDue && this.#phase !== 'over'
    this.#isFlushDue = false
    try {
      if (isDue) this.#options.sink.flush()
    } catch (cause) {
      this.#isUnwritable = true
      this.#leave(() => this.#failBecause(cause))
    }
  }
  readonly #onPart = (part: StreamPart): void => {
    if (this.#phase !== 'answering') this.#beginAnswer()
    if (part.type === 'end') {
      this.#options.progress.spend(part.usage)
      this.#stopReason = part.reason
    }
    this.#options.sink.push(part)
  }
  #firstToken: NodeJS.Timeout | null = null
  #reading: MeterReading | null = null
  readonly #readOn = Promise.withResolvers<void>()
  #isReadOut = false
  #isRefused = false
  /** Holds the request's body for a client that left before the answer began. */
  #holdsBody = false

  constructor(options: AttemptOptions) {
    this.#options = options
    const { pool, request, parts, room, signal, sink, tap } = options
    this.#reader = new AnswerReader(parts, room)
    this.meter = parts.meter
    this.#exchange = new Exchange({
      pool,
      permit: this,
      request,
      reader: tap?.(this) ?? this,
      signal,
      outlives: () => this.#outlives()
    })
    sink.attach(this)
  }

  /** Resolves when the metering was read; `null` if it is not read. */
  get reading(): Promise<void> | null {
    return this.#reading === null ? null : this.#readOn.promise
  }

  /** The upstream has ended the answer or metered all of it. */
  get isReadOut(): boolean {
    return this.#isReadOut || this.#options.parts.isMetered
  }

  get isRefused(): boolean {
    return this.#isRefused
  }

  get isClosed(): boolean {
    return this.#options.parts.isClosed
  }

  get strangeEvents(): StrangeEvents {
    return this.#reader.strangeEvents
  }

  sent(): void {
    this.#options.permit.sent?.()
  }

  release(): void {
    this.#options.permit.release()
    this.#reading?.released()
  }

  pause(): void {
    if (this.#reading !== null) return
    this.#isSinkFull = true
    this.#exchange.pause()
  }

  resume(): void {
    this.#isSinkFull = false
    if (this.#held.length === 0) this.#exchange.resume()
  }

  onSent(): void {
    const { sink, progress, firstTokenTimeoutMs } = this.#options
    this.#phase = 'sent'
    progress.end('connect')
    sink.onSent()
    this.#firstToken ??= setTimeout(() => {
      // While paused, nothing can arrive.
      if (this.#exchange.isPaused) this.#firstToken?.refresh()
      else this.#exchange.abort(new GatewayError('GW_UPSTREAM_HEADERS_TIMEOUT'))
    }, firstTokenTimeoutMs)
  }

  onHeaders(status: number, headers: ResponseHeaders): void {
    if (this.#reading !== null) return this.#readOnFrom(status)
    this.#phase = 'headers'
    this.#status = status
    this.#headers = headers
    if (status === 200) this.#options.onAccepted()
  }

  onChunk(chunk: Buffer): void {
    if (this.#isDone) return
    this.#chunks++
    if (this.#status !== 200) this.#collectFault(chunk)
    else if (turnShare.hasRoom) this.#readAnswer(chunk)
    else this.#hold(chunk)
  }

  onEnd(): void {
    if (this.#isDone) return
    if (this.#status !== 200) return this.#failWith(this.#faultOfBody())
    this.#readRest()
    this.#isReadOut = true
    if (this.#isBeingRead) this.#endReading()
    else this.#finishAnswer()
  }

  onError(cause: unknown): void {
    if (this.#reading !== null) return this.#endReading()
    if (this.#phase === 'over') return
    // A refusal with a broken body is still a refusal.
    if (this.#status !== 0 && this.#status !== 200) return this.#failWith(this.#faultOfBody())
    if (!this.#options.signal.aborted) this.#readRest()
    if (this.#isBeingRead) this.#endReading()
    else this.#failBecause(cause)
  }

  #hold(chunk: Buffer): void {
    if (this.#held.push(chunk) > 1) return
    this.#exchange.pause()
    turnShare.wait(this.#readHeld)
  }

  /** Ends at once if nothing follows: the engine reports an end or failure regardless of held chunks. */
  #readRest(): void {
    for (const chunk of this.#held.splice(0)) this.#readAnswer(chunk)
  }

  #readAnswer(chunk: Buffer): void {
    if (this.#isDone) return
    turnShare.spend(chunk.byteLength)
    if (this.#reading !== null) return this.#overhear(chunk, this.#reading)
    try {
      const news = this.#reader.feed(chunk, this.#onPart)
      if (this.#phase === 'answering') this.#flushSoon()
      if (news === null) return
      const isCut = news === 'stopped' || this.#phase === 'answering'
      const conclude = () => (news === 'stopped' ? this.#finishAnswer() : this.#failWith(news))
      if (isCut) this.#leaveToMeter(conclude)
      else this.#leave(conclude)
    } catch (cause) {
      const conclude = () => this.#failBecause(cause)
      if (this.#phase === 'answering' && isWantOfRoom(cause)) this.#leaveToMeter(conclude)
      else this.#leave(conclude)
    }
  }

  /** Flushes once for everything read from the socket at a time: maybe several chunks and the end. */
  #flushSoon(): void {
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    queueMicrotask(this.#flush)
  }

  #finishAnswer(): void {
    if (this.#phase === 'over') return
    try {
      this.#reader.end(this.#onPart)
      this.#options.sink.end()
      this.#end({ name: 'answered' })
    } catch (cause) {
      this.#failBecause(cause)
    }
  }

  /** Concludes first, then closes the connection, as the rest is not needed. */
  #leave(conclude: () => void): void {
    conclude()
    this.#exchange.abort(new NothingMoreWanted('nothing more is wanted'))
  }

  #leaveToMeter(conclude: () => void): void {
    conclude()
    if (!this.#beginReading()) this.#exchange.abort(new NothingMoreWanted('nothing more is wanted'))
  }

  #outlives(): boolean {
    if (this.#reading !== null) return true
    const { outlivesClient = false, signal } = this.#options
    const hasLeft = LEAVING.includes(codeOf(signal.reason))
    if (this.#isDone || !outlivesClient || !hasLeft || !this.#beginReading()) return false
    this.#holdsBody = this.#phase !== 'answering'
    this.#failBecause(signal.reason)
    return true
  }

  #beginReading(): boolean {
    const { readOn, permit } = this.#options
    if (this.#isReadOut || readOn === undefined || !this.#reader.stopListening()) return false
    this.#reading = readOn(() => this.#exchange.abort(new NothingMoreWanted('read on for long')))
    if (this.#reading === null) return false
    permit.answered?.()
    this.#isSinkFull = false
    if (this.#held.length === 0) this.#exchange.resume()
    return true
  }

  #readOnFrom(status: number): void {
    this.#status = status
    this.#isRefused = status !== 200
    if (this.#isRefused) this.#reading?.stop()
  }

  #overhear(chunk: Buffer, reading: MeterReading): void {
    this.#letBodyGo()
    try {
      if (reading.take(chunk.byteLength)) this.#reader.overhear(chunk)
    } catch {
      reading.stop() // what cannot be read, or has no memory, has no metering
    }
  }

  #letBodyGo(): void {
    if (!this.#holdsBody) return
    this.#holdsBody = false
    const { payload, request } = this.#options
    if (payload.onAnswer(request.body)) this.#exchange.releaseBody()
  }

  /** Asked anew, as reading may have begun within a call. */
  get #isBeingRead(): boolean {
    return this.#reading !== null
  }

  #endReading(): void {
    this.#held.length = 0
    this.#reading?.over()
    this.#readOn.resolve()
    this.#clearFirstToken()
  }

  get #isDone(): boolean {
    return this.#phase === 'over' && this.#reading === null
  }

  #collectFault(chunk: Buffer): void {
    this.#faultBytes += chunk.byteLength
    this.#faultBody ??= new ByteBlocks()
    if (this.#faultBytes <= MAX_FAULT_BODY_BYTES) this.#faultBody.append(chunk)
    else this.#leave(() => this.#failWith(this.#faultOfBody()))
  }

  #faultOfBody(): UpstreamFault {
    return faultOfResponse({
      status: this.#status,
      headers: this.#headers,
      body: this.#faultBody?.take().toString() ?? '',
      token: this.#options.token,
      now: Date.now()
    })
  }

  #beginAnswer(): void {
    const { payload, request, progress } = this.#options
    this.#phase = 'answering'
    this.#clearFirstToken()
    progress.end('ttfb')
    if (payload.onAnswer(request.body)) this.#exchange.releaseBody()
  }

  #failWith(fault: UpstreamFault): void {
    this.#fail(toGatewayError(fault), fault)
  }

  #failBecause(cause: unknown): void {
    if (this.#phase === 'over') return
    const { request, signal: clientSignal } = this.#options
    const context = { url: request.url, phase: this.#phase, clientSignal }
    const error = classifyFailure(cause, context)
    if (this.#phase === 'answering' && this.#isEndOf(error)) this.#cutAnswer(error)
    else this.#fail(error, null)
  }

  /** True if the body ended inside a frame, or lost only what follows a whole answer (kiro-protocol §5.11). */
  #isEndOf(error: GatewayError): boolean {
    return error.code === 'GW_STREAM_TRUNCATED' || (this.isClosed && isLoss(error))
  }

  #cutAnswer(error: GatewayError): void {
    try {
      this.#reader.lose(this.#onPart)
      this.#options.sink.end()
      this.#end(this.isClosed ? { name: 'answered' } : { name: 'answered', lostBy: error })
    } catch (cause) {
      this.#fail(asGatewayError(cause), null)
    }
  }

  #fail(error: GatewayError, fault: UpstreamFault | null): void {
    const phase = this.#phase
    if (phase === 'over') return
    // Sends what came before a failure, however the bytes were cut, unless writing failed.
    if (phase === 'answering' && !this.#isUnwritable) this.#options.sink.flush()
    this.#options.sink.onIdle()
    this.#end({ name: 'failed', error, fault, phase })
  }

  #end(outcome: AttemptOutcome): void {
    if (this.#phase !== 'over') this.#noteCall(outcome, this.#phase)
    this.#phase = 'over'
    if (this.#reading === null) this.#held.length = 0
    this.#clearFirstToken()
    this.#outcome.resolve(outcome)
  }

  #noteCall(outcome: AttemptOutcome, phase: CallPhase): void {
    const { progress, request } = this.#options
    const upstreamId = this.#headers['x-amzn-requestid']
    progress.noteCall({
      startedAt: this.#startedAt,
      url: request.url,
      status: this.#status,
      chunks: this.#chunks,
      code: outcome.name === 'failed' ? outcome.error.code : null,
      phase,
      stopReason: this.#stopReason,
      upstreamId: typeof upstreamId === 'string' ? upstreamId : null,
      isMeasured: this.meter.measuredInput() !== null,
      lostCalls: outcome.name === 'answered' ? this.#options.parts.lostCalls : 0
    })
  }

  #clearFirstToken(): void {
    if (this.#firstToken !== null) clearTimeout(this.#firstToken)
  }
}
