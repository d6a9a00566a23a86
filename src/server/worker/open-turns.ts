import type { IncomingHttpHeaders } from 'node:http'
import type { EndReason, Usage } from '../../dialects/answer/stream-part.ts'
import { addUsage } from '../../dialects/answer/usage.ts'
import { MAX_SHOWN_TURNS, type RunningTurn } from '../../ipc/dashboard.ts'
import type { Metering } from '../../ipc/usage-row.ts'
import type { GatewayError } from '../../shared/errors.ts'
import type { TurnTrace } from '../../tracing/tracer.ts'
import type { TracedCall } from '../../tracing/turn-trace.ts'
import type { CallPhase } from '../../upstream/classify.ts'
import type { Charge } from '../primary/key-limits.ts'

export type Charged = Pick<Charge, 'cost' | 'period'>

export interface OpenTurn {
  abort(error: GatewayError): void
  readonly keyLabel: string
  /** Waits for a connection, or for a stream of its key. */
  readonly isWaiting: boolean
  /** The client has its answer, or is gone, but the cost is not known yet. */
  readonly isOver?: boolean
  /** Facts for the panel. */
  shown?(): RunningTurn
  /** Ends a turn that is read or waits, and that `problemOf` would not let in. */
  checkKey?(problemOf: KeyProblemOf): void
}

/** Returns why the client of a request would be refused now. */
export type KeyProblemOf = (headers: IncomingHttpHeaders) => GatewayError | null

export interface KeyTurns {
  readonly streams: number
  readonly waiting: number
}

export interface DrainOptions {
  readonly timeoutMs: number
  readonly graceMs: number
  readonly error: GatewayError
}

export class OpenTurns {
  /** Bounded by the number of connections, which have one request under way each. */
  readonly #turns = new Set<OpenTurn>()
  #onEmpty: (() => void) | null = null
  #added = 0

  /** Turns so far. */
  get added(): number {
    return this.#added
  }

  get size(): number {
    return this.#turns.size
  }

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

  /** The oldest turns that clients still wait for. */
  shown(): readonly RunningTurn[] {
    const running = this.#turns.values().filter(({ isOver }) => isOver !== true)
    return Array.from(running.take(MAX_SHOWN_TURNS), (turn) => turn.shown?.() ?? []).flat()
  }

  add(turn: OpenTurn): void {
    this.#turns.add(turn)
    this.#added += 1
  }

  remove(turn: OpenTurn): void {
    this.#turns.delete(turn)
    if (this.#turns.size === 0) this.#onEmpty?.()
  }

  abort(error: GatewayError): void {
    for (const turn of this.#turns) turn.abort(error)
  }

  /** Call when keys have changed. Answers under way are finished. */
  checkKeys(problemOf: KeyProblemOf): void {
    for (const turn of this.#turns) turn.checkKey?.(problemOf)
  }

  /**
   * Ends the rest with `error` after `timeoutMs`, and after `graceMs` more stops waiting for clients that
   * do not read even that. A later call replaces an earlier one, which resolves at once.
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
 * Waits are for a stream of the key, the upstream's pause, the pace, or a connection; `retry` is time of
 * failed attempts.
 */
export type PhaseName = (typeof NAMES)[number]

export type WaitName = Extract<PhaseName, 'key' | 'pace' | 'queue'>

/** Most exact first. */
const EXACTNESS: readonly Metering[] = ['metered', 'read on', 'measured']

export interface CallFacts extends TracedCall {
  readonly phase: CallPhase
  /** `null` if the answer did not end. */
  readonly stopReason: EndReason | null
  readonly upstreamId: string | null
  readonly isMeasured: boolean
  /** Calls of an answer that broke off. */
  readonly lostCalls: number
}

/** Times and costs of one turn. Repeated phases (retries) and calls add up. */
export class Progress {
  readonly startedAt = performance.now()
  readonly #trace: TurnTrace | null
  readonly #spentMs: Partial<Record<PhaseName, number>> = {}
  #markedAt = this.startedAt
  /** Usage of calls that were answered whole; `null` before the first. */
  usage: Usage | null = null
  /** Bounded by the questions that a turn may ask. */
  readonly charges: Charged[] = []
  /** Micro-credits of all calls, failed ones included, metered or measured. */
  metered = 0
  /** The least exact of its calls; `null` if none cost anything. */
  metering: Metering | null = null
  /** Resolves when all costs are known; `null` if they are. */
  owed: Promise<void> | null = null
  #endedAt: number | null = null // see `over()`
  attempts = 0
  lastCall: CallFacts | null = null
  /** Calls that clients did not get, because their arguments did not come whole. */
  lostCalls = 0
  /** Sign-in in use; `null` before the first call. */
  account: string | null = null
  /** True until `endWait()`. */
  isWaiting = false

  constructor(trace: TurnTrace | null = null) {
    this.#trace = trace
  }

  spend(usage: Usage): void {
    this.usage = addUsage(this.usage, usage)
  }

  /** Micro-credits charged to the key; 0 without a limit. */
  get charged(): number {
    return this.charges.reduce((sum, { cost }) => sum + cost, 0)
  }

  meter(credits: number, how: Metering): void {
    this.metered += credits
    if (this.metering === null || EXACTNESS.indexOf(how) > EXACTNESS.indexOf(this.metering))
      this.metering = how
  }

  /** A call is read on for its metering: the cost is known only then. */
  owe(metered: Promise<void>): void {
    const before = this.owed
    this.owed = before === null ? metered : before.then(() => metered)
  }

  noteCall(facts: CallFacts): void {
    this.attempts++
    this.lastCall = facts
    this.lostCalls += facts.lostCalls
    this.#trace?.call(facts)
  }

  beginWait(): void {
    this.isWaiting = true
  }

  end(name: PhaseName, at = performance.now()): void {
    const spentMs = Math.max(0, at - this.#markedAt)
    this.#spentMs[name] = (this.#spentMs[name] ?? 0) + spentMs
    this.#trace?.phase(name, at, spentMs)
    this.#markedAt = at
  }

  /** `pausedMs`: part of the wait that was the upstream's pause. */
  endWait(name: WaitName, pausedMs = 0): void {
    const now = performance.now()
    if (pausedMs > 0) this.end('pause', Math.min(now, this.#markedAt + pausedMs))
    this.end(name, now)
    this.isWaiting = false
  }

  /** Ends the client's part: it has its answer or has left. */
  over(): void {
    this.#endedAt ??= performance.now()
  }

  get isOver(): boolean {
    return this.#endedAt !== null
  }

  /** `performance.now()` of the end, or now. */
  get endedAt(): number {
    return this.#endedAt ?? performance.now()
  }

  totalMs(): number {
    return this.endedAt - this.startedAt
  }

  spentMs(name: PhaseName): number {
    return this.#spentMs[name] ?? 0
  }

  /** Milliseconds with tenths by phase, for the log. */
  toJson(): Readonly<Record<string, number>> {
    const json: Record<string, number> = {}
    for (const name of NAMES) {
      const spentMs = this.#spentMs[name]
      if (spentMs !== undefined) json[name] = Math.round(spentMs * 10) / 10
    }
    return json
  }

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
