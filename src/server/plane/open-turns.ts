import type { EndReason, Usage } from '../../dialects/answer/stream-part.ts'
import { addUsage } from '../../dialects/answer/usage.ts'
import type { Metering } from '../../ipc/usage-row.ts'
import type { GatewayError } from '../../shared/errors.ts'
import type { TracedCall, TurnTrace } from '../../tracing/turn-trace.ts'
import type { CallPhase } from '../../upstream/classify.ts'
import type { Charge } from './key-limits.ts'

/** Charge of the key of a request. */
export type Charged = Pick<Charge, 'cost' | 'period'>

/** A request that is being served. */
export interface OpenTurn {
  /** Ends it early. */
  abort(error: GatewayError): void
  /** The name of its key, or which other kind of key it is. */
  readonly keyLabel: string
  /** It stands in line for a connection, or for a stream of its key. */
  readonly isWaiting: boolean
  /** Its client has its answer, or is gone; it is not known yet what that has cost. */
  readonly isOver?: boolean
}

/** Running requests of a key. */
export interface KeyTurns {
  readonly streams: number
  readonly waiting: number
}

export interface DrainOptions {
  readonly timeoutMs: number
  readonly graceMs: number
  readonly error: GatewayError
}

/** The requests being served now. */
export class OpenTurns {
  /** Bounded by the number of connections, which have one request under way each. */
  readonly #turns = new Set<OpenTurn>()
  #onEmpty: (() => void) | null = null

  get size(): number {
    return this.#turns.size
  }

  /** By the labels of keys. */
  byKey(): ReadonlyMap<string, KeyTurns> {
    const counts = new Map<string, KeyTurns>()
    for (const { keyLabel, isWaiting, isOver } of this.#turns) {
      if (isOver === true) continue
      const { streams, waiting } = counts.get(keyLabel) ?? { streams: 0, waiting: 0 }
      const next = isWaiting ? { streams, waiting: waiting + 1 } : { streams: streams + 1, waiting }
      counts.set(keyLabel, next)
    }
    return counts
  }

  add(turn: OpenTurn): void {
    this.#turns.add(turn)
  }

