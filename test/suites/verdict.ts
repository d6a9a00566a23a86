import type { Case, Exclusion } from './suite.ts'

/** How one suite ended. */
export interface Verdict {
  readonly passed: number
  readonly excluded: readonly ExcludedCases[]
  /** What nobody expected, one line each. */
  readonly failures: readonly string[]
}

export interface ExcludedCases {
  readonly reason: string
  readonly names: readonly string[]
}

/**
 * Holds the results of a suite against its exclusions. An exclusion of which all tests pass is a failure as well: the list
 * says what does not work, and must not say more than that.
 */
export function judge(cases: readonly Case[], exclusions: readonly Exclusion[]): Verdict {
  const failing = cases.filter(({ problem, isSkipped }) => problem !== null || isSkipped === true)
  const excluded = exclusions.map((exclusion) => ({
    exclusion,
    names: failing.filter(({ name }) => exclusion.cases.test(name)).map(({ name }) => name)
  }))
  const explained = new Set(excluded.flatMap(({ names }) => names))
  const failures = failing
    .filter(({ name }) => !explained.has(name))
    .map(({ name, problem }) => `${name}: ${problem ?? 'skipped, without a reason given here'}`)
  const needless = excluded
    .filter(({ exclusion, names }) => names.length === 0 && exclusion.mayPass !== true)
    .map(({ exclusion }) => `${String(exclusion.cases)}: is excluded, but no such test fails`)
  const none = cases.length === 0 ? ['no test ran'] : []
  return {
    passed: cases.length - failing.length,
    excluded: excluded
      .filter(({ names }) => names.length > 0)
      .map(({ exclusion, names }) => ({ reason: exclusion.reason, names })),
    failures: [...failures, ...needless, ...none]
  }
}
