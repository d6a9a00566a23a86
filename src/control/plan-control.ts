import type { Config } from '../config/settings.ts'
import type {
  Answers,
  PlanBar,
  PlanGrowth,
  PlanOutlook,
  ToWorker,
  UsageNews
} from '../ipc/messages.ts'
import type { UsageRow } from '../ipc/usage-row.ts'
import { MICROS_PER_CREDIT } from '../keys/key.ts'
import { type AccountUsage, planTotals } from '../kiro/wire/account-usage.ts'
import type { Logger } from '../observe/logger.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Standing } from '../shared/standing.ts'
import { driftAlert, forecastAlert, planAlert } from './alerts/alert.ts'
import type { AlertSender } from './alerts/alert-control.ts'
import type { AgedUsage } from './account/plan-usage.ts'
import { forecastOf } from './plan/forecast.ts'
import { PlanGauge } from './plan/plan-gauge.ts'
import {
  dayOf,
  type Growth,
  growthOf,
  growthOn,
  isDrifting,
  outsideOf,
  type PlanLook,
  type PlanStory,
  toLook
} from './plan/plan-record.ts'

export interface PlanControlOptions {
  readonly config: () => Pick<Config, 'plan'>
  readonly account: () => string | null
  /** Never rejects; `onUsage()` also gets each answer. */
  readonly usage: () => Promise<UsageNews>
  /** Compares usage with the account book; `null` if nothing is recorded. Never rejects. */
  readonly look: (account: string, look: PlanLook) => Promise<PlanStory | null>
  readonly alerts: Pick<AlertSender, 'raise'>
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly tell: (message: ToWorker) => void
  /** Epoch ms. */
  readonly now?: () => number
}

const TICK_MS = 15_000
/** Shortest interval of questions to the upstream. */
const USUAL_MS = 600_000
/** Interval while no request may be served. */
const BARRED_MS = 300_000
/** Interval while little of the plan is left, or nothing is known. */
const NEAR_MS = 60_000
const NEAR_PART = 0.05
/** Parts of the plan at which it is asked at once. */
const STEPS = [0.8, 1] as const

/**
 * Everything about the account's plan: whether more would cost extra (`ALLOW_OVERAGE`), how long it lasts, use
 * elsewhere. The upstream is asked while requests are served; in between, metered credits are added. Until it has
 * answered, also after a reset, requests are sent: its answers to them count.
 */
export class PlanControl {
  readonly #options: PlanControlOptions
  readonly #now: () => number
  readonly #gauge = new PlanGauge()
  #story: PlanStory | null = null
  /** By process of other gateways; `null` before they are known. */
  #others: PlanLook['others'] | null = {}
  #onRecorded: () => void = () => {}
  #recorded = 0
  /** One at a time; never rejects. */
  #comparing: Promise<void> = Promise.resolve()
  #bar: PlanBar | null = null
  #standing: Standing | null = null
  #timer: NodeJS.Timeout | null = null
  /** `performance.now()` of the last question asked from here. */
  #askedAt = -Infinity
  #isAsking = false
  #token: string | null = null
  #driftDay: number | null = null

  constructor(options: PlanControlOptions) {
    this.#options = options
    this.#now = options.now ?? (() => Date.now())
  }

  get bar(): PlanBar | null {
    return this.#bar
  }

  /** `null` unless clients are to see it (`PLAN_STANDING`) and it is known. */
  get standing(): Standing | null {
    return this.#standing
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref()
    this.#look()
  }

