import type { ToPrimary } from '../../ipc/channel.ts'
import {
  type AccountBar,
  type AccountStatus,
  GOOD_STATUS,
  type PlanBar,
  type PriceTold
} from '../../ipc/messages.ts'
import { MICROS_PER_CREDIT } from '../../keys/key.ts'
import {
  type Estimate,
  type PricedAnswer,
  type PricedRequest,
  type PriceLessons,
  PriceTable
} from '../../keys/prices.ts'
import { findModel, type ModelFacts, priceFactorOf } from '../../kiro/models/models.ts'
import {
  type LearntGauges,
  MAX_MODEL_CHARS,
  TokenGauges,
  type TokenLesson
} from '../../kiro/tokens/token-gauge.ts'
import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import { ErrorTable } from '../../shared/error-table.ts'
import { type ErrorCode, GatewayError } from '../../shared/errors.ts'
import { failureOf } from '../../shared/failures.ts'
import { setNewest } from '../../shared/newest.ts'
import type { Standing } from '../../shared/standing.ts'
import { barMs, isWaitedFor } from '../../upstream/call/retry.ts'

const DAY_MS = 86_400_000

const NO_KEYS: ReadonlySet<string> = new Set()

export interface AccountClientOptions {
  readonly channel: ToPrimary
  readonly status: AccountStatus
  /** Pauses questions for this time; requests wait. */
  readonly pause: (ms: number) => void
  /** Refuses waiting requests that are meant: the upstream is not asked for longer. */
  readonly refuseWaiting: (error: GatewayError, isMeant: (key: string) => boolean) => void
  /** The plan's state at the start; left out for accounts whose plan does not matter here. */
  readonly planBar?: PlanBar | null
  readonly planStanding?: Standing | null
  readonly overageKeys?: () => ReadonlySet<string>
  /** Epoch ms. */
  readonly now?: () => number
}

/** The account as refusals show it; the primary gathers what all workers hear. */
export class AccountClient {
  readonly #channel: ToPrimary
  readonly #pause: AccountClientOptions['pause']
  readonly #refuseWaiting: AccountClientOptions['refuseWaiting']
  readonly #overageKeys: () => ReadonlySet<string>
  readonly #now: () => number
  #status = GOOD_STATUS
  #planBar: PlanBar | null
  #planStanding: Standing | null
  #heard: AccountBar | null = null

  constructor(options: AccountClientOptions) {
    const { channel, status, pause, refuseWaiting, now = () => Date.now() } = options
    this.#channel = channel
    this.#pause = pause
    this.#refuseWaiting = refuseWaiting
    this.#overageKeys = options.overageKeys ?? (() => NO_KEYS)
    this.#planBar = options.planBar ?? null
    this.#planStanding = options.planStanding ?? null
    this.#now = now
    this.onStatus(status)
  }

