import type { RankedHead, WaiterHead } from './service-order.ts'

/*
 * One message each way, and each is a complete snapshot: counts are totals since the worker joined, the
 * highest `seq` wins. A message that is late, doubled or overtaken can therefore do no harm, and several
 * changes within one tick are one message.
 *
 *   worker ──── lease.report: "returned 7 in all, 3 are waiting, the oldest since …" ───▶ primary
 *   worker ◀─── lease.terms:  "granted 150 in all, please give 2 back if you can" ─────── primary
 */

/** Worker → primary. Sent only when the primary would otherwise decide wrongly. */
export interface LeaseReport {
  readonly type: 'lease.report'
  readonly seq: number
  /** `seq` of the terms that were in force. */
  readonly seen: number
  /** Total of permits granted as of those terms. */
  readonly granted: number
  /** Total of permits given back; the sockets behind them are closed. */
  readonly returned: number
  /** Permits that are not in flight and not yet returned. */
  readonly spare: number
  readonly waiting: number
  /** The first of those who wait, in the order in which they will be served. */
  readonly heads: readonly WaiterHead[]
  /** Takes no more permits and gives back what it has as its streams end. */
  readonly draining: boolean
}

/** Primary → worker. */
export interface LeaseTerms {
  readonly type: 'lease.terms'
  readonly seq: number
  /** Total of permits granted. Lease = `granted` − what was returned. */
  readonly granted: number
  /** Total of permits that the primary has back; `owed` and `wanted` count from here. */
  readonly returned: number
  /** Permits to give back before anybody else is served: the budget has shrunk. */
  readonly owed: number
  /** Permits to give back after those, as far as they are idle or a waiter elsewhere goes first. */
  readonly wanted: number
  /** Who waits elsewhere: the first of the `wanted`, in order of service. */
  readonly heads: readonly RankedHead[]
  /** `seq` of the terms since which something has been wanted without a break, 0 if nothing is. Wants an answer. */
  readonly asked: number
  /** How many of this worker's connections may sit idle. */
  readonly keepAlive: number
  /** How many requests may wait in this worker; beyond that they are refused. */
  readonly maxWaiting: number
  /** The whole budget, `null` without limit. For messages to people, like the next. */
  readonly budget: number | null
  readonly elsewhere: { readonly leased: number; readonly waiting: number }
}

/** What the primary assumes of a worker that has not reported. */
export const NO_REPORT: LeaseReport = {
  type: 'lease.report',
  seq: 0,
  seen: 0,
  granted: 0,
  returned: 0,
  spare: 0,
  waiting: 0,
  heads: [],
  draining: false
}

/** What binds a worker before its first terms: it has nothing. */
export const NO_TERMS: LeaseTerms = {
  type: 'lease.terms',
  seq: 0,
  granted: 0,
  returned: 0,
  owed: 0,
  wanted: 0,
  heads: [],
  asked: 0,
  keepAlive: 0,
  maxWaiting: 0,
  budget: null,
  elsewhere: { leased: 0, waiting: 0 }
}
