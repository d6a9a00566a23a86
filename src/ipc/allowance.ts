/*
 * An allowance is a limit of a named key: credits in a period, requests in a minute, streams at once. The primary has
 * all of it, workers hold leases. Each message is a complete snapshot: counts are totals, the highest `seq` wins.
 *
 *   worker ──── report: "of 90 in all I have used 61, given 20 back, hold 4 for requests, and wait for 5" ───▶ primary
 *   worker ◀─── grant:  "granted 95 in all; give 3 back if you can" ──────────────────────────────────────── primary
 *
 * Amounts are integers: micro-credits, requests or streams.
 */

/** Streams are given back, as is `unpriced`: the one request that a key may run on a model of unknown cost. */
export type AllowanceKind = 'credits' | 'requests' | 'streams' | 'unpriced'

/** `<key id>/credits`; `<key id>/here/requests` without the upstream; `<key id>/<model>/unpriced`. */
export type AllowanceName = `${string}/${AllowanceKind}`

export interface AllowanceReport {
  readonly name: AllowanceName
  readonly seq: number
  /** `seq` of the grant in force. */
  readonly seen: number
  /** Period of that grant; all amounts below belong to it. */
  readonly period: number
  readonly used: number
  readonly reserved: number
  readonly returned: number
  /** Part that is neither used, reserved nor returned. Negative if requests took more than they reserved. */
  readonly spare: number
  /** Needed by waiters beyond that. */
  readonly wanted: number
  /** Arrival of the first waiter, in monotonic time of the machine; `null` if none waits. */
  readonly oldestAt: number | null
  /** Credits that requests take in 50 ms, at least those of one; the worker should hold as much in advance. */
  readonly usual: number
  /** The worker is ending and uses nothing more, including what it is being granted now. */
  readonly isLast: boolean
}

export interface AllowanceGrant {
  readonly name: AllowanceName
  readonly seq: number
  /** Grows; a new period resets all totals. */
  readonly period: number
  /** Total in this period. */
  readonly granted: number
  /** Total received by the primary; `recalled` counts from here. */
  readonly returned: number
  /** To be returned as far as no request holds it. */
  readonly recalled: number
  /** Since when the waiter elsewhere waits that needs it; `null` if the limit was lowered. */
  readonly recalledFor: number | null
  /** `seq` since which something has been recalled without a break; 0 if nothing is. Must be answered. */
  readonly asked: number
  /** Waiters in the report of this `seq` have got all that any worker has. */
  readonly final: number
  /** Amount with which the usual request starts without a wait; the worker reports below a quarter of it. */
  readonly ahead: number
  /** Excludes what this worker itself has used and reserved. */
  readonly status: AllowanceStatus
}

export interface AllowanceStatus {
  readonly limit: number
  /** Used as far as the primary knows, like `reserved`. */
  readonly used: number
  readonly reserved: number
  /** Epoch ms; `null` for never. */
  readonly endsAt: number | null
  readonly away?: number
  readonly problem?: BookTrouble
}

export type BookTrouble = 'unwritable' | 'damaged'

export function noGrant(name: AllowanceName): AllowanceGrant {
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
    status: { limit: 0, used: 0, reserved: 0, endsAt: null }
  }
}

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

export function isUsedUp(name: AllowanceName): boolean {
  return name.endsWith('/credits') || name.endsWith('/requests')
}
