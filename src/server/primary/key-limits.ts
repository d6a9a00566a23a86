import { LONGEST_DELAY_MS, monotonicNow } from '../../admission/clock.ts'
import type { Allowances, Share } from '../../admission/allowances.ts'
import { Permit } from '../../admission/lease.ts'
import type { MemoryBudget } from '../../admission/memory-budget.ts'
import type { Config } from '../../config/settings.ts'
import type { AllowanceName, AllowanceStatus, BookTrouble } from '../../ipc/allowance.ts'
import {
  type CreditLimit,
  hasCounts,
  MAX_CREDITS,
  MICROS_PER_CREDIT,
  type NamedKey
} from '../../keys/key.ts'
import type { Estimate, PricedRequest, WorkerPrices } from '../../keys/prices.ts'
import { findModel, type ModelFacts, listedCredits } from '../../kiro/models/models.ts'
import { GatewayError } from '../../shared/errors.ts'
import { toIso } from '../../shared/dates.ts'
import type { Standing } from '../../shared/standing.ts'

/** An allowance beyond the highest limit is that of a key whose limit was taken away meanwhile. */
const MOST_MICROS = MAX_CREDITS * MICROS_PER_CREDIT

/** Counts and settings that the limits of all keys are made of. */
export interface KeyLimits {
  readonly allowances: Allowances
  readonly prices: Pick<WorkerPrices, 'estimate' | 'watch'>
  readonly pool: () => Pick<Config['pool'], 'poolTimeoutMs' | 'maxWaiting'>
  readonly models: () => readonly ModelFacts[]
  readonly unread: MemoryBudget
  /** Epoch ms. */
  readonly now?: () => number
}

export interface Wish {
  /** `monotonicNow()` of the request's arrival. */
  readonly arrivedAt: number
  readonly signal: AbortSignal
}

/**
 * Returns the limits of a request that is answered without the upstream: it costs no credits, and as many may run besides
 * the others. `null` for a key without limits.
 */
export function limitsHere(key: NamedKey, options: KeyLimits): TurnLimits | null {
  return hasCounts(key) ? new TurnLimits(key, options, true) : null
}

/** Limits of a key that `hasLimits()`, for one request. */
export class TurnLimits {
  readonly #key: NamedKey
  readonly #options: KeyLimits
  readonly #isHere: boolean

  /** `isHere`: see `limitsHere()`. */
  constructor(key: NamedKey, options: KeyLimits, isHere = false) {
    this.#key = key
    this.#options = options
    this.#isHere = isHere
  }

