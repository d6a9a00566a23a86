import { type AccountFigures, SimulatedAccount } from '../../src/simulator/account.ts'
import { FAULTS } from '../../src/simulator/refusal.ts'
import { ODD_FAULTS, type StrictRefusal } from './refusals.ts'

/** Runs out if its figures were set. */
export class StrictAccount extends SimulatedAccount {
  readonly #isLimited: boolean

  constructor(figures?: Partial<AccountFigures>) {
    super(figures)
    this.#isLimited = figures !== undefined
  }

  get refusal(): StrictRefusal | null {
    const { used, limit, isOverageEnabled, overageCap } = this.figures
    if (used < limit || !this.#isLimited) return null
    if (!isOverageEnabled) return FAULTS.quota
    return used < limit + overageCap ? null : ODD_FAULTS.overage
  }
}
