import { freeMemory, lendMemory } from '../../shared/own-memory.ts'
import type { CallPhase } from '../classify.ts'
import type { Connection } from '../connections/connection.ts'
import { type EngineFlow, type EngineHandler, isPeerClose } from '../connections/engine.ts'
import type { ConnectionPool } from '../connections/pool.ts'

export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>

export interface ExchangeRequest {
  readonly url: URL
  readonly method: 'GET' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | string | null
  readonly bodyTimeoutMs: number
  /** The request can be sent once only, so it gets a fresh connection. */
  readonly isOnce?: boolean
}

/** Reader of an answer. Exactly one of `onEnd` and `onError` is called, last; the second also if the first throws. */
export interface ResponseReader {
  onSent(): void
  onHeaders(status: number, headers: ResponseHeaders): void
  onChunk(chunk: Buffer): void
  onEnd(): void
  /** The raw cause, or the signal's reason. */
  onError(cause: unknown): void
}

export interface Releasable {
  /** Called for each time the request is sent: twice if a reused connection had been closed. */
  sent?(): void
  answered?(): void
  release(): void
}

export interface ExchangeOptions {
  readonly pool: ConnectionPool
  readonly request: ExchangeRequest
  readonly reader: ResponseReader
  readonly signal: AbortSignal
  /** Asked if the signal fires after sending; true: the exchange goes on. */
  readonly outlives?: () => boolean
  /** Released once, when the connection is idle or the peer has let go of it. */
  readonly permit: Releasable
}

/**
 * One request and its answer on a connection of the pool. Only the signal, unless the exchange outlives it, and
 * `abort()` end it early.
 *
 *   connecting ──connected──▶ sent ──headers──▶ headers ──▶ over
 *        ▲                     │
 *        └─ a reused connection closed before any byte of an answer: once more, on a fresh one, unless `isOnce`
 */
export class Exchange {
  readonly #options: ExchangeOptions
  readonly #onAbort = (): void => {
    const { signal, outlives } = this.#options
    if (this.#phase === 'connecting' || outlives?.() !== true) this.abort(signal.reason)
  }
  #phase: Exclude<CallPhase, 'answering'> | 'over' = 'connecting'
  /** Made only if a connection is opened: it costs more than all else here. */
  #opening: AbortController | null = null
  #connection: Connection | null = null
  #flow: EngineFlow | null = null
  #silence: NodeJS.Timeout | null = null
  #isPaused = false

