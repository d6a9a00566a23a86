import type { Period } from '../../keys/period.ts'

/*
 * One key's page of the account book, as a pure state machine. Credits are micro-credits.
 *
 *            lease                       settle
 *   free ────────────▶ held by a run ────────────────▶ used
 *     ▲                  │      │
 *     └───── release ────┘      └── lose: the run has died ──▶ used
 *                         ◀── regain: it was only paused ──
 *
 * A run is one start of a gateway. What it holds was written down before a worker could use any of it. So used + held never
 * exceeds the limit, whatever is lost after a write: a lost settlement leaves its credits held, and a run that has died
 * has used all that it held. Only an answer that costs more than was reserved for it takes the sum above the limit.
 */

export interface Page {
  readonly period: Period
  /** Settled in this period, by all runs. */
  readonly used: number
  readonly leases: ReadonlyMap<string, PageLease>
  /** Epoch ms of damage: nothing is leased until an operator states the usage, or an undamaged period begins. */
  readonly closedAt: number | null
}

export interface PageLease {
  readonly held: number
  /** Settled by this run in this period. */
  readonly settled: number
  /** Wanted in vain: other runs give back what they do not need. */
  readonly wish: number
}

export type PageEvent =
  /** `cap`: the limit, less what other gateways of a fleet have. */
  | { readonly type: 'lease'; readonly run: string; readonly want: number; readonly cap: number }
  | { readonly type: 'release'; readonly run: string; readonly amount: number }
  | {
      readonly type: 'settle'
      readonly run: string
      readonly period: number
      readonly amount: number
    }
  /** The run ended in order, with everything settled: what it holds is free. */
  | { readonly type: 'end'; readonly run: string }
  /** The run died: what it held counts as used. */
  | { readonly type: 'lose'; readonly run: string }
  /** A run that was taken for dead goes on. */
  | {
      readonly type: 'regain'
      readonly run: string
      readonly period: number
      readonly held: number
      readonly settled: number
    }
  /** Periods only grow: an older one changes nothing. */
  | { readonly type: 'begin'; readonly period: Period }
  /** Usage before the damage, stated by an operator. */
  | { readonly type: 'reopen'; readonly at: number; readonly used: number }

const NO_LEASE: PageLease = { held: 0, settled: 0, wish: 0 }

export function openPage(period: Period, facts: Partial<Page> = {}): Page {
  return { used: 0, leases: new Map(), closedAt: null, ...facts, period }
}

export function leaseIn({ leases }: Page, run: string): PageLease {
  return leases.get(run) ?? NO_LEASE
}

export function heldIn({ leases }: Page, but?: string): number {
  let held = 0
  for (const [run, lease] of leases) if (run !== but) held += lease.held
  return held
}

export function wishedIn({ leases }: Page, but: string): number {
  let wished = 0
  for (const [run, lease] of leases) if (run !== but) wished += lease.wish
  return wished
}

export function nextPage(page: Page, event: PageEvent): Page {
  switch (event.type) {
    case 'lease': {
      if (page.closedAt !== null) return page
      const free = Math.max(0, event.cap - page.used - heldIn(page))
      const got = Math.min(free, event.want)
      const lease = leaseIn(page, event.run)
      return withLease(page, event.run, {
        ...lease,
        held: lease.held + got,
        wish: event.want - got
      })
    }
    case 'release': {
      const lease = leaseIn(page, event.run)
      return withLease(page, event.run, {
        ...lease,
        held: Math.max(0, lease.held - event.amount)
      })
    }
    case 'settle': {
      if (event.period !== page.period.number) return page
      const lease = leaseIn(page, event.run)
      const next = {
        ...lease,
        held: Math.max(0, lease.held - event.amount),
        settled: lease.settled + event.amount
      }
      return { ...withLease(page, event.run, next), used: page.used + event.amount }
    }
    case 'end': {
      const leases = new Map(page.leases)
      leases.delete(event.run)
      return { ...page, leases }
    }
    case 'lose': {
      const leases = new Map(page.leases)
      leases.delete(event.run)
      return { ...page, leases, used: page.used + leaseIn(page, event.run).held }
    }
    case 'regain': {
      if (event.period !== page.period.number) return page
      const lease = leaseIn(page, event.run)
      const next = {
        ...lease,
        held: lease.held + event.held,
        settled: lease.settled + event.settled
      }
      return { ...withLease(page, event.run, next), used: page.used - event.held }
    }
    case 'begin': {
      if (event.period.number < page.period.number) return page
      if (event.period.number === page.period.number) return { ...page, period: event.period }
      const isLater = event.period.startsAt >= (page.closedAt ?? 0)
      return openPage(event.period, { closedAt: isLater ? null : page.closedAt })
    }
    case 'reopen':
      if (page.closedAt === null || event.at < page.closedAt) return page
      return { ...page, closedAt: null, used: event.used, leases: new Map() }
  }
}

function withLease(page: Page, run: string, lease: PageLease): Page {
  const leases = new Map(page.leases)
  leases.set(run, lease)
  return { ...page, leases }
}
