import type { Allowances } from '../../admission/allowances.ts'
import type { ToPrimary } from '../../ipc/channel.ts'
import {
  type AccountBar,
  type AccountStanding,
  GOOD_STANDING,
  type PlanBar
} from '../../ipc/messages.ts'
import { type Learnt, TokenCalibration } from '../../kiro/models/tokens.ts'
import type { UsageRow } from '../../ipc/usage-row.ts'
import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import { GatewayError } from '../../shared/errors.ts'
import { failureOf } from '../../shared/failures.ts'
import { barMs, isWaitedFor } from '../../upstream/call/retry.ts'
import { inContext, wordBar } from './account-advice.ts'
import type { WorkerPrices } from './key-limits.ts'

const DAY_MS = 86_400_000

const NO_KEYS: ReadonlySet<string> = new Set()

export interface AccountLinkOptions {
  readonly channel: ToPrimary
  readonly standing: AccountStanding
  /** Nothing is to be asked for so many milliseconds; requests wait. */
  readonly pause: (ms: number) => void
  /** Nothing is to be asked for longer: those who wait and are meant are told so. */
  readonly refuseWaiting: (error: GatewayError, isMeant: (key: string) => boolean) => void
  /** The plan at the start; left out for accounts whose plan does not matter here. */
  readonly planBar?: PlanBar | null
  /** Keys in force that may ask for what costs extra. */
  readonly overageKeys?: () => ReadonlySet<string>
  /** Milliseconds since the epoch. */
  readonly now?: () => number
}

/** The worker's view of what refusals have said of the account as a whole; the primary gathers what all have heard. */
export class AccountLink {
  readonly #channel: ToPrimary
  readonly #pause: AccountLinkOptions['pause']
  readonly #refuseWaiting: AccountLinkOptions['refuseWaiting']
  readonly #overageKeys: () => ReadonlySet<string>
  readonly #now: () => number
  #standing = GOOD_STANDING
  #planBar: PlanBar | null
  /** Heard here; the primary's word on it is under way. */
  #heard: AccountBar | null = null

  constructor(options: AccountLinkOptions) {
    const { channel, standing, pause, refuseWaiting, now = () => Date.now() } = options
    this.#channel = channel
    this.#pause = pause
    this.#refuseWaiting = refuseWaiting
    this.#overageKeys = options.overageKeys ?? (() => NO_KEYS)
    this.#planBar = options.planBar ?? null
    this.#now = now
    this.onStanding(standing)
  }

