import { setTimeout as sleep } from 'node:timers/promises'
import type { FleetRecord, FleetRecords } from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import type { Logger } from '../../observe/logger.ts'

export interface FoundValue<V> {
  readonly value: V
  readonly ageMs: number
}

/** Value that all members know and change; each adds what it knows. */
export interface SharedValue<V> {
  readonly name: string
  /** `null` for implausible text. Never throws. */
  readonly parse: (text: string) => V | null
  /** Returns the value to write instead; `null` to keep it. Called again after every change. */
  readonly next: (found: FoundValue<V> | null) => V | null
  readonly onFound: (found: FoundValue<V>) => void
  /** Ms until the value is worthless; `null` for never. */
  readonly ttlMs?: (value: V) => number | null
  /** Least time between changes by this replica; 0 for urgent ones. */
  readonly gapMs: number
}

export interface SharedRecordsOptions {
  readonly records: FleetRecords
  /** Only holders of the secret can read or forge records. */
  readonly seal: FleetSeal
  readonly log: Pick<Logger, 'warn' | 'debug'>
  /** One command per this many ms, after a burst. */
  readonly paceMs: number
  /** Monotonic ms. */
  readonly now?: () => number
  readonly random?: () => number
}

/** Commands before pacing starts: a verdict must not wait for lessons. */
const BURST = 6
const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 8_000
const CONFLICT_MS = 40

/** Keeps this replica's shared values and Valkey equal. Without Valkey, changes are sent when it is back. */
export class SharedRecords {
  readonly #options: SharedRecordsOptions
  readonly #now: () => number
  /** Bounded by how often `add()` is called. */
  readonly #shared: SharedRecord[] = []
  readonly #endNews: () => void
  #credit = BURST
  #creditAt: number
  #timer: NodeJS.Timeout | null = null
  #isBusy = false
  #isClosed = false

