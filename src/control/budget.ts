import type { LeaseReport, LeaseTerms } from '../ipc/lease-messages.ts'
import { nextLedger, openLedger, type LedgerEvent, type LedgerState } from './budget-ledger.ts'
import {
  leaseOf,
  sharesAtStart,
  unleasedPermits,
  wantOf,
  type BudgetSize
} from './ledger-account.ts'

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

  /** The exact shares, for the start-up log. */
  shares(): ReturnType<typeof sharesAtStart> {
    return sharesAtStart(this.#ledger.size)
  }

  /** A process has started. Each process is a member of its own, also in the slot of a predecessor. */
  join(member: string, slot: number | 'control'): void {
    this.#record({ type: 'join', member, slot })
  }

  onReport(member: string, report: LeaseReport): void {
    this.#record({ type: 'report', member, report })
  }

  /** The successor of a process serves: what the old one has comes back as its last clients leave. */
  retire(member: string): void {
    this.#record({ type: 'retire', member })
  }

  /** Of a process that is gone no more than so many sockets are open at the upstream: the other permits are free. */
  remains(member: string, sockets: number): void {
    this.#record({ type: 'remains', member, sockets })
  }

  /** A process is gone; its permits stay out until `remains` and `left`. */
  stopped(member: string): void {
    this.#record({ type: 'stopped', member })
  }

  /** The sockets of a process that is gone are closed at the upstream, too. */
  left(member: string): void {
    this.#unsent.delete(member)
    this.#record({ type: 'left', member })
  }

  /** Growing is at once; when it shrinks, what is in flight ends first. */
  resize(size: BudgetSize): void {
    this.#record({ type: 'resize', size })
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
      unleased: isLimited ? unleasedPermits(size, accounts) : null,
      waiting: members.reduce((sum, { waiting }) => sum + waiting, 0),
      members
    }
  }

  #record(event: LedgerEvent): void {
    const { state, terms } = nextLedger(this.#ledger, event)
    this.#ledger = state
    const isScheduled = this.#unsent.size > 0
    for (const [member, news] of terms) this.#unsent.set(member, news)
    if (!isScheduled && this.#unsent.size > 0) this.#setImmediate(() => this.#flush())
  }

  #flush(): void {
    const unsent = [...this.#unsent]
    this.#unsent.clear()
    for (const [member, terms] of unsent) this.#options.send(member, terms)
  }
}
