import { type Clock, DeadlineTimer, SYSTEM_CLOCK } from '../../admission/clock.ts'
import type { Config } from '../../config/settings.ts'
import type { LeaseGrant } from '../../ipc/messages.ts'
import type { Logger } from '../../observe/logger.ts'
import type { Metrics } from '../../observe/metrics.ts'
import { type BudgetSize, leaseOf, queueOf, shareAt, wantOf } from './ledger-entry.ts'
import { LedgerView } from './ledger-view.ts'
import { type LedgerEvent, type LedgerState, nextLedger, openLedger } from './ledger.ts'
import { countUsedStarts } from './pace.ts'

export interface BudgetOptions {
  readonly size: BudgetSize
  /** Called at most once per member and turn of the event loop. */
  readonly send: (member: string, grant: LeaseGrant) => void
  readonly clock?: Clock
}

/** Fleet that decides how much of the shared budget is here. */
export interface Governor {
  readonly limit: () => number
  /** Part of the configured requests per minute for this gateway. */
  readonly paceOf: (configured: number) => number
  readonly onGrant: (grant: LeaseGrant) => void
  readonly onRecorded: () => void
}

/** Member of the ledger that takes what other gateways need. */
export const FLEET = 'fleet'

export interface BudgetState {
  readonly maxConnections: number | null
  readonly unleased: number | null
  readonly waiting: number
  readonly pace: {
    readonly maxRequestsPerMinute: number
    readonly free: number
    readonly used: number
    readonly waiting: number
  } | null
  readonly members: readonly {
    readonly member: string
    readonly leased: number | null
    readonly waiting: number
  }[]
}

export class Budget {
  readonly #options: BudgetOptions
  readonly #clock: Clock
  readonly #tick: DeadlineTimer
  /** Bounded by the number of members. */
  readonly #unsent = new Map<string, LeaseGrant>()
  #ledger: LedgerState
  #size: BudgetSize
  #governor: Governor | null = null

  constructor(options: BudgetOptions) {
    this.#options = options
    this.#clock = options.clock ?? SYSTEM_CLOCK
    this.#tick = new DeadlineTimer(this.#clock, () => this.record({ type: 'tick' }))
    this.#size = options.size
    this.#ledger = openLedger(options.size)
  }

  logTo(log: Pick<Logger, 'info'>, config: Pick<Config, 'pool'>): void {
    const { size } = this.#ledger
    log.info(poolLine(config))
    const { maxRequestsPerMinute } = config.pool
    if (maxRequestsPerMinute !== null)
      log.info(`Upstream requests per minute: at most ${maxRequestsPerMinute}`)
    for (let slot = 0; slot < size.workers; slot++) log.info(shareLine(slot, size))
  }

  resize(config: Pick<Config, 'pool'>, workers: number, log: Pick<Logger, 'info' | 'warn'>): void {
    const { maxConnections } = config.pool
    if (maxConnections !== null && maxConnections < workers) {
      log.warn({ maxConnections, workers }, 'fewer connections than workers: workers take turns')
    }
    this.#size = { ...config.pool, workers }
    this.adapt()
    this.logTo(log, config)
  }

  govern(governor: Governor): void {
    this.#governor = governor
    this.adapt()
    this.record({ type: 'join', member: FLEET, slot: 'fleet' })
  }

  adapt(): void {
    const size = this.#size
    const governor = this.#governor
    if (governor === null) return this.record({ type: 'resize', size })
    const connections = governor.limit()
    const { maxConnections, maxKeepalive, maxRequestsPerMinute: pace } = size
    const part = connections / Math.max(1, maxConnections ?? connections)
    this.record({
      type: 'resize',
      size: {
        ...size,
        maxConnections: connections,
        maxKeepalive: maxKeepalive === null ? null : Math.ceil(maxKeepalive * part),
        maxRequestsPerMinute: pace === null ? null : governor.paceOf(pace)
      }
    })
  }

  get configured(): number | null {
    return this.#size.maxConnections
  }

  /** Includes permits of dead processes. */
  get leased(): number {
    return this.#ledger.entries.values().reduce((sum, entry) => sum + leaseOf(entry), 0)
  }

