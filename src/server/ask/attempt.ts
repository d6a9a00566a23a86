import type { PartReader } from '../../dialects/answer/part-reader.ts'
import type { Usage } from '../../dialects/answer/stream-part.ts'
import {
  faultOfResponse,
  MAX_FAULT_BODY_BYTES,
  toGatewayError,
  type UpstreamFault
} from '../../kiro/wire/fault.ts'
import { AnswerReader, type MomentaryRoom } from '../../reply/answer-reader.ts'
import type { AnswerSink, AnswerSource } from '../../reply/sinks.ts'
import { ByteBlocks } from '../../shared/byte-blocks.ts'
import { GatewayError } from '../../shared/errors.ts'
import {
  Exchange,
  type ResponseHeaders,
  type ResponseReader,
  type UpstreamRequest
} from '../../upstream/call/exchange.ts'
import { type CallPhase, classifyFailure } from '../../upstream/classify.ts'
import type { ConnectionPool } from '../../upstream/connections/pool.ts'

export interface AttemptOptions {
  readonly pool: ConnectionPool
  readonly request: UpstreamRequest
  /** The token in the request, so that it is never repeated should the upstream echo it. */
  readonly token: string
  readonly parts: PartReader
  /** For frames that come in part, and large ones. */
  readonly room: MomentaryRoom
  readonly sink: AnswerSink
  readonly firstTokenTimeoutMs: number
  /** Ends the attempt with its reason: the client is gone, or the gateway gives up. */
  readonly signal: AbortSignal
  /** The request is being written to an open connection. */
  readonly onSent: () => void
  readonly onFirstPart: () => void
  readonly onIgnoredEvent: (eventType: string) => void
  /** The permit may serve somebody else. */
  readonly onSettled: () => void
}

export type AttemptOutcome =
  | { readonly name: 'answered' }
  | {
      readonly name: 'failed'
      readonly error: GatewayError
      /** What the upstream said, when it said something. */
      readonly fault: UpstreamFault | null
      /** Parts of an answer had come already: it can't be asked for again. */
      readonly hasAnswered: boolean
    }

/**
 * Of an answer that comes as fast as it can be read: then everything else has its turn. Where the next bytes are there
 * already, the system hands them over at once, up to 2 MiB, and a millisecond of work for each 64 KiB of small frames.
 */
const TURN_BYTES = 65_536

/** Thrown at an exchange whose answer is of no more interest. */
class NothingMoreWanted extends Error {}

/** One upstream call, from the permit to the last part of its answer. */
export class Attempt implements ResponseReader, AnswerSource {
  readonly #options: AttemptOptions
  readonly #reader: AnswerReader
  readonly #outcome = Promise.withResolvers<AttemptOutcome>()
  readonly #exchange: Exchange
  #phase: CallPhase = 'connect'
  #status = 0
  #headers: ResponseHeaders = {}
  readonly #faultBody = new ByteBlocks()
  #faultBytes = 0
  #hasAnswered = false
  #isOver = false
  #isFlushDue = false
  /** The client has not read what it got. */
  #isSinkFull = false
  #isGivingWay = false
  #turnBytes = 0
  readonly #resumeTurn = (): void => {
    this.#isGivingWay = false
    if (!this.#isSinkFull && !this.#isOver) this.#exchange.resume()
  }
  readonly #flush = (): void => {
    if (this.#isFlushDue && !this.#isOver) this.#options.sink.flush()
    this.#isFlushDue = false
  }
  #firstToken: NodeJS.Timeout | null = null
  /** What the answer cost, once it is whole. */
  usage: Usage | null = null

  constructor(options: AttemptOptions) {
    this.#options = options
    this.#reader = new AnswerReader(options.parts, options.onIgnoredEvent, options.room)
    const { pool, request, signal, onSettled } = options
    this.#exchange = new Exchange({ pool, request, reader: this, signal, onSettled })
    options.sink.attach(this)
  }

  /** Never rejects. */
  get outcome(): Promise<AttemptOutcome> {
    return this.#outcome.promise
  }

  /** Tokens of the request as the upstream counted them; null while it has not, and if it never does. */
  get measuredInputTokens(): number | null {
    return this.#options.parts.measuredInputTokens
  }

  pause(): void {
    this.#isSinkFull = true
    this.#exchange.pause()
  }

