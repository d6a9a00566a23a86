import { type LeaseReport, type LeaseGrant, NO_REPORT } from '../../ipc/messages.ts'
import { HEADS_TOLD } from '../../ipc/service-order.ts'
import type { FleetDemand } from '../../fleet/fleet-demand.ts'
import { type Budget, FLEET, type Governor } from '../budget/budget.ts'

export interface FleetLedgerOptions {
  readonly budget: Pick<Budget, 'govern' | 'adapt' | 'record' | 'state' | 'leased'>
  /** Permits whose sockets are gone, for other gateways. */
  readonly onLent: (permits: number) => void
  readonly onChange: () => void
}

/** Entitled gateways wait like a request of this age. */
const FIRST_OF_ALL = { key: 'other gateways', at: 0, served: 0 } as const

/** The fleet as a member of this gateway's ledger: what it is granted leaves the budget, for other gateways. */
export class FleetLedger {
  readonly #options: FleetLedgerOptions
  #size = 0
  /** Unknown until the fleet is: then nothing may be sent. */
  #replicas = Infinity
  #demand: FleetDemand = { permits: 0, urgent: 0 }
  #report: LeaseReport = NO_REPORT
  #grant: Pick<LeaseGrant, 'seq' | 'granted'> = { seq: 0, granted: 0 }

  constructor(options: FleetLedgerOptions) {
    this.#options = options
    const governor: Governor = {
      limit: () => this.#size,
      paceOf: (configured) => Math.floor(configured / this.#replicas),
      onGrant: (grant) => this.#onGrant(grant),
      onRecorded: options.onChange
    }
    options.budget.govern(governor)
  }

  setSize(size: number): void {
    if (size === this.#size) return
    this.#size = size
    this.#options.budget.adapt()
  }

  setReplicas(replicas: number): void {
    if (replicas === this.#replicas) return
    this.#replicas = replicas
    this.#options.budget.adapt()
  }

  setDemand(demand: FleetDemand): void {
    const { permits, urgent } = this.#demand
    if (demand.permits === permits && demand.urgent === urgent) return
    this.#demand = demand
    this.#tell(this.#report.returned)
  }

  get waiting(): number {
    return this.#options.budget.state().waiting
  }

  get isEmpty(): boolean {
    return this.#options.budget.leased === 0
  }

  #onGrant({ seq, granted }: LeaseGrant): void {
    this.#grant = { seq, granted }
    const held = granted - this.#report.returned
    const lent = Math.max(0, Math.min(held, this.#demand.permits, this.#size))
    if (lent > 0) {
      this.#size -= lent
      const { permits, urgent } = this.#demand
      this.#demand = { permits: permits - lent, urgent: Math.max(0, urgent - lent) }
      this.#options.budget.adapt() // before they are back: they must not be granted here once more
    }
    if (held > 0) this.#tell(granted)
    if (lent > 0) this.#options.onLent(lent)
  }

  #tell(returned: number): void {
    const { permits, urgent } = this.#demand
    this.#report = {
      ...NO_REPORT,
      seq: this.#report.seq + 1,
      seen: this.#grant.seq,
      granted: this.#grant.granted,
      returned,
      waiting: permits,
      heads: Array.from({ length: Math.min(urgent, HEADS_TOLD) }, () => FIRST_OF_ALL)
    }
    this.#options.budget.record({ type: 'report', member: FLEET, report: this.#report })
  }
}