  constructor(options: SharedRecordsOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#creditAt = this.#now()
    this.#endNews = options.records.onNews((name) => {
      for (const one of this.#shared) one.onNews(name)
      this.#wake()
    })
  }

  /** Returns a function to call whenever `next()` may return something new. */
  add<V>(value: SharedValue<V>): () => void {
    const { records, seal, log, random = Math.random } = this.#options
    const shared = new OneRecord(value, { records, seal, log, random, now: this.#now })
    this.#shared.push(shared)
    this.#wake()
    return () => {
      shared.touch()
      this.#wake()
    }
  }

  async settle(patienceMs: number): Promise<void> {
    const deadline = this.#now() + patienceMs
    const isDue = (one: SharedRecord): boolean => one.dueAt() <= deadline
    while ((this.#isBusy || this.#shared.some(isDue)) && this.#now() < deadline) {
      this.#wake()
      await sleep(10)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#endNews()
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  #wake(): void {
    if (this.#isBusy || this.#isClosed) return
    this.#isBusy = true
    setImmediate(() => void this.#run()) // never rejects
  }

  async #run(): Promise<void> {
    let waitMs = 0
    while (waitMs <= 0 && !this.#isClosed) {
      const now = this.#now()
      const dues = this.#shared.map((one) => one.dueAt())
      const at = dues.findIndex((due) => due <= now)
      waitMs = at === -1 ? Math.min(...dues) - now : this.#spend(now)
      if (waitMs <= 0) await this.#shared[at]?.step()
    }
    this.#isBusy = false
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#isClosed || waitMs === Infinity) return
    this.#timer = setTimeout(() => this.#wake(), Math.max(1, Math.ceil(waitMs))).unref()
  }

  /** Takes a command and returns 0, or returns the ms until one is available. */
  #spend(now: number): number {
    const { paceMs } = this.#options
    this.#credit = Math.min(BURST, this.#credit + (now - this.#creditAt) / paceMs)
    this.#creditAt = now
    if (this.#credit < 1) return (1 - this.#credit) * paceMs
    this.#credit -= 1
    return 0
  }
}

interface SharedRecord {
  touch(): void
  onNews(name: string | null): void
  /** Time of the next command; `Infinity` for none. */
  dueAt(): number
  /** Never rejects. */
  step(): Promise<void>
}

interface RecordMeans extends Pick<SharedRecordsOptions, 'records' | 'seal' | 'log'> {
  readonly random: () => number
  readonly now: () => number
}

/**
 * ```
 *   stale ──read──▶ known ──next() says something──▶ written
 *     ▲               │ ▲                              │
 *     └─news, unknown─┘ └──another writer was first────┘
 * ```
 */
class OneRecord<V> implements SharedRecord {
  readonly #value: SharedValue<V>
  readonly #means: RecordMeans
  #isStale = true
  #isTouched = true
  #rev = 0
  #found: (FoundValue<V> & { readonly at: number }) | null = null
  #retryAt = -Infinity
  #retryMs = FIRST_RETRY_MS
  #writtenAt = -Infinity
  #isRefused = false
  #ownNews = 0
  #isWriting = false

  constructor(value: SharedValue<V>, means: RecordMeans) {
    this.#value = value
    this.#means = means
  }

  touch(): void {
    this.#isTouched = true
  }

  onNews(name: string | null): void {
    if (name === null) {
      this.#ownNews = 0
      this.#retryAt = -Infinity // Valkey is back
      this.#retryMs = FIRST_RETRY_MS
    } else if (name !== this.#value.name) return
    else if (this.#isWriting || this.#ownNews > 0) {
      this.#ownNews -= 1
      return
    }
    this.#isStale = true
  }

  dueAt(): number {
    if (this.#isStale) return this.#retryAt
    if (!this.#isTouched) return Infinity
    const at = Math.max(this.#retryAt, this.#writtenAt + this.#value.gapMs)
    if (at <= this.#means.now()) this.#isTouched = this.#value.next(this.#current()) !== null
    return this.#isTouched ? at : Infinity
  }

  async step(): Promise<void> {
    const { records } = this.#means
    const { name } = this.#value
    try {
      if (this.#isStale) {
        this.#isStale = false
        this.#take(await records.read(name))
      } else await this.#write()
      this.#retryMs = FIRST_RETRY_MS
    } catch (err) {
      this.#means.log.debug({ err, record: name }, 'unknown shared record')
      this.#isStale = true
      this.#retryAt = this.#means.now() + this.#retryMs * (0.5 + this.#means.random())
      this.#retryMs = Math.min(LAST_RETRY_MS, this.#retryMs * 2)
    }
  }

  async #write(): Promise<void> {
    const { records, seal, now, random } = this.#means
    const { name, next, ttlMs } = this.#value
    this.#isTouched = false
    const value = next(this.#current())
    if (value === null) return
    const sealed = seal.seal(JSON.stringify(value), aadOf(name))
    const ttl = ttlMs?.(value) ?? null
    const change = { rev: this.#rev, value: sealed, ...(ttl !== null && { ttlMs: ttl }) }
    this.#isWriting = true
    try {
      const { isWritten, record } = await records.cas(name, change)
      if (isWritten) {
        this.#onWritten(record.rev, value)
        return
      }
      this.#isTouched = true
      this.#retryAt = now() + CONFLICT_MS * random()
      this.#take(record)
    } catch (cause) {
      this.#isTouched = true // it may have been written, or may be yet
      throw cause
    } finally {
      this.#isWriting = false
      // Others wrote meanwhile, and their news has arrived.
      if (this.#ownNews < 0) this.#isStale = true
      this.#ownNews = Math.max(0, this.#ownNews)
    }
  }

  #onWritten(rev: number, value: V): void {
    this.#rev = rev
    this.#found = { value, ageMs: 0, at: this.#means.now() }
    this.#writtenAt = this.#found.at
    this.#ownNews += 1
    this.#isTouched = true // what has changed meanwhile
  }

  #current(): FoundValue<V> | null {
    const found = this.#found
    if (found === null) return null
    return { value: found.value, ageMs: found.ageMs + this.#means.now() - found.at }
  }

  #take({ rev, value: sealed, ageMs = 0 }: FleetRecord): void {
    const { name, parse, onFound } = this.#value
    const { seal, log, now } = this.#means
    this.#rev = rev
    this.#isTouched = true
    const text = sealed === null ? null : seal.open(sealed, aadOf(name))
    const value = text === null ? null : parse(text)
    const isRefused = value === null && (rev > 0 || sealed !== null)
    if (isRefused && !this.#isRefused) {
      log.warn({ record: name }, "a record in the fleet's Valkey is not trusted")
    }
    this.#isRefused = isRefused
    this.#found = value === null ? null : { value, ageMs, at: now() }
    if (this.#found !== null) onFound(this.#found)
  }
}

function aadOf(name: string): string {
  return `v1|record|${name}`
}
