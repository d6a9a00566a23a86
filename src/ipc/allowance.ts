/*
 * An allowance is a limit of a named key: of credits in a period, of requests in a minute, of streams at once. The
 * primary has the whole of it, workers hold leases, and a request takes its part from what its worker holds.
 *
 * As with connections each message is a complete snapshot of one allowance: counts are totals, the highest `seq` wins.
 *
 *   worker ──── report: "of 90 in all I have used 61, given 20 back, hold 4 for requests, and wait for 5" ───▶ primary
 *   worker ◀─── terms:  "granted 95 in all; give 3 back if you can" ──────────────────────────────────────── primary
 *
 * Amounts are whole numbers: micro-credits, requests or streams.
 */

/**
 * Kinds of limits. Credits and requests are used up until the next period; streams are given back, as is the one
 * request that a key may have under way to a model of unknown cost.
 */
export const ALLOWANCE_KINDS = ['credits', 'requests', 'streams', 'unpriced'] as const

export type AllowanceKind = (typeof ALLOWANCE_KINDS)[number]

/**
 * Name of a limit by key and kind: `<id of the key>/credits`. Requests answered without the upstream are limited apart
 * from the others: `<id of the key>/here/requests`; those of unknown price by model: `<id of the
 * key>/<model>/unpriced`. The same in every period.
 */
export type AllowanceName = `${string}/${AllowanceKind}`

/** Worker → primary. */
export interface AllowanceReport {
  readonly name: AllowanceName
  readonly seq: number
  /** `seq` of the terms that were in force. */
  readonly seen: number
  /** The period of those terms, to which everything below belongs. */
  readonly period: number
  /** Total of what was used up. */
  readonly used: number
  /** Amount held by requests now. */
  readonly reserved: number
  /** Total of what was given back. */
  readonly returned: number
  /** Amount neither used, nor reserved, nor given back. Negative if requests took more than was reserved for them. */
  readonly spare: number
  /** Amount that waiters need beyond that. */
  readonly wanted: number
  /** When the first of them arrived; `null` where none waits. Monotonic time of the machine. */
  readonly oldestAt: number | null
  /** Credits that requests ask for in a twentieth of a second, at least those of the last one: the worker should hold as much beforehand. */
  readonly usual: number
  /** The worker is about to end and uses nothing more, not even what it is being granted now. */
  readonly isLast: boolean
}

/** Primary → worker. */
export interface AllowanceTerms {
  readonly name: AllowanceName
  readonly seq: number
  /** Grows from period to period; with another one all totals begin anew. */
  readonly period: number
  /** Total of what was granted in this period. */
  readonly granted: number
  /** Total of what the primary has back; `recalled` counts from here. */
  readonly returned: number
  /** To be given back as far as no request holds it. */
  readonly recalled: number
  /** Since when the request has waited elsewhere for which that is; `null` where the limit wants it back. */
  readonly recalledFor: number | null
  /** `seq` of the terms since which something has been recalled without a break, 0 if nothing is. Wants an answer. */
  readonly asked: number
  /** Waiters in the report of this `seq` have been given all that there is, in any worker. */
  readonly final: number
  /** Amount that lets the usual request start without a wait; below a quarter of it, the worker reports. */
  readonly ahead: number
  /** Without what this worker itself has used and reserved, which it knows best. */
  readonly standing: AllowanceStanding
}

/** For those who are refused, and for the key's owner. */
export interface AllowanceStanding {
  readonly limit: number
  /** As far as the primary has heard, like the next. */
  readonly used: number
  readonly reserved: number
  /** Epoch ms at which the next period begins; `null` for never. */
  readonly endsAt: number | null
  /** Part of the limit that other gateways have, used or not; left out where there is none. */
  readonly away?: number
  /** Why nothing is given that was not given before: the account book cannot be written, or was damaged. Left out where it is sound. */
  readonly problem?: BookTrouble
}

export type BookTrouble = 'unwritable' | 'damaged'

/** Terms of a worker before its first message: it has nothing. */
export function noTerms(name: AllowanceName): AllowanceTerms {
  return {
    name,
    seq: 0,
    period: 0,
    granted: 0,
    returned: 0,
    recalled: 0,
    recalledFor: null,
    asked: 0,
    final: 0,
    ahead: 0,
    standing: { limit: 0, used: 0, reserved: 0, endsAt: null }
  }
}

/** Assumed report of a worker that has not reported. */
export function noReport(name: AllowanceName, period: number): AllowanceReport {
  return {
    name,
    seq: 0,
    seen: 0,
    period,
    used: 0,
    reserved: 0,
    returned: 0,
    spare: 0,
    wanted: 0,
    oldestAt: null,
    usual: 0,
    isLast: false
  }
}

/** True if the part that a dead worker held counts as used. */
export function isUsedUp(name: AllowanceName): boolean {
  return name.endsWith('/credits') || name.endsWith('/requests')
}
