import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace'
import { singleFlight } from '../shared/single-flight.ts'
import type { SendOutcome } from './otlp-sender.ts'

export interface SpanQueueOptions {
  readonly send: (body: Uint8Array, signal: AbortSignal) => Promise<SendOutcome>
  readonly toBody: (spans: readonly ReadableSpan[]) => Uint8Array
  readonly onSent: (count: number) => void
  readonly onDropped: (count: number, why: SpanLoss) => void
  readonly onTrouble: (why: string) => void
  readonly onMended: () => void
  readonly limits?: Partial<QueueLimits>
}

export type SpanLoss = 'full' | 'refused' | 'closed'

export const QUEUE_LIMITS = {
  maxSpans: 2048,
  /** By `weightOf()`. */
  maxBytes: 2 * 1024 * 1024,
  maxBatch: 256,
  delayMs: 5000,
  retryMs: 1000,
  maxRetryMs: 30_000,
  closeMs: 1000
}

type QueueLimits = Readonly<typeof QUEUE_LIMITS>

interface Waiting {
  readonly span: ReadableSpan
  readonly bytes: number
}

/**
 * Bounded queue of spans. If the endpoint fails, new spans are dropped and counted, waiting ones retried.
 *
 * ```
 *   onEnd ──▶ waiting ──delay, or a batch is full──▶ one request at a time ──▶ taken, or refused and dropped
 *                ▲                                              │
 *                └────────────── later, with growing pauses ────┘
 * ```
 */
export class SpanQueue implements SpanProcessor {
  readonly #options: SpanQueueOptions
  readonly #limits: QueueLimits
  /** The batch under way comes first. Bounded by `limits`. */
  #waiting: Waiting[] = []
  #bytes = 0
  #timer: NodeJS.Timeout | null = null
  readonly #sendOnce = singleFlight(() => this.#sendBatch())
  #failures = 0
  #hasTrouble = false
  #isClosed = false
  readonly #end = new AbortController()

  constructor(options: SpanQueueOptions) {
    this.#options = options
    this.#limits = { ...QUEUE_LIMITS, ...options.limits }
  }

  get bytes(): number {
    return this.#bytes
  }

  get size(): number {
    return this.#waiting.length
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    const bytes = weightOf(span)
    const { maxSpans, maxBytes, maxBatch, delayMs } = this.#limits
    if (this.#isClosed) return this.#options.onDropped(1, 'closed')
    if (this.#waiting.length >= maxSpans || this.#bytes + bytes > maxBytes) {
      this.#options.onDropped(1, 'full')
      return this.#trouble('too many wait')
    }
    this.#waiting.push({ span, bytes })
    this.#bytes += bytes
    if (this.#failures > 0 || this.#sendOnce.running !== null) return // what follows takes them along
    this.#sendIn(this.#waiting.length >= maxBatch ? 0 : delayMs)
  }

  async forceFlush(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#end.signal.aborted) {
      this.#clearTimer()
      const before = this.#waiting.length
      await this.#sendNow()
      if (this.#waiting.length === before) return
    }
  }

  async shutdown(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const timer = setTimeout(() => this.#end.abort(), this.#limits.closeMs)
    await this.forceFlush()
    clearTimeout(timer)
    this.#end.abort()
    this.#clearTimer()
    if (this.#waiting.length > 0) this.#options.onDropped(this.#waiting.length, 'closed')
    this.#waiting = []
    this.#bytes = 0
  }

  #sendIn(ms: number): void {
    if (this.#timer !== null && ms > 0) return
    this.#clearTimer()
    this.#timer = setTimeout(() => {
      this.#timer = null
      void this.#sendNow() // cannot reject
    }, ms).unref()
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  async #sendNow(): Promise<void> {
    await this.#sendOnce()
    if (this.#waiting.length > 0 && !this.#isClosed) this.#sendIn(this.#pauseMs)
  }

  async #sendBatch(): Promise<void> {
    const batch = this.#waiting.slice(0, this.#limits.maxBatch)
    if (batch.length === 0) return
    const outcome = await this.#send(batch)
    if (outcome.type === 'later') {
      this.#failures++
      this.#afterMs = outcome.afterMs
      return this.#trouble(outcome.why)
    }
    this.#failures = 0
    this.#afterMs = null
    this.#waiting = this.#waiting.slice(batch.length)
    this.#bytes = this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0)
    if (outcome.type === 'refused') {
      this.#options.onDropped(batch.length, 'refused')
      return this.#trouble(outcome.why)
    }
    this.#options.onSent(batch.length)
    if (this.#hasTrouble) this.#options.onMended()
    this.#hasTrouble = false
  }

  /** Never rejects. */
  async #send(batch: readonly Waiting[]): Promise<SendOutcome> {
    let body: Uint8Array
    try {
      body = this.#options.toBody(batch.map(({ span }) => span))
    } catch {
      return { type: 'refused', why: 'the spans cannot be written' }
    }
    return this.#options.send(body, this.#end.signal)
  }

  #afterMs: number | null = null

  get #pauseMs(): number {
    const { maxBatch, delayMs, retryMs, maxRetryMs } = this.#limits
    if (this.#failures === 0) return this.#waiting.length >= maxBatch ? 0 : delayMs
    const ownMs = Math.min(maxRetryMs, retryMs * 2 ** (this.#failures - 1))
    return Math.max(this.#afterMs ?? 0, ownMs) // an endpoint that is out of order may ask for 0
  }

  #trouble(why: string): void {
    if (!this.#hasTrouble && !this.#isClosed) this.#options.onTrouble(why)
    this.#hasTrouble = true
  }
}

/** Without texts; measured with a thousand spans. */
const SPAN_BYTES = 1500
const PART_BYTES = 150

function weightOf({ name, attributes, events }: ReadableSpan): number {
  const parts = [attributes, ...events.map((event) => event.attributes ?? {})]
  const texts = parts
    .flatMap((part) => Object.entries(part))
    .reduce((sum, [key, value]) => {
      const values = Array.isArray(value) ? value : [value]
      const chars = values.reduce<number>((all, one) => all + String(one).length, key.length)
      return sum + PART_BYTES + 2 * chars
    }, 0)
  return SPAN_BYTES + 2 * name.length + events.length * PART_BYTES + texts
}