  remove(turn: OpenTurn): void {
    this.#turns.delete(turn)
    if (this.#turns.size === 0) this.#onEmpty?.()
  }

  /** Ends all of them now. */
  abort(error: GatewayError): void {
    for (const turn of this.#turns) turn.abort(error)
  }

  /**
   * Resolves when all have ended. After `timeoutMs` those that are left are ended with `error`, and after `graceMs`
   * more clients that do not read even that are no longer waited for. A later call takes the place of an earlier one, which
   * resolves at once.
   */
  async drain({ timeoutMs, graceMs, error }: DrainOptions): Promise<void> {
    if (this.#turns.size === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onEmpty?.()
    this.#onEmpty = resolve
    let timer = setTimeout(() => {
      timer = setTimeout(resolve, graceMs)
      this.abort(error)
    }, timeoutMs)
    await promise
    clearTimeout(timer)
  }
}

const NAMES = [
  'read',
  'transform',
  'key',
  'pause',
  'pace',
  'queue',
  'connect',
  'ttfb',
  'search',
  'stream',
  'retry'
] as const

/**
 * A stretch of a request's life; each begins where the one before it ended. Waits have a name by what is waited for: a stream
 * of the key, the end of a pause that the upstream asked for, the pace, a connection. `retry` is what failed attempts took.
 */
export type PhaseName = (typeof NAMES)[number]

/** Queue of a request when no pause keeps it back. */
export type WaitName = Extract<PhaseName, 'key' | 'pace' | 'queue'>

/** The most exact first. */
const EXACTNESS: readonly Metering[] = ['metered', 'read on', 'measured']

/** Facts about one completed upstream call. */
export interface CallFacts extends TracedCall {
  /** Phase that it reached. */
  readonly phase: CallPhase
  /** Why the answer ended; `null` where it did not come to its end. */
  readonly stopReason: EndReason | null
  /** The upstream's name for it. */
  readonly upstreamId: string | null
  /** The upstream has counted the tokens of the request. */
  readonly isMeasured: boolean
  /** Tool calls of an answer that broke off. */
  readonly lostCalls: number
}

/**
 * Progress of one turn: the time of its phases and the cost of its calls. Several passes through a phase (retries) add
 * up, and so do the calls.
 */
export class Progress {
  /** `performance.now()` when the request arrived. */
  readonly startedAt = performance.now()
  readonly #trace: TurnTrace | null
  readonly #spentMs: Partial<Record<PhaseName, number>> = {}
  #markedAt = this.startedAt
  #usage: Usage | null = null
  /** Bounded by the questions that a turn may ask. */
  readonly #charges: Charged[] = []
  #metered = 0
  #metering: Metering | null = null
  #owed: Promise<void> | null = null
  #endedAt: number | null = null // see `over()`
  #attempts = 0
  #lastCall: CallFacts | null = null
  #lostCalls = 0
  #account: string | null = null
  #isWaiting = false

  /** `trace` is told of what happens; `null` where traces are off. */
  constructor(trace: TurnTrace | null = null) {
    this.#trace = trace
  }

  /** Usage of all calls that were answered to their end; `null` before the first. */
  get usage(): Usage | null {
    return this.#usage
  }

  spend(usage: Usage): void {
    this.#usage = addUsage(this.#usage, usage)
  }

  /** Micro-credits that its key was charged; 0 where that has no limit. */
  get charged(): number {
    return this.#charges.reduce((sum, { cost }) => sum + cost, 0)
  }

  get charges(): readonly Charged[] {
    return this.#charges
  }

  charge(charged: Charged): void {
    this.#charges.push(charged)
  }

  /** Micro-credits of all calls, of failed ones, too, as they were metered or measured. */
  get metered(): number {
    return this.#metered
  }

  /** The least exact way in which the credits of a call came about; `null` where none cost anything. */
  get metering(): Metering | null {
    return this.#metering
  }

  /** Cost of a call, in micro-credits, and how it is known. */
  meter(credits: number, how: Metering): void {
    this.#metered += credits
    if (this.#metering === null || EXACTNESS.indexOf(how) > EXACTNESS.indexOf(this.#metering))
      this.#metering = how
  }

  /** A call is being read on for its metering: only then it is known what the request has cost. */
  owe(metered: Promise<void>): void {
    const before = this.#owed
    this.#owed = before === null ? metered : before.then(() => metered)
  }

  /** Resolves when it is known what all calls have cost; `null` where it is already. */
  get owed(): Promise<void> | null {
    return this.#owed
  }

  /** Upstream calls that are over. */
  get attempts(): number {
    return this.#attempts
  }

  get lastCall(): CallFacts | null {
    return this.#lastCall
  }

  /** Tool calls that clients did not get, because their arguments did not come whole. */
  get lostCalls(): number {
    return this.#lostCalls
  }

  /** A call of the upstream is over, however it ended. */
  noteCall(facts: CallFacts): void {
    this.#attempts++
    this.#lastCall = facts
    this.#lostCalls += facts.lostCalls
    this.#trace?.call(facts)
  }

  /** Id of the sign-in in use; `null` before the first call. */
  get account(): string | null {
    return this.#account
  }

  noteAccount(id: string): void {
    this.#account = id
  }

  /** It stands in line; until `endWait()`. */
  get isWaiting(): boolean {
    return this.#isWaiting
  }

  beginWait(): void {
    this.#isWaiting = true
  }

  /** Ends a phase now, or at the given `performance.now()`. */
  end(name: PhaseName, at = performance.now()): void {
    const spentMs = Math.max(0, at - this.#markedAt)
    this.#spentMs[name] = (this.#spentMs[name] ?? 0) + spentMs
    this.#trace?.phase(name, at, spentMs)
    this.#markedAt = at
  }

  /** The request goes on. For so long of the time that it stood in line a pause was on. */
  endWait(name: WaitName, pausedMs = 0): void {
    const now = performance.now()
    if (pausedMs > 0) this.end('pause', Math.min(now, this.#markedAt + pausedMs))
    this.end(name, now)
    this.#isWaiting = false
  }

  /** Ends the client's part: the client has its answer or has left, and further time does not count. */
  over(): void {
    this.#endedAt ??= performance.now()
  }

  get isOver(): boolean {
    return this.#endedAt !== null
  }

  /** `performance.now()` when it was over, or now. */
  get endedAt(): number {
    return this.#endedAt ?? performance.now()
  }

  /** Milliseconds since the request arrived, until it was over. */
  totalMs(): number {
    return this.endedAt - this.startedAt
  }

  spentMs(name: PhaseName): number {
    return this.#spentMs[name] ?? 0
  }

  /** Whole milliseconds and tenths by phase, for the log. */
  toJson(): Readonly<Record<string, number>> {
    const json: Record<string, number> = {}
    for (const name of NAMES) {
      const spentMs = this.#spentMs[name]
      if (spentMs !== undefined) json[name] = Math.round(spentMs * 10) / 10
    }
    return json
  }

  /** Value of the `Server-Timing` header, so far. */
  toServerTiming(): string {
    let value = ''
    for (const name of NAMES) {
      const spentMs = this.#spentMs[name]
      if (spentMs === undefined) continue
      const tenths = Math.round(spentMs * 10) // a number with a fraction takes ten times as long to write
      value += `${value === '' ? '' : ', '}${name};dur=${Math.floor(tenths / 10)}.${tenths % 10}`
    }
    return value
  }
}