  record(event: LedgerEvent): void {
    if (event.type === 'left') this.#unsent.delete(event.member)
    const { state, grants, wakeAt } = nextLedger(this.#ledger, event, this.#clock.now())
    this.#ledger = state
    this.#tick.aim(wakeAt)
    const isScheduled = this.#unsent.size > 0
    for (const [member, news] of grants) this.#unsent.set(member, news)
    if (!isScheduled && this.#unsent.size > 0) this.#clock.setImmediate(() => this.#flush())
    this.#governor?.onRecorded()
  }

  state(): BudgetState {
    const { size, entries, cooling } = this.#ledger
    const { maxRequestsPerMinute } = size
    const isLimited = size.maxConnections !== null
    const own = [...entries].filter(([, { slot }]) => slot !== 'fleet')
    const members = own.map(([member, entry]) => ({
      member,
      leased: isLimited ? leaseOf(entry) : null,
      waiting: wantOf(entry)
    }))
    const waiting = members.reduce((sum, one) => sum + one.waiting, 0)
    const inAll = own.reduce((sum, [, entry]) => sum + queueOf(entry), 0)
    const view = new LedgerView(size, entries, cooling)
    return {
      maxConnections: size.maxConnections,
      unleased: isLimited ? view.unleased : null,
      waiting,
      pace:
        maxRequestsPerMinute === null
          ? null
          : {
              maxRequestsPerMinute,
              free: view.freeStarts,
              used: countUsedStarts(cooling, entries.values()),
              waiting: inAll - waiting
            },
      members
    }
  }

  #flush(): void {
    const unsent = [...this.#unsent]
    this.#unsent.clear()
    for (const [member, grant] of unsent) {
      if (member === FLEET) this.#governor?.onGrant(grant)
      else this.#options.send(member, grant)
    }
  }
}

export function noteBudget(
  metrics: Pick<Metrics, 'connectionBudget' | 'permitsLeased' | 'paceLimit' | 'paceFree'>,
  { maxConnections, pace, members }: BudgetState,
  nameOf: (member: string) => string
): void {
  metrics.connectionBudget.set(maxConnections ?? 0)
  metrics.paceLimit.set(pace?.maxRequestsPerMinute ?? 0)
  metrics.paceFree.set(pace?.free ?? 0)
  metrics.permitsLeased.reset()
  for (const { member, leased } of members) {
    metrics.permitsLeased.inc({ worker: nameOf(member) }, leased ?? 0)
  }
}

const PERIOD_MS = 10_000
/** A wait that HTTP_POOL_TIMEOUT ends sooner is logged when it ends. */
const SHORT_WAIT_MS = 60_000

export interface QueueWatchOptions {
  readonly state: () => BudgetState
  readonly poolTimeoutMs: () => number | null
  readonly log: Pick<Logger, 'warn'>
  readonly periodMs?: number
}

/** Logs the budget's use while requests wait, except for waits that HTTP_POOL_TIMEOUT ends soon. */
export function watchQueue(options: QueueWatchOptions): NodeJS.Timeout {
  const { log, periodMs = PERIOD_MS } = options
  return setInterval(() => {
    const { waiting, maxConnections, unleased, members, pace } = options.state()
    if (pace !== null && pace.waiting > 0)
      log.warn(pace, 'requests are waiting for the request rate limit')
    if (waiting === 0 || (options.poolTimeoutMs() ?? Infinity) <= SHORT_WAIT_MS) return
    log.warn(
      { waiting, maxConnections, unleased, members },
      'requests are waiting for a connection'
    )
  }, periodMs).unref()
}

/** Operators grep for this line. It has the words of the gateways that they come from, including Python's `None`. */
export function poolLine({ pool }: Pick<Config, 'pool'>): string {
  const { maxConnections, maxKeepalive, keepaliveExpiryMs, poolTimeoutMs } = pool
  return (
    'HTTP connection pool configured: ' +
    `max_connections=${maxConnections ?? 'None'}, ` +
    `max_keepalive=${maxKeepalive ?? 'None'}, ` +
    `keepalive_expiry=${secondsText(keepaliveExpiryMs)}, ` +
    `pool_timeout=${secondsText(poolTimeoutMs)}`
  )
}

/** `slot` counts from 0. The share includes the worker's part of the reserve, which streams cannot use. */
export function shareLine(
  slot: number,
  {
    maxConnections,
    maxKeepalive,
    workers
  }: Pick<BudgetSize, 'maxConnections' | 'maxKeepalive' | 'workers'>
): string {
  const shareOf = (total: number | null) =>
    total === null ? 'None' : shareAt(slot, total, workers)
  return (
    `HTTP connection pool share: worker=${slot + 1}, ` +
    `max_connections=${shareOf(maxConnections)}, ` +
    `max_keepalive=${shareOf(maxKeepalive)}`
  )
}

function secondsText(milliseconds: number | null): string {
  if (milliseconds === null) return 'None'
  const seconds = milliseconds / 1000
  return `${Number.isInteger(seconds) ? seconds.toFixed(1) : seconds}s`
}
