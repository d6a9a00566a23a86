import type { LeaseReport, LeaseTerms } from '../ipc/lease-messages.ts'
import { type LedgerEvent, type LedgerState, nextLedger, openLedger } from './budget-ledger.ts'
import type { BudgetSize } from './ledger-account.ts'

/**
 * After a process has died its sockets are closed by the kernel, but the upstream has to notice before others may
 * take their places.
 */
const SOCKETS_GONE_MS = 150

/** The ledger with its members: hands reports in and terms out. */
export class Budget {
  readonly #send = new Map<string, (terms: LeaseTerms) => void>()
  #state: LedgerState

  constructor(size: BudgetSize) {
    this.#state = openLedger(size)
  }

  /** Opens an account. `send` delivers terms to the member and may be called at once. */
  join(member: string, slot: number | 'control', send: (terms: LeaseTerms) => void): void {
    this.#send.set(member, send)
    this.#apply({ type: 'join', member, slot })
  }

  report(member: string, report: LeaseReport): void {
    this.#apply({ type: 'report', member, report })
  }

  /** The member's process is gone. Its permits are free again once its sockets are. */
  left(member: string): void {
    this.#send.delete(member)
    this.#apply({ type: 'stopped', member })
    setTimeout(() => this.#apply({ type: 'left', member }), SOCKETS_GONE_MS).unref()
  }

  resize(size: BudgetSize): void {
    this.#apply({ type: 'resize', size })
  }

  #apply(event: LedgerEvent): void {
    const { state, terms } = nextLedger(this.#state, event)
    this.#state = state
    for (const [member, news] of terms) this.#send.get(member)?.(news)
  }
}
