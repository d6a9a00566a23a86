import type { Config } from '../../config/settings.ts'
import type { LeaseTerms } from '../../ipc/messages.ts'
import type { Logger } from '../../observe/logger.ts'
import type { Metrics } from '../../observe/metrics.ts'
import { type BudgetSize, leaseOf, shareAt, wantOf } from './ledger-account.ts'
import { LedgerView } from './ledger-view.ts'
import { type LedgerEvent, type LedgerState, nextLedger, openLedger } from './ledger.ts'

export interface BudgetOptions {
  readonly size: BudgetSize
  /** Hands terms to a member. Called at most once per member and turn of the event loop. */
  readonly send: (member: string, terms: LeaseTerms) => void
  /** Runs a function once the current turn of the event loop is done; replaceable in tests. */
  readonly setImmediate?: (onTurn: () => void) => void
}

/** What the primary knows about the budget, for `/metrics` and the log. */
export interface BudgetState {
  readonly maxConnections: number | null
  /** `null` without limit, like `leased`. */
  readonly unleased: number | null
  readonly waiting: number
  readonly members: readonly {
    readonly member: string
    readonly leased: number | null
    readonly waiting: number
  }[]
}

/**
 * The primary's end of the connection budget: keeps the ledger and sends its terms, one message per member
 * and turn of the event loop.
 */
export class Budget {
  readonly #options: BudgetOptions
  readonly #setImmediate: (onTurn: () => void) => void
  /** Bounded by the number of members. */
  readonly #unsent = new Map<string, LeaseTerms>()
  #ledger: LedgerState

  constructor(options: BudgetOptions) {
    this.#options = options
    this.#setImmediate = options.setImmediate ?? ((onTurn) => void setImmediate(onTurn))
    this.#ledger = openLedger(options.size)
  }

  /** Says what the pool was configured with, and what of it each worker gets. */
  logTo(log: Pick<Logger, 'info'>, config: Pick<Config, 'pool'>): void {
    const { size } = this.#ledger
    log.info(poolLine(config))
    for (let slot = 0; slot < size.workers; slot++) log.info(shareLine(slot, size))
  }

  /** Enters what has happened, and tells the members what follows from it for them. */
  record(event: LedgerEvent): void {
    if (event.type === 'left') this.#unsent.delete(event.member)
    const { state, terms } = nextLedger(this.#ledger, event)
    this.#ledger = state
    const isScheduled = this.#unsent.size > 0
    for (const [member, news] of terms) this.#unsent.set(member, news)
    if (!isScheduled && this.#unsent.size > 0) this.#setImmediate(() => this.#flush())
  }

  state(): BudgetState {
    const { size, accounts } = this.#ledger
    const isLimited = size.maxConnections !== null
    const members = [...accounts].map(([member, account]) => ({
      member,
      leased: isLimited ? leaseOf(account) : null,
      waiting: wantOf(account)
    }))
    return {
      maxConnections: size.maxConnections,
      unleased: isLimited ? new LedgerView(size, accounts).unleased : null,
      waiting: members.reduce((sum, { waiting }) => sum + waiting, 0),
      members
    }
  }

  #flush(): void {
    const unsent = [...this.#unsent]
    this.#unsent.clear()
    for (const [member, terms] of unsent) this.#options.send(member, terms)
  }
}

/** Sets the gauges that tell who holds how much of the budget. `nameOf` gives a member's label. */
export function noteBudget(
  metrics: Pick<Metrics, 'connectionBudget' | 'permitsLeased'>,
  { maxConnections, members }: BudgetState,
  nameOf: (member: string) => string
): void {
  metrics.connectionBudget.set(maxConnections ?? 0)
  metrics.permitsLeased.reset()
  for (const { member, leased } of members) {
    metrics.permitsLeased.inc({ worker: nameOf(member) }, leased ?? 0)
  }
}

const PERIOD_MS = 10_000

/** Says at a steady low rate how the budget is used, while requests wait for a connection; until it is cleared. */
export function watchQueue(
  state: () => BudgetState,
  log: Pick<Logger, 'warn'>,
  periodMs = PERIOD_MS
): NodeJS.Timeout {
  return setInterval(() => {
    const { waiting, maxConnections, unleased, members } = state()
    if (waiting === 0) return
    log.warn({ waiting, maxConnections, unleased, members }, 'requests wait for a connection')
  }, periodMs).unref()
}

/**
 * The line that says what the pool was configured with. Operators grep for it, and it is worded as in the gateways
 * they come from, which is why it speaks Python.
 */
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

/** The share of the worker in a slot, counted from 0; its part of the reserve is in it and not for streams. */
export function shareLine(
  slot: number,
  { maxConnections, maxKeepalive, workers }: Omit<BudgetSize, 'maxWaiting'>
): string {
  const shareOf = (total: number | null) =>
    total === null ? 'None' : shareAt(slot, total, workers)
  return (
    `HTTP connection pool share: worker=${slot + 1}, ` +
    `max_connections=${shareOf(maxConnections)}, ` +
    `max_keepalive=${shareOf(maxKeepalive)}`
  )
}

/** As Python prints a float: never without a decimal point. */
function secondsText(milliseconds: number | null): string {
  if (milliseconds === null) return 'None'
  const seconds = milliseconds / 1000
  return `${Number.isInteger(seconds) ? seconds.toFixed(1) : seconds}s`
}
