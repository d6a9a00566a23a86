/** Figures as `getUsageLimits` reports them (kiro-protocol §9.8). */
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

/** Counts what answers cost. Never runs out by itself. */
export class SimulatedAccount {
  #figures: AccountFigures
  #isUsedUp = false

  constructor(figures?: Partial<AccountFigures>) {
    this.#figures = { ...FIGURES, ...figures }
  }

  get figures(): AccountFigures {
    return this.#figures
  }

  set(figures: Partial<AccountFigures>): void {
    this.#figures = { ...this.#figures, ...figures }
  }

  /** Ends the plan at what has been used, until the next answer is paid. */
  useUp(): void {
    this.#isUsedUp = true
  }

  meter(credits: number): void {
    this.#isUsedUp = false
    this.set({ used: this.#figures.used + credits })
  }

  toUsageLimits(nowMs: number) {
    const now = new Date(nowMs)
    const resetMs = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)
    const overageStatus = this.#figures.isOverageEnabled ? 'ENABLED' : 'DISABLED'
    return {
      nextDateReset: resetMs / 1000,
      daysUntilReset: Math.ceil((resetMs - nowMs) / 86_400_000),
      limits: [],
      usageBreakdownList: [this.#toBreakdown()],
      subscriptionInfo: { type: 'Q_DEVELOPER_STANDALONE_PRO', subscriptionTitle: 'KIRO SIMULATOR' },
      overageConfiguration: { overageStatus },
      userInfo: { userId: 'd-simulated', email: 'simulator@example.com' }
    }
  }

  #toBreakdown() {
    const { used, overageCap } = this.#figures
    const limit = this.#isUsedUp ? used : this.#figures.limit
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
