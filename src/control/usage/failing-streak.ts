import { faultOf } from '../../dashboard/failures.ts'
import type { FailingRequests } from '../../dashboard/feed.ts'
import type { UsageRow } from '../../ipc/usage-row.ts'

/** For one person three requests are the service. */
export const MANY_FAILURES = 3

/** Requests that failed one after the other by a fault of the upstream or the gateway. A client's own mistake changes nothing. */
export class FailingStreak {
  #failing: FailingRequests | null = null
  #isTold = false

  /**
   * Returns the streak unless `told`, the codes of the account's problems, has its code. Once such a problem has ended,
   * the streak is forgotten: it says nothing about the next request.
   */
  besides(told: readonly (string | undefined)[]): FailingRequests | null {
    if (this.#failing === null) return null
    const isTold = told.includes(this.#failing.code)
    if (!isTold && this.#isTold) this.forget()
    this.#isTold = isTold
    return isTold ? null : this.#failing
  }

  /** Returns true if the level is another one now: none, some, many. */
  add(rows: readonly UsageRow[]): boolean {
    const before = levelOf(this.#failing)
    for (const row of rows) if (row.turn !== undefined) this.#failing = after(this.#failing, row)
    return levelOf(this.#failing) !== before
  }

  /** Returns true if there was one. */
  forget(): boolean {
    const wasFailing = this.#failing !== null
    this.#failing = null
    return wasFailing
  }
}

function after(before: FailingRequests | null, row: UsageRow): FailingRequests | null {
  const { at, key, code, turn } = row
  if (code === '') return null
  if (faultOf(code, key === 'kiro' ? 'client' : 'gateway') === 'client') return before
  return { count: (before?.count ?? 0) + 1, at, code, reason: turn?.failure?.reason ?? '' }
}

function levelOf(failing: FailingRequests | null): number {
  return Math.min(failing?.count ?? 0, MANY_FAILURES)
}