  /** Why requests of this key cannot be served; `null` if they can. */
  problemOf(key: string): GatewayError | null {
    const { problem } = this
    if (problem !== null || this.#planBar === null) return problem
    return this.#overageKeys().has(key) ? null : this.planProblem
  }

  /** Like `problem`, ignoring keys that may cost extra. */
  get planProblem(): GatewayError | null {
    if (this.#planBar === null) return null
    const { code, message, until } = this.#planBar
    if (until !== null && until <= this.#now()) return null
    return new GatewayError(code, undefined, { message, details: { failure: failureOf(code) } })
  }

  /** Used part of the plan, for clients without a limit of their own; `null` unless an operator wants it shown. */
  get planStanding(): Standing | null {
    const standing = this.#planStanding
    const isOver = standing?.resetsAt != null && standing.resetsAt <= this.#now()
    return isOver ? null : standing
  }

  onPlanStanding(standing: Standing | null): void {
    this.#planStanding = standing
  }

  get problem(): GatewayError | null {
    if (this.#status.bars.length === 0 && this.#heard === null) return null // asked three times a request
    const now = this.#now()
    const bar = [...this.#status.bars, this.#heard].find((one) => one !== null && one.until > now)
    if (bar === undefined || bar === null) return null
    const { code, until } = bar
    const message = `${wordBar(code, this.#isSuspect)} The gateway asks the upstream again after ${new Date(until).toISOString()}.`
    const retryAfterS = (until - now) / 1000
    const details = { failure: failureOf(code) }
    return new GatewayError(code, 'remembered', { message, retryAfterS, details })
  }

  get hasOverageKeys(): boolean {
    return this.#overageKeys().size > 0
  }

  /** @throws {GatewayError} if the upstream is not to be asked for this key now */
  check(key: string): void {
    const problem = this.problemOf(key)
    if (problem !== null) throw problem
  }

  onPlan(bar: PlanBar | null): void {
    this.#planBar = bar
    this.refuseOthers()
  }

  onStatus(status: AccountStatus): void {
    const { pausedUntil } = status
    const isNews = pausedUntil !== null && pausedUntil !== this.#status.pausedUntil
    const now = this.#now()
    this.#status = status
    this.#heard = null
    if (isNews && pausedUntil > now) this.#pause(pausedUntil - now)
    this.refuseOthers()
  }

  /** Notes what a refusal says of the account, and returns the client's error. */
  heed(error: GatewayError, fault: UpstreamFault | null): GatewayError {
    if (fault === null) return error
    const told = inContext(error, fault, this.#isSuspect)
    const { bar, retryAfterS } = fault
    if (bar === null || told.code !== fault.code) return told
    const ms = barMs({ bar, retryAfterS }, 0)
    if (ms === 0) return told
    const { code, message: reason } = told
    const now = this.#now()
    // Earlier calls tell nothing new, and less exactly.
    const isKnown = this.#status.bars.some((one) => one.bar === bar && one.until > now)
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

  /** Refuses waiting requests that lost their rights. Call when keys have changed. */
  refuseOthers(): void {
    const { problem, planProblem } = this
    if (problem !== null) this.#refuseWaiting(problem, () => true)
    else if (planProblem !== null) {
      const may = this.#overageKeys()
      this.#refuseWaiting(planProblem, (key) => !may.has(key))
    }
  }

  get #isSuspect(): boolean {
    const { suspectedAt } = this.#status
    return suspectedAt !== null && this.#now() - suspectedAt < DAY_MS
  }
}

const NOT_ADMITTED =
  'The sign-in is valid, but this subscription or seat admits only certain programs. The gateway identifies itself and does not pose as another program. ' +
  'Create an API key (ksk_…) for this account, the official way for programs, and set KIRO_API_KEY. An administrator may have to allow API keys first, and knows which applications the seat admits. ' +
  'KIRO_USER_AGENT sets the name under which the gateway calls the upstream; changing it is at your own risk.'

const LIKELY_LOCKED =
  'The upstream has suspected abuse of this account within the last day, which is the likely cause. Stop using the account for automation and contact Kiro support.'

/** Qwen Code looks for "quota", "exhausted" and "reset at", or retries for 40 minutes (kiro-protocol §8.6). */
const QUOTA_EXHAUSTED = 'The quota is exhausted until it is reset at the upstream.'

/** Words a refusal for clients that did not receive it; the upstream's words may quote the client that did. */
function wordBar(code: ErrorCode, isSuspect: boolean): string {
  const { message } = ErrorTable[code]
  if (code === 'GW_UPSTREAM_QUOTA') return `${message} ${QUOTA_EXHAUSTED}`
  return code === 'GW_CLIENT_NOT_ADMITTED' ? `${message} ${adviceFor(isSuspect)}` : message
}

function adviceFor(isSuspect: boolean): string {
  return isSuspect ? LIKELY_LOCKED : NOT_ADMITTED
}

function inContext(
  error: GatewayError,
  { status, message }: UpstreamFault,
  isSuspect: boolean
): GatewayError {
  if (error.code === 'GW_CLIENT_NOT_ADMITTED') {
    return error.with({ message: `${error.message} ${adviceFor(isSuspect)}` })
  }
  const isLocked = isSuspect && status === 403 && /^user is not authorized\.?$/i.test(message)
  return isLocked ? error.with({ code: 'GW_UPSTREAM_SUSPENDED', message }) : error
}

/** Shortest time between two messages about a model, however many requests end. */
const INTERVAL_MS = 1_000
/** The first lessons are worth more, and are told at once. */
const EAGER_LESSONS = 20
const MAX_TOLD = 64

/** Counts requests by what the primary has learnt from all workers, and tells it what the upstream measures. */
export class SharedCalibration extends TokenGauges {
  readonly #channel: ToPrimary
  readonly #now: () => number
  /** Lessons told of a model, and when the last was. Bounded by MAX_TOLD. */
  readonly #told = new Map<string, { readonly times: number; readonly at: number }>()

  constructor(channel: ToPrimary, now = () => performance.now()) {
    super()
    this.#channel = channel
    this.#now = now
  }

  /** Leaves learning to the primary: nothing is learnt here. */
  override learn(lesson: TokenLesson): null {
    const { model } = lesson
    if (model.length > MAX_MODEL_CHARS) return null
    const at = this.#now()
    const told = this.#told.get(model) ?? { times: 0, at: -INTERVAL_MS }
    if (told.times >= EAGER_LESSONS && at - told.at < INTERVAL_MS) return null
    setNewest(this.#told, MAX_TOLD, model, { times: told.times + 1, at })
    this.#channel.send({ type: 'calibration.lesson', ...lesson })
    return null
  }

  onLearnt({ gauges, isAll }: LearntGauges): void {
    if (isAll) this.replace(gauges)
    else for (const gauge of gauges) this.adopt(gauge)
  }
}

/** Micro-credits. */
export function listedPrice(
  { model, inputTokens }: PricedRequest,
  models: readonly ModelFacts[]
): number {
  const { rate = 1 } = findModel(models, model) ?? {}
  return rate * priceFactorOf(model, inputTokens) * MICROS_PER_CREDIT
}

/** Whole answers of a model without metering after which none is expected. */
const MAX_UNMETERED = 3
/** Models of which they are counted. */
const MAX_UNMETERED_MODELS = 64

/** A worker's copy of the prices. Its own lessons count at once; the primary orders those of all workers. */
export class WorkerPrices {
  readonly #table = new PriceTable()
  readonly #send: (lessons: readonly PriceTold[]) => void
  /** Bounded by the answers that end within 150 ms. */
  #untold: PriceTold[] = []
  /** Waiters for a model's price. Bounded by the requests that are under way. */
  readonly #watchers = new Map<string, Set<() => void>>()
  /** Unmetered whole answers in a row, by model. Bounded by MAX_UNMETERED_MODELS. */
  readonly #unmetered = new Map<string, number>()

  constructor(send: (lessons: readonly PriceTold[]) => void) {
    this.#send = send
  }

  estimate(request: PricedRequest, listed: number): Estimate {
    return this.#table.estimate(request, listed, Date.now())
  }

  measure(answer: PricedAnswer, listed: number): number | null {
    return this.#table.measure(answer, listed, Date.now())
  }

  /** Learns from an answer and wakes waiters. The primary hears of it before anything else. */
  learn(answer: PricedAnswer, credits: number): void {
    this.#unmetered.delete(answer.model)
    this.#take(answer, credits)
  }

  /**
   * If a model's answers are usually unmetered, the listed price is assumed: keys would otherwise ask one
   * question at a time for ever.
   */
  learnUnmetered({ model, inputTokens }: PricedAnswer, listed: number): void {
    const request = { model, inputTokens }
    if (!this.estimate(request, listed).isUnknown) return
    const count = Math.min(MAX_UNMETERED, (this.#unmetered.get(model) ?? 0) + 1)
    setNewest(this.#unmetered, MAX_UNMETERED_MODELS, model, count)
    if (count === MAX_UNMETERED) this.#take(request, listed)
  }

  #take(answer: PricedAnswer, credits: number): void {
    const now = Date.now()
    const isKnown = this.#table.isKnown(answer, now)
    this.#table.learn(answer, credits, now)
    this.#untold.push({ ...answer, credits })
    if (!isKnown) this.tell()
    this.#wake(answer.model)
  }

  tell(): void {
    if (this.#untold.length === 0) return
    this.#send(this.#untold)
    this.#untold = []
  }

  onLearnt({ model, size, lessons }: PriceLessons): void {
    this.#table.adopt({ model, size, lessons })
    this.#wake(model)
  }

  /** Calls `onLearnt` for each lesson of a model, in the order of watching. Returns the end of that. */
  watch(model: string, onLearnt: () => void): () => void {
    const watchers = this.#watchers.get(model) ?? new Set<() => void>()
    this.#watchers.set(model, watchers.add(onLearnt))
    return () => {
      watchers.delete(onLearnt)
      if (watchers.size === 0) this.#watchers.delete(model)
    }
  }

  #wake(model: string): void {
    for (const onLearnt of this.#watchers.get(model) ?? []) onLearnt()
  }
}
