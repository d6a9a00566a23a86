/** Longest time to read an answer on for its metering: its end is usually near, and waiting longer is not worth it. */
const READ_ON_MS = 10_000
/** Bytes that may still come. Metering has a hundred. */
const READ_ON_BYTES = 1_048_576
/**
 * Longest time while the price of such answers is unknown: any shorter answer teaches it, whatever its client does. A
 * key has one of them at a time of a model, and only until one of them, or of another key, was metered.
 */
const UNPRICED_MS = 300_000
const UNPRICED_BYTES = 16_777_216
/** A key that cuts every answer short must not use up connections, and the upstream's work, for each of them. */
const MAX_OF_KEY = 4

export interface MeterReadingsOptions {
  /** Number of requests that lack a connection now. */
  readonly missing: () => number
  /** Number of the gateway's connections. */
  readonly connections: () => number
  readonly bounds?: Partial<typeof BOUNDS>
}

const BOUNDS = {
  ms: READ_ON_MS,
  bytes: READ_ON_BYTES,
  unpricedMs: UNPRICED_MS,
  unpricedBytes: UNPRICED_BYTES
}

export interface MeterReadingOptions {
  /** Owner of the answer, as for a fair share of the connections. */
  readonly key: string
  /** True if the price is unknown, and its key has a limit: it gives way only if no other request could be served. */
  readonly isUnpriced: boolean
  /** Closes the connection; `MeterReading.over()` follows. */
  readonly stop: () => void
}

/**
 * Answers that are read on only for their metering: their clients have had all that they get. Each keeps its permit for
 * that. If a request lacks a connection, they are given up, and cost what their tokens so far cost by the learnt price:
 * a client that waits is worse than credits that are off by a little. While that price is unknown they are not, since a
 * client that kept all connections busy could keep it unknown. If they hold all connections, one of them gives way
 * after the time that others have.
 *
 * ```
 *   begin ──▶ reading ──the upstream's end────────────────────────────────────────▶ over
 *                └─ time, bytes, a request that waits, the worker's end ─▶ closing ──┘
 * ```
 */
export class MeterReadings {
  readonly #options: MeterReadingsOptions
  readonly #bounds: typeof BOUNDS
  /** The oldest first. Bounded by the permits. */
  readonly #open = new Set<MeterReading>()
  /** Given up, and the permit is not back yet. */
  #closing = 0
  #isClosed = false

  constructor(options: MeterReadingsOptions) {
    this.#options = options
    this.#bounds = { ...BOUNDS, ...options.bounds }
  }

  get size(): number {
    return this.#open.size
  }

  /** Starts to read on; `null` without room: then the connection must be closed at once. */
  begin(options: MeterReadingOptions): MeterReading | null {
    const { key, isUnpriced } = options
    if (this.#isClosed) return null
    if (!isUnpriced && this.#options.missing() > this.#closing) return null
    const { ms, bytes, unpricedMs, unpricedBytes } = this.#bounds
    if (!isUnpriced) this.#giveUpOf(key)
    const reading = new MeterReading(options, {
      ms: isUnpriced ? unpricedMs : ms,
      bytes: isUnpriced ? unpricedBytes : bytes,
      longMs: ms,
      onLong: () => this.giveWay(this.#options.missing()),
      onClosing: () => (this.#closing += 1),
      onOver: () => this.#open.delete(reading),
      onClosed: () => (this.#closing -= 1)
    })
    this.#open.add(reading)
    return reading
  }

  /** Ends readings until so many requests have the connections that they lack. */
  giveWay(missing: number): void {
    for (const reading of this.#open) {
      if (this.#closing >= missing) return
      if (!reading.isUnpriced) reading.stop()
    }
    const unpriced = [...this.#open].filter(({ isUnpriced }) => isUnpriced)
    const hasAll = unpriced.length >= this.#options.connections()
    if (missing > 0 && this.#closing === 0 && hasAll) unpriced.find(({ isLong }) => isLong)?.stop()
  }

  /** Gives up all of them: the connections must go. */
  giveUp(): void {
    for (const reading of this.#open) reading.stop()
  }

  /** Gives up all of them, and begins none any more: the worker is about to end. */
  close(): void {
    this.#isClosed = true
    this.giveUp()
  }

  #giveUpOf(key: string): void {
    const own = [...this.#open].filter((one) => one.key === key && !one.isUnpriced)
    if (own.length >= MAX_OF_KEY) own[0]?.stop()
  }
}

interface ReadingBounds {
  readonly ms: number
  readonly bytes: number
  readonly longMs: number
  readonly onLong: () => void
  readonly onClosing: () => void
  readonly onOver: () => void
  readonly onClosed: () => void
}

/** One answer that is read on. */
export class MeterReading {
  readonly key: string
  readonly isUnpriced: boolean
  readonly #stop: () => void
  readonly #bounds: ReadingBounds
  readonly #timer: NodeJS.Timeout
  readonly #longTimer: NodeJS.Timeout
  #isLong = false
  #bytes = 0
  #state: 'reading' | 'closing' | 'over' = 'reading'
  #isClosed = false

  constructor({ key, isUnpriced, stop }: MeterReadingOptions, bounds: ReadingBounds) {
    this.key = key
    this.isUnpriced = isUnpriced
    this.#stop = stop
    this.#bounds = bounds
    this.#timer = setTimeout(() => this.stop(), bounds.ms)
    this.#longTimer = setTimeout(() => {
      this.#isLong = true
      bounds.onLong()
    }, bounds.longMs)
  }

  /** It has had the time of those whose price is known. */
  get isLong(): boolean {
    return this.#isLong
  }

  /** Counts bytes that have come. Returns false where no more are wanted. */
  take(bytes: number): boolean {
    this.#bytes += bytes
    if (this.#bytes > this.#bounds.bytes) this.stop()
    return this.#state === 'reading'
  }

  /** Gives it up. */
  stop(): void {
    if (this.#state !== 'reading') return
    this.#state = 'closing'
    this.#bounds.onClosing()
    this.#stop()
  }

  /** The upstream has ended it, or it was given up. */
  over(): void {
    if (this.#state === 'over') return
    this.#isClosed = this.#state === 'reading' // there is nothing to wait for
    this.#state = 'over'
    clearTimeout(this.#timer)
    clearTimeout(this.#longTimer)
    this.#bounds.onOver()
  }

  /** Its permit is back. */
  released(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#bounds.onClosed()
  }
}
