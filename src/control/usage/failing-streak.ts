import { reachOf } from '../../dashboard/failures.ts'
import type { FailingRequests } from '../../shared/failing.ts'
import type { UsageRow } from '../../ipc/usage-row.ts'

/** For one person three requests are the service. */
const MANY_FAILURES = 3

interface Streak extends FailingRequests {
  /** Failures that would meet any request. Those of one request's content make the level amber, never red. */
  readonly general: number
}

/** Requests that failed one after the other by a fault of the upstream or the gateway. A client's own mistake changes nothing. */
export class FailingStreak {
  readonly #now: () => number
  #failing: Streak | null = null
  /** Codes of the account's problems. Bounded by the codes that there are. */
  #told: ReadonlySet<string> = new Set()
  /** Epoch ms at which a problem of the account ended, by its code. Bounded by the codes, too. */
  readonly #ended = new Map<string, number>()

  /** `now` returns epoch ms. */
  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /**
   * Returns the streak unless `told`, the codes of the account's problems, has its code. Once such a problem has ended,
   * the streak is forgotten: it says nothing about the next request.
   */
  besides(told: readonly (string | undefined)[]): FailingRequests | null {
    const now = new Set(told.filter((code) => code !== undefined))
    for (const code of this.#told) {
      if (now.has(code)) continue
      this.#ended.set(code, this.#now())
      if (this.#failing?.code === code) this.forget()
    }
    this.#told = now
    if (this.#failing === null || now.has(this.#failing.code)) return null
    const { level, count, at, code, reason } = this.#failing
    return { level, count, at, code, reason }
  }

  /** Returns true if the streak has begun, ended or reached another level. */
  add(rows: readonly UsageRow[]): boolean {
    const before = this.#failing
    for (const row of rows) {
      const isOfBefore = row.at <= (this.#ended.get(row.code) ?? -Infinity) // and comes late
      if (row.turn !== undefined && !isOfBefore) this.#failing = after(this.#failing, row)
    }
    return stepOf(this.#failing) !== stepOf(before)
  }

  forget(): void {
    this.#failing = null
  }
}

function after(before: Streak | null, row: UsageRow): Streak | null {
  const { at, key, code, turn } = row
  if (code === '') return null
  const reach = reachOf(code, key === 'kiro' ? 'client' : 'gateway')
  if (reach === 'none') return before
  const general = (before?.general ?? 0) + (reach === 'all' ? 1 : 0)
  const isMoot = reach === 'one' && before !== null && general > 0 // the other reason is the graver one
  const last = isMoot ? before : { at, code, reason: turn?.failure?.reason ?? '' }
  return {
    level: general >= MANY_FAILURES ? 'red' : 'amber',
    count: (before?.count ?? 0) + 1,
    at: last.at,
    code: last.code,
    reason: last.reason,
    general
  }
}

/** Levels, and the second failure, which the sentence tells. */
function stepOf(failing: Streak | null): string {
  return failing === null ? '' : `${failing.level} ${Math.min(failing.count, MANY_FAILURES)}`
}