  resume(): void {
    this.#isSinkFull = false
    if (!this.#isGivingWay) this.#exchange.resume()
  }

  /** The request is never sent again: frees its body's memory. After `onFirstPart` only. */
  releaseBody(): void {
    this.#exchange.releaseBody()
  }

  onSent(): void {
    this.#phase = 'headers'
    this.#options.onSent()
    this.#options.sink.onSent()
    this.#firstToken ??= setTimeout(() => {
      // Where nobody reads, nothing can come.
      if (this.#exchange.isPaused) this.#firstToken?.refresh()
      else this.#exchange.abort(new GatewayError('GW_UPSTREAM_HEADERS_TIMEOUT'))
    }, this.#options.firstTokenTimeoutMs)
  }

  onHeaders(status: number, headers: ResponseHeaders): void {
    this.#phase = 'body'
    this.#status = status
    this.#headers = headers
  }

  onChunk(chunk: Buffer): void {
    if (this.#isOver) return
    if (this.#status === 200) this.#readAnswer(chunk)
    else this.#collectFault(chunk)
  }

  onEnd(): void {
    if (this.#isOver) return
    if (this.#status !== 200) this.#failWith(this.#faultOfBody())
    else this.#finishAnswer()
  }

  onError(cause: unknown): void {
    if (this.#isOver) return
    const context = {
      url: this.#options.request.url,
      phase: this.#phase,
      clientSignal: this.#options.signal
    }
    // A refusal whose body breaks off still is that refusal.
    if (this.#status !== 0 && this.#status !== 200) this.#failWith(this.#faultOfBody())
    else this.#fail(classifyFailure(cause, context), null)
  }

  #readAnswer(chunk: Buffer): void {
    const { sink } = this.#options
    try {
      const fault = this.#reader.feed(chunk, (part) => {
        this.#noteAnswer()
        sink.push(part)
      })
      if (this.#hasAnswered) this.#flushSoon()
      if (fault !== null) this.#leave(() => this.#failWith(fault))
    } catch (cause) {
      this.#leave(() => this.#fail(classifyFailure(cause, this.#context()), null))
    }
    if (this.#isOver) return
    if (this.#reader.isStopped) this.#leave(() => this.#finishAnswer())
    else this.#giveWay(chunk.byteLength)
  }

  #giveWay(bytes: number): void {
    this.#turnBytes += bytes
    if (this.#turnBytes < TURN_BYTES || this.#isGivingWay) return
    this.#turnBytes = 0
    this.#isGivingWay = true
    this.#exchange.pause()
    setImmediate(this.#resumeTurn)
  }

  /** Once for all that was read from the socket at a time: that may be several chunks, and the end. */
  #flushSoon(): void {
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    queueMicrotask(this.#flush)
  }

  #finishAnswer(): void {
    const { sink } = this.#options
    try {
      this.#reader.end((part) => {
        if (part.type === 'end') this.usage = part.usage
        sink.push(part)
      })
      this.#noteAnswer()
      sink.end()
      this.#end({ name: 'answered' })
    } catch (cause) {
      this.#fail(classifyFailure(cause, this.#context()), null)
    }
  }

  /** The rest of the body is not wanted: what follows from it first, then the connection goes. */
  #leave(conclude: () => void): void {
    conclude()
    this.#exchange.abort(new NothingMoreWanted('nothing more is wanted'))
  }

  #collectFault(chunk: Buffer): void {
    this.#faultBytes += chunk.byteLength
    if (this.#faultBytes <= MAX_FAULT_BODY_BYTES) this.#faultBody.append(chunk)
    else this.#leave(() => this.#failWith(this.#faultOfBody()))
  }

  #faultOfBody(): UpstreamFault {
    return faultOfResponse({
      status: this.#status,
      headers: this.#headers,
      body: this.#faultBody.take().toString(),
      token: this.#options.token,
      now: Date.now()
    })
  }

  #noteAnswer(): void {
    if (this.#hasAnswered) return
    this.#hasAnswered = true
    this.#options.onFirstPart()
    this.#clearFirstToken()
  }

  #failWith(fault: UpstreamFault): void {
    this.#fail(toGatewayError(fault), fault)
  }

  #fail(error: GatewayError, fault: UpstreamFault | null): void {
    // However the upstream's bytes are cut: what came before a failure reaches the client.
    if (this.#hasAnswered) this.#options.sink.flush()
    this.#options.sink.onIdle()
    this.#end({ name: 'failed', error, fault, hasAnswered: this.#hasAnswered })
  }

  #end(outcome: AttemptOutcome): void {
    this.#isOver = true
    this.#clearFirstToken()
    this.#outcome.resolve(outcome)
  }

  #clearFirstToken(): void {
    if (this.#firstToken !== null) clearTimeout(this.#firstToken)
  }

  #context() {
    return { url: this.#options.request.url, phase: this.#phase }
  }
}