  /** Why no request of a key may be served now, or `null`. */
  problemOf(key: string): GatewayError | null {
    const { problem } = this
    if (problem !== null || this.#planBar === null) return problem
    return this.#overageKeys().has(key) ? null : this.planProblem
  }

  /** Why no request may be served now but those of keys that may cost extra, or `null`. */
  get planProblem(): GatewayError | null {
    if (this.#planBar === null) return null
    const { code, message, until } = this.#planBar
    if (until !== null && until <= this.#now()) return null
    return new GatewayError(code, undefined, { message, details: { failure: failureOf(code) } })
  }

  /** Why no request may be served now, or `null`. */
  get problem(): GatewayError | null {
    if (this.#standing.bars.length === 0 && this.#heard === null) return null // asked three times a request
    const now = this.#now()
    const bar = [...this.#standing.bars, this.#heard].find((one) => one !== null && one.until > now)
    if (bar === undefined || bar === null) return null
    const { code, until } = bar
    const message = `${wordBar(code, this.#isSuspect)} The gateway asks the upstream again after ${new Date(until).toISOString()}.`
    const retryAfterS = (until - now) / 1000
    const details = { failure: failureOf(code) }
    return new GatewayError(code, 'remembered', { message, retryAfterS, details })
  }

  /** True if any key in force may ask for what costs extra. */
  get hasOverageKeys(): boolean {
    return this.#overageKeys().size > 0
  }

  /** @throws {GatewayError} when the upstream is not to be asked for this key for a time. */
  check(key: string): void {
    const problem = this.problemOf(key)
    if (problem !== null) throw problem
  }

  onPlan(bar: PlanBar | null): void {
    this.#planBar = bar
    this.refuseOthers()
  }

  onStanding(standing: AccountStanding): void {
    const { pausedUntil } = standing
    const isNews = pausedUntil !== null && pausedUntil !== this.#standing.pausedUntil
    const now = this.#now()
    this.#standing = standing
    this.#heard = null
    if (isNews && pausedUntil > now) this.#pause(pausedUntil - now)
    this.refuseOthers()
  }

  /** Takes in what the upstream's refusal says of the account. Gives the error for the client. */
  heed(error: GatewayError, fault: UpstreamFault | null): GatewayError {
    if (fault === null) return error
    const told = inContext(error, fault, this.#isSuspect)
    const { bar, retryAfterS } = fault
    if (bar === null || told.code !== fault.code) return told
    const ms = barMs({ bar, retryAfterS }, 0)
    if (ms === 0) return told
    const { code, message: reason } = told
    const now = this.#now()
    // Calls that were under way tell nothing new, and not as exactly as it is known.
    const isKnown = this.#standing.bars.some((one) => one.bar === bar && one.until > now)
    if (isKnown) return told.with({ retryAfterS: ms / 1000 })
    this.#channel.send({ type: 'account.refused', refusal: { bar, code, reason, retryAfterS } })
    if (isWaitedFor(bar, ms)) {
      this.#pause(ms)
      return told
    }
    this.#heard = { bar, code, until: now + ms }
    this.refuseOthers()
    return told.with({ retryAfterS: ms / 1000 })
  }

  /** Refuses those who wait and may not be served any more. To be called when the rights of keys have changed. */
  refuseOthers(): void {
    const { problem, planProblem } = this
    if (problem !== null) this.#refuseWaiting(problem, () => true)
    else if (planProblem !== null) {
      const may = this.#overageKeys()
      this.#refuseWaiting(planProblem, (key) => !may.has(key))
    }
  }

  get #isSuspect(): boolean {
    const { suspectedAt } = this.#standing
    return suspectedAt !== null && this.#now() - suspectedAt < DAY_MS
  }
}

export interface RequestRecordsOptions {
  readonly channel: ToPrimary
  /** Tells the primary what is used up and reserved, with the rows that say by whom. */
  readonly allowances: Pick<Allowances, 'tell'>
  /** Tells it what answers have cost. */
  readonly prices: Pick<WorkerPrices, 'tell'>
  /** True while the primary hangs and reads nothing. */
  readonly isPrimarySilent: () => boolean
}

/**
 * The primary hears of a request so long after its end, with those of others: a message for each would cost it more than all
 * else that it does for a request.
 */
const RECORDS_DELAY_MS = 150
/** A message stays small. */
const MAX_ROWS = 200
/** While the primary hangs. Of more the oldest are lost: the primary is replaced soon, and its workers with it. */
const MAX_ROWS_KEPT = 5_000

/** Usage of this worker's requests, on its way to the primary: a few messages a second, however many requests. */
export class RequestRecords {
  readonly #options: RequestRecordsOptions
  /** The newest. Bounded by MAX_ROWS_KEPT. */
  #rows: UsageRow[] = []
  #begun = 0
  #timer: NodeJS.Timeout | null = null

  constructor(options: RequestRecordsOptions) {
    this.#options = options
  }

  /** A request has come, of which there will be a row. */
  begin(): void {
    this.#begun++
    this.#wake()
  }

  /** A request is over. */
  note(row: UsageRow): void {
    if (this.#rows.length >= MAX_ROWS_KEPT) this.#rows.shift()
    this.#rows.push(row)
    if (this.#rows.length >= MAX_ROWS) this.flush()
    this.#wake()
  }

  /** Sends what there is. */
  flush(): void {
    const { channel, allowances, prices, isPrimarySilent } = this.#options
    if (isPrimarySilent()) return
    prices.tell()
    allowances.tell() // before the rows, by which it looks whether a limit is near
    const rows = this.#rows
    let begun = this.#begun
    this.#rows = []
    this.#begun = 0
    for (let at = 0; at < rows.length || begun > 0; at += MAX_ROWS) {
      channel.send({ type: 'usage.rows', begun, rows: rows.slice(at, at + MAX_ROWS) })
      begun = 0
    }
  }

  #wake(): void {
    if (this.#timer !== null) return
    this.#timer = setTimeout(() => this.#onTime(), RECORDS_DELAY_MS)
    this.#timer.unref()
  }

  #onTime(): void {
    this.#timer = null
    this.flush()
    if (this.#rows.length > 0) this.#wake()
  }
}

/** As many messages and no more, however many requests end. */
const INTERVAL_MS = 1_000

/**
 * A worker's copy of what all workers have learnt of the upstream's tokenizers. What this one learns counts here at
 * once; the primary puts the lessons of all in one order, and what it says wins. So workers count alike, and one that
 * is started later knows what the others do.
 */
export class SharedCalibration {
  readonly #channel: ToPrimary
  readonly #now: () => number
  readonly #calibration = new TokenCalibration()
  /** When a lesson of a model was last told. Bounded by the answers that end within INTERVAL_MS. */
  readonly #toldAt = new Map<string, number>()

  /** `now` gives milliseconds of a clock that never goes back. */
  constructor(channel: ToPrimary, now = () => performance.now()) {
    this.#channel = channel
    this.#now = now
  }

  /** As `TokenCalibration.learn()`, but for a model once in a second: what is not told would make workers differ. */
  learn(modelId: string, estimated: number, measured: number): void {
    const at = this.#now()
    if (at - (this.#toldAt.get(modelId) ?? -INTERVAL_MS) < INTERVAL_MS) return
    if (this.#calibration.learn(modelId, estimated, measured) === null) return
    for (const [id, toldAt] of this.#toldAt) if (at - toldAt >= INTERVAL_MS) this.#toldAt.delete(id)
    this.#toldAt.set(modelId, at)
    this.#channel.send({ type: 'calibration.lesson', modelId, estimated, measured })
  }

  correct(modelId: string, estimated: number): number {
    return this.#calibration.correct(modelId, estimated)
  }

  onLearnt(learnt: Learnt): void {
    this.#calibration.adopt(learnt)
  }
}