  /** The token may be of another account, which only its usage shows. */
  onSignIn(token: string): void {
    if (token !== this.#token) this.#gauge.onToken()
    this.#token = token
    if (this.#timer !== null && this.#gauge.isDoubted) this.#look()
  }

  onUsage({ usage, ageMs, isAlone }: AgedUsage): void {
    const now = this.#now()
    this.#gauge.onUsage(usage, now)
    this.#options.alerts.raise(planAlert(usage))
    this.#judge()
    // Records of other gateways are unknown: the next look includes them.
    if (isAlone === true || this.#others === null) return
    const seen = toLook(usage, { at: now - ageMs, others: this.#others })
    if (seen !== null) this.#comparing = this.#compareAfter(this.#comparing, seen)
  }

  /** `onRecorded` must tell other gateways what was recorded, before anything is compared. */
  share(onRecorded: () => void): void {
    this.#onRecorded = onRecorded
    this.#others = null
  }

  setOthers(others: PlanLook['others']): void {
    const before = this.#others
    this.#others = others
    if (before !== null) this.#noteMetered(growthOf(before, others, this.#now()))
  }

  /** Micro-credits recorded by this process. */
  get recorded(): number {
    return this.#recorded
  }

  get outlook(): PlanOutlook | null {
    return this.#story === null ? null : toOutlook(this.#story, this.#now())
  }

  /** Never rejects. */
  async usage(): Promise<Answers['usage.wanted']> {
    const news = await this.#options.usage()
    await this.#comparing
    return { news, outlook: this.outlook }
  }

  onRows(rows: readonly Pick<UsageRow, 'key' | 'credits'>[]): void {
    let credits = 0
    for (const row of rows) if (row.key !== 'kiro') credits += row.credits
    if (credits === 0) return
    this.#recorded += credits
    this.#noteMetered(credits)
    this.#onRecorded()
  }

  /** Micro-credits, from here or another gateway. */
  #noteMetered(credits: number): void {
    const before = this.#gauge.left
    this.#gauge.onMetered(credits / MICROS_PER_CREDIT, this.#now())
    const { left } = this.#gauge
    const isStep = STEPS.some((step) => before > 1 - step && left <= 1 - step)
    this.#judge()
    if (isStep) this.#look()
  }

  reload(): void {
    this.#judge()
  }

  noteMetrics({ accountBars, accountOutside, planUsedUp }: Metrics): void {
    if (this.#bar !== null) accountBars.set({ bar: 'overage' }, 1)
    const { outlook } = this
    accountOutside.reset()
    planUsedUp.reset()
    if (outlook === null) return
    accountOutside.set({ since: 'day' }, outlook.today.outside / MICROS_PER_CREDIT)
    accountOutside.set({ since: 'reset' }, outlook.since.outside / MICROS_PER_CREDIT)
    const usedUpAt = outlook.forecast?.usedUpAt ?? null
    if (usedUpAt !== null) planUsedUp.set({ rate: 'weeks' }, usedUpAt / 1000)
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#isAsking = true
  }

  async #compareAfter(before: Promise<void>, seen: PlanLook): Promise<void> {
    await before
    const { account, look, alerts, config, log } = this.#options
    const { at } = seen
    const id = account()
    if (id === null) return
    const story = await look(id, seen)
    if (story === null) return
    this.#story = story
    const { record } = story
    const forecast = forecastOf(story, at)
    const { lastsUntil } = config().plan
    if (forecast !== null) alerts.raise(forecastAlert(forecast, { record, lastsUntil, now: at }))
    const drift = driftAlert(record, at)
    alerts.raise(drift)
    if (drift === null || this.#driftDay === dayOf(at)) return
    this.#driftDay = dayOf(at)
    log.warn(drift.facts, 'the account has used more credits today than this gateway recorded')
  }

  #tick(): void {
    this.#judge()
    const sinceMs = performance.now() - this.#askedAt
    const { usage, left, sinceLook, isDoubted } = this.#gauge
    const isKnown = usage !== null && !isDoubted && !this.#isReset(usage)
    // The account book is opened with the first row.
    const isNear = left <= NEAR_PART || this.#story === null
    const isDue =
      (!isKnown && sinceMs >= NEAR_MS) ||
      (this.#bar !== null && sinceMs >= BARRED_MS) ||
      (sinceLook > 0 && sinceMs >= (isNear ? NEAR_MS : USUAL_MS))
    if (isDue) this.#look()
  }

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

  #showStanding(): void {
    const { config, tell } = this.#options
    const { usage, left, isDoubted } = this.#gauge
    const isShown = config().plan.isShown && usage !== null && !isDoubted
    const standing = isShown && planTotals(usage).limit > 0 ? toStanding(left, usage) : null
    if (
      standing?.utilization === this.#standing?.utilization &&
      standing?.resetsAt === this.#standing?.resetsAt
    )
      return
    this.#standing = standing
    tell({ type: 'plan.standing', standing })
  }

  #judge(): void {
    const { config, tell, log } = this.#options
    this.#showStanding()
    const { usage } = this.#gauge
    const isBarred = !config().plan.allowsOverage && this.#gauge.isBeyondPlan(this.#now())
    if (isBarred === (this.#bar !== null) || usage === null) return
    this.#bar = isBarred ? toBar(usage) : null
    tell({ type: 'plan.status', bar: this.#bar })
    const { limit, unit } = planTotals(usage)
    const { rate, cap, currency } = usage.overage
    const facts = { used: this.#gauge.used, limit, unit, rate, cap, currency }
    if (isBarred) {
      const message =
        'the plan is used up and Kiro would charge extra: requests are refused (ALLOW_OVERAGE)'
      log.warn(facts, message)
    } else log.info(facts, 'requests are no longer refused because of the plan')
  }
}

/** In hundredths: workers need not hear of less. */
function toStanding(left: number, { resetsAt }: AccountUsage): Standing {
  return { utilization: Math.round((1 - left) * 100) / 100, resetsAt }
}

function toOutlook(story: PlanStory, now: number): PlanOutlook {
  const { record } = story
  const day = dayOf(now)
  return {
    at: record.at,
    today: withOutside(growthOn(record, day)),
    since: { at: record.since.at, ...withOutside(record.since) },
    isDrifting: isDrifting(record, day),
    forecast: forecastOf(story, now)
  }
}

function withOutside({ used, booked }: Growth): PlanGrowth {
  return { used, booked, outside: outsideOf({ used, booked }) }
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
