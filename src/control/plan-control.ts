import type { Config } from '../config/settings.ts'
import type { PlanBar, ToWorker, UsageNews } from '../ipc/messages.ts'
import type { UsageRow } from '../ipc/usage-row.ts'
import { MICROS_PER_CREDIT } from '../keys/key.ts'
import { type AccountUsage, planTotals } from '../kiro/wire/account-usage.ts'
import type { Logger } from '../observe/logger.ts'
import type { Metrics } from '../observe/metrics.ts'
import { planAlert } from './alerts/alert.ts'
import type { AlertDesk } from './alerts/alert-desk.ts'
import { PlanGauge } from './plan/plan-gauge.ts'

export interface PlanControlOptions {
  readonly config: () => Pick<Config, 'plan'>
  /** What the account has used; never rejects. `onUsage()` hears of each answer, too. */
  readonly usage: () => Promise<UsageNews>
  readonly alerts: Pick<AlertDesk, 'raise'>
  readonly log: Pick<Logger, 'info' | 'warn'>
  /** To all workers. */
  readonly tell: (message: ToWorker) => void
  /** Epoch ms. */
  readonly now?: () => number
}

/** How often it is considered whether the upstream is to be asked. */
const TICK_MS = 15_000
/** Beside requests, the upstream is asked no more often than this, */
const USUAL_MS = 600_000
/** while no request may be served, */
const BARRED_MS = 300_000
/** and where little of the plan is left, or nothing is known yet. */
const NEAR_MS = 60_000
/** Little, as a part of the plan. */
const NEAR_PART = 0.05
/** Parts of the plan at which it is looked at once. */
const STEPS = [0.8, 1] as const

/**
 * Everything about the account's plan: whether it is used up and would cost extra (`ALLOW_OVERAGE`), and who is told of that.
 *
 * The upstream is asked while requests are served; in between, what they were metered with counts. Where it has not answered yet,
 * or not since the plan was reset, requests go: its own answer to them counts.
 */
export class PlanControl {
  readonly #options: PlanControlOptions
  readonly #now: () => number
  readonly #gauge = new PlanGauge()
  #bar: PlanBar | null = null
  #timer: NodeJS.Timeout | null = null
  /** `performance.now()` of the last time when the upstream was asked from here. */
  #askedAt = -Infinity
  #isAsking = false

  constructor(options: PlanControlOptions) {
    this.#options = options
    this.#now = options.now ?? (() => Date.now())
  }

  /** For a worker that begins. */
  get bar(): PlanBar | null {
    return this.#bar
  }

  /** Looks at the plan for the first time; there is a sign-in, or will be. */
  start(): void {
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref()
    this.#look()
  }

  /** There is another sign-in. */
  onSignIn(): void {
    if (this.#timer !== null && this.#gauge.usage === null) this.#look()
  }

  /** The upstream has said what is used. */
  onUsage(usage: AccountUsage): void {
    this.#gauge.onUsage(usage, this.#now())
    this.#options.alerts.raise(planAlert(usage))
    this.#judge()
  }

  /** Requests are over. */
  onRows(rows: readonly Pick<UsageRow, 'key' | 'credits'>[]): void {
    const before = this.#gauge.left
    let credits = 0
    for (const row of rows) if (row.key !== 'kiro') credits += row.credits
    this.#gauge.onMetered(credits / MICROS_PER_CREDIT, this.#now())
    const { left } = this.#gauge
    const isStep = STEPS.some((step) => before > 1 - step && left <= 1 - step)
    this.#judge()
    if (isStep) this.#look()
  }

  /** The settings were read again. */
  reload(): void {
    this.#judge()
  }

  noteMetrics({ accountBars }: Metrics): void {
    if (this.#bar !== null) accountBars.set({ bar: 'overage' }, 1)
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#isAsking = true
  }

  #tick(): void {
    this.#judge()
    const sinceMs = performance.now() - this.#askedAt
    const { usage, left, sinceLook } = this.#gauge
    const isKnown = usage !== null && !this.#isReset(usage)
    const isUsed = sinceLook > 0
    if (
      (!isKnown && sinceMs >= NEAR_MS) ||
      (this.#bar !== null && sinceMs >= BARRED_MS) ||
      (isUsed && sinceMs >= (left <= NEAR_PART ? NEAR_MS : USUAL_MS))
    )
      this.#look()
  }

  /** What the upstream told last is over. */
  #isReset({ resetsAt }: AccountUsage): boolean {
    return resetsAt !== null && resetsAt <= this.#now()
  }

  #look(): void {
    if (this.#isAsking) return
    this.#isAsking = true
    this.#askedAt = performance.now()
    void this.#options.usage().finally(() => {
      if (this.#timer !== null) this.#isAsking = false
    })
  }

  /** Tells the workers where something has changed. */
  #judge(): void {
    const { config, tell, log } = this.#options
    const { usage } = this.#gauge
    const isBarred = !config().plan.allowsOverage && this.#gauge.isBeyondPlan(this.#now())
    if (isBarred === (this.#bar !== null) || usage === null) return
    this.#bar = isBarred ? toBar(usage) : null
    tell({ type: 'plan.standing', bar: this.#bar })
    const { limit, unit } = planTotals(usage)
    const { rate, cap, currency } = usage.overage
    const facts = { used: this.#gauge.used, limit, unit, rate, cap, currency }
    if (isBarred) {
      const message =
        'the plan is used up and Kiro would go on at an extra price: requests are refused (ALLOW_OVERAGE)'
      log.warn(facts, message)
    } else log.info(facts, 'requests are no longer refused for the plan')
  }
}

/** Qwen Code looks for "quota", "exhausted" and "reset at" before it waits for long. */
function toBar({ resetsAt }: AccountUsage): PlanBar {
  const when = resetsAt === null ? '' : ` at ${new Date(resetsAt).toISOString()}`
  const message =
    `The credits of the Kiro plan are used up: its quota is exhausted until it is reset${when}. ` +
    'Kiro would charge extra for each further credit, which ALLOW_OVERAGE=false forbids. ' +
    'An operator can allow it for everyone (ALLOW_OVERAGE=true) or for one key (kiro-gateway key set NAME --overage).'
  return { code: 'GW_PLAN_LIMIT', message, until: resetsAt }
}
