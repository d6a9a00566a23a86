import { monotonicNow } from '../../admission/clock.ts'
import type { Allowances, Share } from '../../admission/allowances.ts'
import { Permit } from '../../admission/lease.ts'
import type { MemoryBudget } from '../../admission/memory-budget.ts'
import type { Config } from '../../config/settings.ts'
import type { AllowanceName, AllowanceStanding } from '../../ipc/allowance.ts'
import { CostEstimates, type PricedRequest } from '../../keys/cost-estimates.ts'
import { type CreditLimit, MICROS_PER_CREDIT, MIN_CREDITS, type NamedKey } from '../../keys/key.ts'
import { findModel, type ModelFacts, priceFactorOf } from '../../kiro/models/models.ts'
import { GatewayError } from '../../shared/errors.ts'

export interface KeyLimitsOptions {
  readonly allowances: Allowances
  readonly pool: () => Pick<Config['pool'], 'poolTimeoutMs' | 'maxWaiting'>
  readonly models: () => readonly ModelFacts[]
  /** For what has come of bodies that are not read while their requests wait for a stream of their key. */
  readonly unread: MemoryBudget
  /** Epoch ms. */
  readonly now?: () => number
}

/** What the limits of named keys mean for the requests of this worker. */
export class KeyLimits {
  readonly #options: KeyLimitsOptions
  readonly #estimates = new CostEstimates()

  constructor(options: KeyLimitsOptions) {
    this.#options = options
  }

