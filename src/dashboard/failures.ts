import { type ErrorKind, ErrorTable } from '../shared/error-table.ts'
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

/** An overlong conversation is the client's fault, whichever side refuses it, like problems of the client's account. */
export function faultOf(code: string, account: 'gateway' | 'client' = 'gateway'): Fault {
  if (!isErrorCode(code)) return 'gateway'
  const { kind, source } = ErrorTable[code]
  if (kind === 'overflow' || (account === 'client' && OF_ACCOUNTS.has(kind))) return 'client'
  return FAULTS[source]
}

const FAULTS = { downstream: 'client', upstream: 'upstream', internal: 'gateway' } as const

const OF_ACCOUNTS: ReadonlySet<ErrorKind> = new Set([
  'account',
  'forbidden',
  'barred',
  'quota',
  'rate',
  'restricted'
])

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ErrorTable, code)
}