  constructor(options: ExchangeOptions) {
    this.#options = options
    const { signal, pool, request } = options
    signal.addEventListener('abort', this.#onAbort)
    const idle = request.isOnce === true ? null : pool.takeIdle(request.url)
    void this.#start(idle) // failures go to the reader
  }

  abort(reason: unknown): void {
    if (this.#phase === 'over') return
    const connection = this.#connection
    if (connection !== null) this.#fail(reason, connection)
    else this.#openingAbort().abort(reason) // and `#start` ends the exchange
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** Stops reading, so that a slow client slows the upstream down; may precede the connection. */
  pause(): void {
    if (this.#phase === 'over') return // by now the connection may serve another request
    this.#isPaused = true
    this.#flow?.pause()
  }

  resume(): void {
    this.#isPaused = false
    if (this.#phase === 'headers') this.#silence?.refresh()
    this.#flow?.resume()
  }

  releaseBody(): void {
    if (this.#phase === 'headers') releaseSentBody(this.#options.request.body)
  }

  async #start(idle: Connection | null): Promise<void> {
    let connection = idle
    try {
      connection ??= await this.#open()
    } catch (cause) {
      this.#fail(cause)
      this.#options.permit.release()
      return
    }
    const { signal } = this.#opening ?? this.#options
    if (signal.aborted) this.#fail(signal.reason, connection)
    else this.#dispatch(connection)
  }

  async #open(): Promise<Connection> {
    const { pool, request, signal } = this.#options
    const opening = this.#openingAbort()
    if (signal.aborted) opening.abort(signal.reason)
    let connection = await pool.open(request.url, opening.signal)
    // Without room for a new connection, `open()` returns one that was open.
    while (request.isOnce === true && connection.hasRested) {
      await pool.discard(connection)
      connection = await pool.open(request.url, opening.signal)
    }
    return connection
  }

  #openingAbort(): AbortController {
    this.#opening ??= new AbortController()
    return this.#opening
  }

  #dispatch(connection: Connection): void {
    const { request, reader } = this.#options
    this.#connection = connection
    this.#phase = 'sent'
    reader.onSent()
    if (this.#hasEnded()) return // by the reader
    this.#options.permit.sent?.()
    if (request.body instanceof Uint8Array) lendMemory(request.body, () => connection.isSending)
    connection.dispatch(
      {
        origin: request.url.origin,
        path: request.url.pathname + request.url.search,
        method: request.method,
        headers: request.headers,
        body: request.body
      },
      this.#handlerFor(connection)
    )
  }

  #handlerFor(connection: Connection): EngineHandler {
    const { pool, reader } = this.#options
    const isMine = (): boolean => this.#connection === connection && this.#phase !== 'over'
    return {
      onRequestStart: (flow) => {
        if (this.#connection !== connection) return
        this.#flow = flow
        if (this.#isPaused) flow.pause()
      },
      onResponseStart: (_flow, status, headers) => {
        if (!isMine() || status < 200) return
        this.#phase = 'headers'
        this.#awaitMore(connection)
        reader.onHeaders(status, headers)
      },
      onResponseData: (_flow, chunk) => {
        if (!isMine()) return
        this.#silence?.refresh()
        reader.onChunk(chunk)
      },
      onResponseEnd: () => {
        if (!isMine()) return
        this.#end()
        // By then the engine has processed the end of the message, and knows whether the connection lives on.
        queueMicrotask(() => {
          void this.#settle(pool.giveBack(connection)) // cannot reject
        })
        try {
          reader.onEnd()
        } catch (cause) {
          reader.onError(cause) // the engine would drop it
        }
      },
      onResponseError: (_flow, cause) => {
        if (isMine()) this.#onBroken(connection, cause)
      }
    }
  }

  /** The peer may have closed a reused connection just as we wrote, which says nothing about the request. */
  #onBroken(connection: Connection, cause: unknown): void {
    const isUnseen = this.#phase === 'sent' && connection.isUnanswered && isPeerClose(cause)
    if (!connection.hasRested || !isUnseen || this.#options.request.isOnce === true) {
      this.#fail(cause, connection)
      return
    }
    this.#phase = 'connecting'
    this.#connection = null
    this.#flow = null
    // The engine must not be re-entered from its error handler.
    setImmediate(() => {
      void this.#options.pool.discard(connection).then(() => this.#start(null)) // as above
    })
  }

  /** Ends a silent answer; a paused one cannot progress. */
  #awaitMore(connection: Connection): void {
    const { bodyTimeoutMs } = this.#options.request
    this.#silence = setTimeout(() => {
      if (this.#isPaused) this.#silence?.refresh()
      else this.#fail(new BodyTimeout(`no byte for ${bodyTimeoutMs} ms`), connection)
    }, bodyTimeoutMs)
  }

  #hasEnded(): boolean {
    return this.#phase === 'over'
  }

  #fail(cause: unknown, connection?: Connection): void {
    const isNews = this.#phase !== 'over'
    this.#end()
    if (connection !== undefined) void this.#settle(this.#options.pool.discard(connection)) // cannot reject
    if (isNews) this.#options.reader.onError(cause)
  }

  #end(): void {
    this.#phase = 'over'
    if (this.#silence !== null) clearTimeout(this.#silence)
    this.#options.signal.removeEventListener('abort', this.#onAbort)
    this.#flow?.resume() // behind unread bytes the peer's FIN would never be seen
  }

  async #settle(settled: Promise<void>): Promise<void> {
    await settled
    this.#options.permit.release()
  }
}

/**
 * Frees the body, to which the HTTP engine refers until the answer ends, unless it shares its memory or is
 * still being sent.
 */
export function releaseSentBody(body: Uint8Array | string | null): void {
  if (body instanceof Uint8Array) freeMemory(body)
}

class BodyTimeout extends Error {
  readonly code = 'UND_ERR_BODY_TIMEOUT'
}