  /** Those of one request that asks the upstream; `null` for a key that has none. */
  of(key: NamedKey): TurnLimits | null {
    if (key.credits === null && !hasCounts(key)) return null
    return new TurnLimits(key, { ...this.#options, estimates: this.#estimates, isHere: false })
  }

  /** Those of one request that is answered without the upstream; `null` for a key that has none. */
  here(key: NamedKey): TurnLimits | null {
    if (!hasCounts(key)) return null
    return new TurnLimits(key, { ...this.#options, estimates: this.#estimates, isHere: true })
  }
}

function hasCounts({ requestsPerMinute, maxStreams }: NamedKey): boolean {
  return requestsPerMinute !== null || maxStreams !== null
}

interface TurnLimitsOptions extends KeyLimitsOptions {
  readonly estimates: CostEstimates
  /** It is answered without the upstream. Such requests cost no credits, and as many of them may come beside the others. */
  readonly isHere: boolean
}

/** Who wants something, and until when. */
export interface Wish {
  /** `monotonicNow()` of the request's arrival. */
  readonly arrivedAt: number
  readonly signal: AbortSignal
}

/** The limits of the key with which one request came. */
export class TurnLimits {
  readonly #key: NamedKey
  readonly #options: TurnLimitsOptions

  constructor(key: NamedKey, options: TurnLimitsOptions) {
    this.#key = key
    this.#options = options
  }

  /**
   * Counts the request, before its body is read.
   *
   * @throws {GatewayError} GW_KEY_RATE, GW_KEY_LIMIT where it is known that nothing is left, or as `Allowances.take()`
   */
  async admit({ arrivedAt, signal }: Wish): Promise<void> {
    const { allowances, isHere } = this.#options
    if (!isHere) this.#checkCredits()
    if (this.#key.requestsPerMinute === null) return
    const refusal = (standing: AllowanceStanding): GatewayError => tooOften(this.#key, standing)
    const part = { name: this.#nameOf('requests'), amount: 1, arrivedAt, refusal } as const
    ;(await allowances.take(part, signal)).settle(1)
  }

  #nameOf(kind: 'requests' | 'streams'): AllowanceName {
    const { id } = this.#key
    return this.#options.isHere ? `${id}/here/${kind}` : `${id}/${kind}`
  }

  /** What is used stays used until the period ends, so this worker need not ask, nor read what it would refuse. */
  #checkCredits(): void {
    const { id, credits } = this.#key
    if (credits === null) return
    const { allowances, now = Date.now } = this.#options
    const standing = allowances.standingOf(`${id}/credits`)
    // Terms of another limit may be under way.
    if (standing?.limit !== toMicros(credits)) return
    if (standing.used + LEAST_AMOUNT <= standing.limit) return
    if (standing.endsAt !== null && standing.endsAt <= now()) return
    throw usedUp({ key: this.#key, credits, standing, amount: LEAST_AMOUNT })
  }

  /**
   * Reserves what a question may cost. The caller must settle it.
   *
   * @throws {GatewayError} GW_KEY_LIMIT, or as `Allowances.take()`
   */
  async reserve(request: PricedRequest, { arrivedAt, signal }: Wish): Promise<Charge | null> {
    const { id, credits } = this.#key
    if (credits === null) return null
    const { allowances, estimates, models } = this.#options
    const { rate: usual = 1 } = findModel(models(), request.model) ?? {}
    const rate = usual * priceFactorOf(request.model, request.inputTokens)
    const limit = toMicros(credits)
    // What is thought to cost more than the whole limit may go where nothing else was used. A limit below the least that
    // is set aside lets nothing in: no command gives one, and the log says so of a file that has one.
    const amount = Math.max(LEAST_AMOUNT, Math.min(estimates.estimate(request, rate), limit))
    const refusal = (standing: AllowanceStanding): GatewayError =>
      usedUp({ key: this.#key, credits, standing, amount })
    const share = await allowances.take(
      { name: `${id}/credits`, amount, arrivedAt, refusal },
      signal
    )
    return new Charge(share, (cost) => estimates.learn(request, cost))
  }

  /** There is a limit of streams at once. */
  get hasStreams(): boolean {
    return this.#key.maxStreams !== null
  }

  /**
   * Waits until the key may have one stream more; `null` where it may have any number. Its body is not read yet: so many
   * bytes of it may have come.
   *
   * @throws {GatewayError} GW_QUEUE_FULL, GW_POOL_TIMEOUT, or as `Allowances.take()`
   */
  async stream(wish: Wish, unreadBytes: number): Promise<KeyStream | null> {
    const { id, name, maxStreams } = this.#key
    if (maxStreams === null) return null
    const { allowances, pool, unread, isHere } = this.#options
    const { poolTimeoutMs, maxWaiting } = pool()
    const things = isHere ? 'requests of this kind' : 'streams'
    const what = `The key ${JSON.stringify(name)} runs as many ${things} at once as it may (${maxStreams})`
    const streams = this.#nameOf('streams')
    // Of this key: one that sends too much keeps no other from waiting. The first is never one too many.
    const waiting = allowances.waitingFor(streams)
    const isRoom = unread.isFreeFor(unreadBytes, id)
    if (waiting >= maxWaiting || (waiting > 0 && !isRoom)) {
      const message = `${what}, and too many requests wait already (HTTP_POOL_MAX_WAITING, and the memory for them).`
      throw new GatewayError('GW_QUEUE_FULL', 'streams', { message })
    }
    using deadline = new StreamDeadline(wish, poolTimeoutMs, () => {
      const message = `PoolTimeout: ${what}, and none of them ended within HTTP_POOL_TIMEOUT.`
      return new GatewayError('GW_POOL_TIMEOUT', 'streams', { message })
    })
    const room = isRoom ? unread.grow(unreadBytes, id) : null
    try {
      const { arrivedAt } = wish
      const part = { name: streams, amount: 1, arrivedAt, refusal: neverRefused } as const
      return new KeyStream(await allowances.take(part, deadline.signal))
    } finally {
      room?.release()
    }
  }
}

/** One of the streams that a key may have: over once its turn is, and the upstream has let go of its connections. */
export class KeyStream implements Disposable {
  readonly #share: Share
  /** The turn, and its permits. */
  #holders = 1

  constructor(share: Share) {
    this.#share = share
  }

  /** The permit, which keeps the stream from being over while it is held. */
  holdFor(permit: Permit): Permit {
    this.#holders += 1
    return new Permit({
      onSent: () => permit.sent(),
      onRelease: () => {
        permit.release()
        this.#letGo()
      }
    })
  }

  /** The turn is over. */
  [Symbol.dispose](): void {
    this.#letGo()
  }

  #letGo(): void {
    this.#holders -= 1
    if (this.#holders === 0) this.#share.settle(0)
  }
}

/** What is set aside for a request at least. */
const LEAST_AMOUNT = MIN_CREDITS * MICROS_PER_CREDIT

/** The other workers must be asked, however short HTTP_POOL_TIMEOUT is. */
const ASKING_MS = 100

/** Ends a wait when HTTP_POOL_TIMEOUT has passed since the arrival. */
class StreamDeadline implements Disposable {
  readonly signal: AbortSignal
  readonly #timer: NodeJS.Timeout | null = null

  constructor({ arrivedAt, signal }: Wish, poolTimeoutMs: number | null, late: () => GatewayError) {
    this.signal = signal
    if (poolTimeoutMs === null) return
    const passed = new AbortController()
    this.signal = AbortSignal.any([signal, passed.signal])
    const delayMs = Math.max(ASKING_MS, arrivedAt + poolTimeoutMs - monotonicNow())
    this.#timer = setTimeout(() => passed.abort(late()), Math.min(delayMs, LONGEST_DELAY_MS))
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
  }
}

/** Node fires a longer delay at once. */
const LONGEST_DELAY_MS = 2 ** 31 - 1

/** Streams wait instead. */
function neverRefused(): GatewayError {
  return new GatewayError('GW_INTERNAL', 'a stream was refused')
}

/** What came of one call to the upstream, as far as its price is concerned. */
export interface CallCost {
  /** As the upstream metered it; `null` where it said nothing. */
  readonly credits: number | null
  readonly isAnswered: boolean
  /** It was sent, and the client left before it was over: the upstream was at work. */
  readonly isLeft: boolean
}

/** What is reserved for a question, and what its calls have really cost. Settled once. */
export class Charge {
  readonly #share: Share
  readonly #onLearnt: (cost: number) => void
  #cost = 0

  constructor(share: Share, onLearnt: (cost: number) => void) {
    this.#share = share
    this.#onLearnt = onLearnt
  }

  /** Micro-credits of all calls so far. */
  get cost(): number {
    return this.#cost
  }

  /** What an answer cost that nobody has metered can only be estimated; a failure costs nothing unless it was metered. */
  add({ credits, isAnswered, isLeft }: CallCost): void {
    if (credits !== null) {
      const cost = Math.round(credits * MICROS_PER_CREDIT)
      this.#cost += cost
      if (isAnswered) this.#onLearnt(cost)
    } else if (isAnswered || isLeft) {
      this.#cost += this.#share.amount
    }
  }

  settle(): void {
    this.#share.settle(this.#cost)
  }

  /** As `Share.record()`. */
  record(write: Parameters<Share['record']>[0]): boolean {
    return this.#share.record(write)
  }
}

const DAY_S = 86_400

const PERIODS = { day: 'a day', week: 'a week', month: 'a month', total: 'in all' } as const

interface Shortage {
  readonly key: NamedKey
  readonly credits: CreditLimit
  readonly standing: AllowanceStanding
  readonly amount: number
}

function usedUp({ key, credits, standing, amount }: Shortage): GatewayError {
  const { limit, used, reserved, endsAt, away = 0 } = standing
  const resetsAt = endsAt === null ? null : new Date(endsAt).toISOString()
  const left = Math.max(0, limit - used - reserved - away)
  const message =
    `The key ${JSON.stringify(key.name)} may use ${toCredits(limit)} credits ${PERIODS[credits.period]}: ` +
    `${toCredits(used)} are used, ${toCredits(reserved)} are reserved for requests that run. ` +
    (away > 0 ? `Other gateways of the fleet have used or hold ${toCredits(away)}. ` : '') +
    (left > 0
      ? `What is left, ${toCredits(left)}, is less than the ${toCredits(amount)} that this request may cost. `
      : 'Nothing is left. ') +
    (resetsAt === null ? 'The limit does not start anew.' : `It starts anew at ${resetsAt}.`)
  const retryAfterS = endsAt === null ? Infinity : (endsAt - Date.now()) / 1000
  return new GatewayError('GW_KEY_LIMIT', undefined, {
    message,
    details: {
      key: key.name,
      limit: toCredits(limit),
      used: toCredits(used),
      reserved: toCredits(reserved),
      needed: toCredits(amount),
      resets_at: resetsAt
    },
    ...(retryAfterS <= DAY_S && { retryAfterS: Math.max(1, retryAfterS) })
  })
}

function tooOften({ name }: NamedKey, { limit, endsAt }: AllowanceStanding): GatewayError {
  const retryAfterS = Math.max(1, Math.ceil(((endsAt ?? 0) - Date.now()) / 1000))
  const message = `The key ${JSON.stringify(name)} may send ${limit} requests a minute. Try again in ${retryAfterS} s.`
  return new GatewayError('GW_KEY_RATE', undefined, { message, retryAfterS })
}

function toMicros({ limit }: CreditLimit): number {
  return Math.round(limit * MICROS_PER_CREDIT)
}

function toCredits(micros: number): number {
  return micros / MICROS_PER_CREDIT
}