  /**
   * Precedes reading the body.
   * @throws {GatewayError} GW_KEY_RATE, GW_KEY_LIMIT if nothing is known to be left, or as
   * `Allowances.take()`
   */
  async admit({ arrivedAt, signal }: Wish): Promise<void> {
    const { allowances } = this.#options
    if (!this.#isHere) this.#checkCredits()
    if (this.#key.requestsPerMinute === null) return
    const refusal = (status: AllowanceStatus): GatewayError => tooOften(this.#key, status)
    const part = { name: this.#nameOf('requests'), amount: 1, arrivedAt, refusal } as const
    ;(await allowances.take(part, signal)).settle(1)
  }

  #nameOf(kind: 'requests' | 'streams'): AllowanceName {
    const { id } = this.#key
    return this.#isHere ? `${id}/here/${kind}` : `${id}/${kind}`
  }

  /** Refuses early if credits are used up: usage only grows within a period, so the primary need not be asked. */
  #checkCredits(): void {
    const { id, credits } = this.#key
    if (credits === null) return
    const { allowances, now = Date.now } = this.#options
    const status = allowances.statusOf(`${id}/credits`)
    // The grant for a changed limit may be under way.
    if (status?.limit !== toMicros(credits)) return
    if (status.used < status.limit) return
    if (status.endsAt !== null && status.endsAt <= now()) return
    throw usedUp({ key: this.#key, credits, status, amount: 0 })
  }

  /**
   * While the price of such answers is unknown, the key asks one at a time. The caller settles the charge.
   * @throws {GatewayError} GW_KEY_LIMIT, GW_KEY_BOOK, GW_POOL_TIMEOUT, or as `Allowances.take()`
   */
  async reserve(request: PricedRequest, wish: Wish): Promise<Charge | null> {
    const { credits } = this.#key
    if (credits === null) return null
    let estimate = this.#estimate(request)
    let turn: Share | null = null
    if (estimate.isUnknown) {
      turn = await this.#waitForPrice(request, wish)
      estimate = this.#estimate(request)
    }
    if (!estimate.isUnknown) {
      turn?.settle(0) // another one has shown it meanwhile
      turn = null
    }
    try {
      return new Charge(await this.#takeCredits(credits, estimate, wish), turn)
    } catch (error) {
      turn?.settle(0)
      throw error
    }
  }

  #estimate(request: PricedRequest): Estimate {
    const { prices, models } = this.#options
    return prices.estimate(request, listedCredits(request, models()) * MICROS_PER_CREDIT)
  }

  #takeCredits(credits: CreditLimit, { credits: estimated }: Estimate, wish: Wish): Promise<Share> {
    const { allowances } = this.#options
    // An answer that may exceed the whole limit is allowed if nothing else was used.
    const amount = Math.max(1, Math.min(estimated, toMicros(credits)))
    const refusal = (status: AllowanceStatus): GatewayError =>
      status.problem === undefined
        ? usedUp({ key: this.#key, credits, status, amount })
        : bookTrouble(this.#key, status.problem)
    const { arrivedAt, signal } = wish
    return allowances.take({ name: `${this.#key.id}/credits`, amount, arrivedAt, refusal }, signal)
  }

  /** Waits for the key's other unpriced question to this model. `null` once the price is known. */
  async #waitForPrice(request: PricedRequest, wish: Wish): Promise<Share | null> {
    const { allowances, pool, prices, models } = this.#options
    const { id, name } = this.#key
    const { model } = request
    using deadline = new StreamDeadline(wish, pool().poolTimeoutMs, () => {
      const message = `PoolTimeout: the cost of such answers of this model is not known yet, so requests of the key ${JSON.stringify(name)} run one at a time, and the previous one did not end within HTTP_POOL_TIMEOUT.`
      return new GatewayError('GW_POOL_TIMEOUT', 'price', { message })
    })
    const known = new AbortController()
    const unwatch = prices.watch(model, () => {
      if (!this.#estimate(request).isUnknown) known.abort()
    })
    // Clients may invent names: unlisted models share a turn.
    const isListed = findModel(models(), model) !== undefined
    const turns = isListed ? (`${id}/${model}/unpriced` as const) : (`${id}/unpriced` as const)
    const { arrivedAt } = wish
    const part = { name: turns, amount: 1, arrivedAt, refusal: neverRefused }
    try {
      return await allowances.take(part, AbortSignal.any([deadline.signal, known.signal]))
    } catch (error) {
      if (known.signal.aborted && !deadline.signal.aborted) return null
      throw error
    } finally {
      unwatch()
    }
  }

  /**
   * Used part of its credits as this worker knows it; `null` without a limit of credits. What other gateways of a fleet
   * hold is not use of it: they may have used none of theirs.
   */
  standing(): Standing | null {
    const { id, credits } = this.#key
    const { allowances, now = Date.now } = this.#options
    const status = credits === null ? null : allowances.statusOf(`${id}/credits`)
    if (status === null || status.limit <= 0) return null
    const { limit, used, reserved, endsAt } = status
    const isCurrent = (endsAt === null || endsAt > now()) && limit <= MOST_MICROS
    return isCurrent ? { utilization: (used + reserved) / limit, resetsAt: endsAt } : null
  }

  get hasStreams(): boolean {
    return this.#key.maxStreams !== null
  }

  /**
   * `null` without a limit. `unreadBytes` of its body may have arrived.
   * @throws {GatewayError} GW_QUEUE_FULL, GW_POOL_TIMEOUT, or as `Allowances.take()`
   */
  async stream(wish: Wish, unreadBytes: number): Promise<KeyStream | null> {
    const { id, name, maxStreams } = this.#key
    if (maxStreams === null) return null
    const { allowances, pool, unread } = this.#options
    const { poolTimeoutMs, maxWaiting } = pool()
    const things = this.#isHere ? 'requests of this kind' : 'streams'
    const what = `The key ${JSON.stringify(name)} already runs its maximum of ${maxStreams} ${things} at once`
    const streams = this.#nameOf('streams')
    // Counted per key, so that one that sends too much delays no other. The first always has room.
    const waiting = allowances.waitingFor(streams)
    const isRoom = unread.isFreeFor(unreadBytes, id)
    if (waiting >= maxWaiting || (waiting > 0 && !isRoom)) {
      const message = `${what}, and too many requests are already waiting (HTTP_POOL_MAX_WAITING, or the memory for them).`
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

/** Lasts until its turn is over and the upstream has let go of its connections, or is only read for its metering. */
export class KeyStream implements Disposable {
  readonly #share: Share
  /** The turn and its permits. */
  #holders = 1

  constructor(share: Share) {
    this.#share = share
  }

  holdFor(permit: Permit): Permit {
    this.#holders += 1
    let isHeld = true
    const letGo = (): void => {
      if (isHeld) this.#letGo()
      isHeld = false
    }
    return new Permit({
      onSent: () => permit.sent(),
      onAnswered: letGo,
      onRelease: () => {
        permit.release()
        letGo()
      }
    })
  }

  [Symbol.dispose](): void {
    this.#letGo()
  }

  #letGo(): void {
    this.#holders -= 1
    if (this.#holders === 0) this.#share.settle(0)
  }
}

/** Other workers must be asked, however short HTTP_POOL_TIMEOUT is. */
const ASKING_MS = 100

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

/** Streams wait instead. */
function neverRefused(): GatewayError {
  return new GatewayError('GW_INTERNAL', 'a stream was refused')
}

export interface CallCost {
  /** Metered; `null` if the upstream said nothing. */
  readonly credits: number | null
  readonly isAnswered: boolean
  /** The call was sent, then left by the client or the gateway while the upstream was at work. */
  readonly isLeft: boolean
  /** Micro-credits of its tokens at the learnt price; `null` or missing if unknown, or nothing is to be measured. */
  readonly measured?: number | null
}

/** Reservation for a question, and the real cost of its calls. Settled once. */
export class Charge {
  readonly #share: Share
  readonly #turn: Share | null
  #cost = 0

  constructor(share: Share, turn: Share | null) {
    this.#share = share
    this.#turn = turn
  }

  /** Micro-credits. */
  get cost(): number {
    return this.#cost
  }

  get isUnpriced(): boolean {
    return this.#turn !== null
  }

  get period(): number {
    return this.#share.period
  }

  /** An unmetered answer costs what its tokens do, or what was reserved; a failure costs nothing unless metered. */
  add({ credits, isAnswered, isLeft, measured = null }: CallCost): void {
    if (credits !== null) {
      this.#cost += Math.max(Math.round(credits * MICROS_PER_CREDIT), measured ?? 0)
    } else if (isAnswered || isLeft) {
      this.#cost += measured ?? this.#share.amount
    }
  }

  settle(): void {
    this.#share.settle(this.#cost)
    this.#turn?.settle(0)
  }
}

function bookTrouble({ name }: NamedKey, problem: BookTrouble): GatewayError {
  const message =
    problem === 'damaged'
      ? `The record of used credits (usage.db) was damaged, so the usage of the key ${JSON.stringify(name)} is unknown. An operator must restore the file, or set the usage: kiro-gateway key reopen ${JSON.stringify(name)} --used CREDITS.`
      : `The gateway cannot record usage (usage.db), so keys with a credit limit are refused until it can. The disk may be full or read-only.`
  return new GatewayError('GW_KEY_BOOK', problem, { message })
}

const DAY_S = 86_400

const PERIODS = { day: 'a day', week: 'a week', month: 'a month', total: 'in all' } as const

interface Shortage {
  readonly key: NamedKey
  readonly credits: CreditLimit
  readonly status: AllowanceStatus
  readonly amount: number
}

function usedUp({ key, credits, status, amount }: Shortage): GatewayError {
  const { limit, used, reserved, endsAt, away = 0 } = status
  const resetsAt = toIso(endsAt)
  const left = Math.max(0, limit - used - reserved - away)
  const message =
    `The key ${JSON.stringify(key.name)} has a limit of ${toCredits(limit)} credits ${PERIODS[credits.period]}: ` +
    `${toCredits(used)} are used, ${toCredits(reserved)} are reserved for running requests. ` +
    (away > 0
      ? `${toCredits(away)} are used or held by other gateways, or by one that crashed. `
      : '') +
    (left > 0 && amount > 0
      ? `The remaining ${toCredits(left)} are less than the ${toCredits(amount)} that this request may cost. `
      : 'Nothing is left. ') +
    (resetsAt === null ? 'The limit does not reset.' : `It resets at ${resetsAt}.`)
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
    reached: {
      key: key.name,
      limit: toCredits(limit),
      period: credits.period,
      left: amount > 0 ? toCredits(left) : 0,
      resetsAt: endsAt
    },
    ...(retryAfterS <= DAY_S && { retryAfterS: Math.max(1, retryAfterS) })
  })
}

function tooOften({ name }: NamedKey, { limit, endsAt }: AllowanceStatus): GatewayError {
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
