import { type ErrorKind, type ErrorSource, ErrorTable } from '../shared/error-table.ts'
import type { ErrorCode } from '../shared/errors.ts'
import type { ErrorCount, Fault } from './feed.ts'

const HOUR_MS = 3_600_000
const STEP_MS = 300_000
const MAX_CODES = 40

interface Step {
  readonly at: number
  readonly counts: ReadonlyMap<string, number>
}

/** Failures by code in the last hour, to within five minutes. Times are monotonic. */
export class Failures {
  /** Steps of an hour. Bounded by their number, and by the known codes. */
  #steps: readonly Step[]

  constructor(startedAt: number) {
    this.#steps = [{ at: startedAt, counts: new Map() }]
  }

  note(at: number, counts: ReadonlyMap<string, number>): void {
    const last = this.#steps.at(-1)
    if (last !== undefined && at - last.at < STEP_MS) return
    const steps = [...this.#steps, { at, counts: new Map(counts) }]
    const from = steps.findLastIndex((step) => at - step.at >= HOUR_MS)
    this.#steps = steps.slice(Math.max(0, from))
  }

  toJson(counts: ReadonlyMap<string, number>): readonly ErrorCount[] {
    const before = this.#steps[0]?.counts
    return [...counts]
      .map(([code, total]) => {
        return { code, fault: faultOf(code), total, lastHour: total - (before?.get(code) ?? 0) }
      })
      .toSorted(
        (one, other) =>
          other.lastHour - one.lastHour ||
          other.total - one.total ||
          one.code.localeCompare(other.code)
      )
      .slice(0, MAX_CODES)
  }
}

/** Requests that a failure says something about: `none` where the client made the mistake. */
export type Reach = 'none' | 'one' | 'all'

/** Fault and reach of a failure by the side that caused it. */
const BY_SOURCE: Readonly<Record<ErrorSource, readonly [Fault, Reach]>> = {
  downstream: ['client', 'none'],
  upstream: ['upstream', 'all'],
  internal: ['gateway', 'all']
}

/**
 * Kinds that are judged otherwise: what is wrong with the content of one request, or the answer to it, says nothing about
 * the next. An overlong conversation is the client's fault, whichever side refuses it.
 */
const BY_KIND: Readonly<Partial<Record<ErrorKind, readonly [Fault, Reach]>>> = {
  overflow: ['client', 'none'],
  refused: ['upstream', 'one'],
  answer: ['upstream', 'one'],
  failed: ['gateway', 'one']
}

/** Problems of an account that are the client's if it has brought that account. */
const OF_ACCOUNTS: ReadonlySet<ErrorKind> = new Set([
  'account',
  'forbidden',
  'barred',
  'quota',
  'rate',
  'restricted'
])

type Account = 'gateway' | 'client'

export function faultOf(code: string, account: Account = 'gateway'): Fault {
  return judged(code, account)[0]
}

export function reachOf(code: string, account: Account = 'gateway'): Reach {
  return judged(code, account)[1]
}

function judged(code: string, account: Account): readonly [Fault, Reach] {
  if (!isErrorCode(code)) return ['gateway', 'all']
  const { kind, source } = ErrorTable[code]
  if (account === 'client' && OF_ACCOUNTS.has(kind)) return BY_SOURCE.downstream
  return BY_KIND[kind] ?? BY_SOURCE[source]
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ErrorTable, code)
}
