import {
  Exchange,
  type ResponseReader,
  type ExchangeRequest
} from '../../src/upstream/call/exchange.ts'
import { ConnectionPool, type PoolOptions } from '../../src/upstream/connections/pool.ts'

/** A pool with a fixed number of connections; tests name what they need otherwise. */
export function connectionPool(
  t: { teardown(close: () => unknown): void },
  { max = 10, maxIdle = max, ...changes }: PoolChanges = {}
): ConnectionPool {
  const pool = new ConnectionPool({
    limits: { maxSockets: () => max, maxIdle: () => maxIdle },
    chooseProxy: () => null,
    connectTimeoutMs: 2000,
    keepaliveExpiryMs: null,
    ...changes
  })
  t.teardown(() => pool.close())
  return pool
}

interface PoolChanges extends Partial<PoolOptions> {
  readonly max?: number
  readonly maxIdle?: number
}

export interface ExchangeChanges extends Partial<ExchangeRequest> {
  readonly onSent?: (call: RecordedExchange) => void
  readonly onHeaders?: () => void
  readonly onChunk?: (chunk: Buffer) => void
  /** The client has left before it began. */
  readonly isAborted?: boolean
}

/** An exchange, and all that its reader was told. */
export class RecordedExchange {
  readonly exchange: Exchange
  /** Times that it was sent. */
  sent = 0
  readonly statuses: number[] = []
  text = ''
  bytes = 0
  ends = 0
  readonly causes: unknown[] = []
  /** Times that the permit was given back. */
  settlements = 0
  readonly #abort = new AbortController()
  readonly #over = Promise.withResolvers<void>()
  readonly #settled = Promise.withResolvers<void>()

  constructor(pool: ConnectionPool, url: URL, changes: ExchangeChanges = {}) {
    const { onSent, onHeaders, onChunk, isAborted = false, ...request } = changes
    if (isAborted) this.abort()
    const reader: ResponseReader = {
      onSent: () => {
        this.sent += 1
        onSent?.(this)
      },
      onHeaders: (status) => {
        this.statuses.push(status)
        onHeaders?.()
      },
      onChunk: (chunk) => {
        this.bytes += chunk.byteLength
        if (this.bytes < 10_000) this.text += chunk.toString()
        onChunk?.(chunk)
      },
      onEnd: () => {
        this.ends += 1
        this.#over.resolve()
      },
      onError: (cause) => {
        this.causes.push(cause)
        this.#over.resolve()
      }
    }
    this.exchange = new Exchange({
      pool,
      reader,
      request: { url, method: 'POST', headers: {}, body: '{}', bodyTimeoutMs: 5000, ...request },
      signal: this.#abort.signal,
      permit: {
        release: () => {
          this.settlements += 1
          this.#settled.resolve()
        }
      }
    })
  }

  get cause(): unknown {
    return this.causes[0]
  }

  abort(reason: unknown = new Error('the client left')): void {
    this.#abort.abort(reason)
  }

  /** Resolves when the permit is back. */
  get settled(): Promise<void> {
    return this.#settled.promise
  }

  /** Resolves when the reader has been told the end and the permit is back. */
  async over(): Promise<this> {
    await Promise.all([this.#over.promise, this.#settled.promise])
    return this
  }
}
