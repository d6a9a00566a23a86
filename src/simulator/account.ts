import { FAULTS, type Refusal } from './refusal.ts'

/** As `getUsageLimits` reports it (kiro-protocol §9.8). */
export interface AccountFigures {
  readonly used: number
  readonly limit: number
  readonly isOverageEnabled: boolean
  readonly overageCap: number
}

const FIGURES: AccountFigures = {
  used: 42.5,
  limit: 1_000,
  isOverageEnabled: false,
  overageCap: 10_000
}

const OVERAGE_RATE = 0.04

export class SimulatedAccount {
  #figures: AccountFigures
  /** Only tests set a limit, so that a long trial does not run out. */
  readonly #isLimited: boolean

  constructor(figures?: Partial<AccountFigures>) {
    this.#figures = { ...FIGURES, ...figures }
    this.#isLimited = figures !== undefined
  }

  get figures(): AccountFigures {
    return this.#figures
  }

  set(figures: Partial<AccountFigures>): void {
    this.#figures = { ...this.#figures, ...figures }
  }

  meter(credits: number): void {
    this.set({ used: this.#figures.used + credits })
  }

  get refusal(): Refusal | null {
    const { used, limit, isOverageEnabled, overageCap } = this.#figures
    if (used < limit || !this.#isLimited) return null
    if (!isOverageEnabled) return FAULTS.quota
    return used < limit + overageCap ? null : FAULTS.overage
  }

  toBreakdown() {
    const { used, limit, overageCap } = this.#figures
    const overages = Math.max(0, used - limit)
    const current = used - overages
    return {
      resourceType: 'CREDIT',
      displayName: 'Credits',
      unit: 'CREDITS',
      currency: 'USD',
      currentUsage: Math.floor(current),
      currentUsageWithPrecision: current,
      usageLimit: limit,
      usageLimitWithPrecision: limit,
      currentOverages: Math.floor(overages),
      currentOveragesWithPrecision: overages,
      overageCap,
      overageCapWithPrecision: overageCap,
      overageCharges: overages * OVERAGE_RATE,
      overageRate: OVERAGE_RATE
    }
  }
}
