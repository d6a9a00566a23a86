import type { RepairCode } from '../../kiro/repair-table.ts'
import type { RuleId } from '../../kiro/rules.ts'

/**
 * What becomes of a request because of a finding: the gateway repairs it; the gateway refuses the request; the
 * request is sent and the upstream may refuse it.
 */
export type Severity = 'repaired' | 'refused' | 'borderline'

/** One place of a request that breaks, or may break, a rule of the upstream. */
export interface Finding {
  readonly rule: RuleId
  readonly severity: Severity
  /** RFC 6901, into the request. */
  readonly pointer: string
  readonly message: string
  readonly fix: string
  /** Of what was repaired, as in `x-kiro-gateway-repairs`. */
  readonly code?: RepairCode
}

/** What there is to say about a request. Plain data: it crosses threads. */
export interface LintReport {
  /** Nothing is refused. */
  readonly ok: boolean
  /** The name of a dialect, or `unknown` for what is no request at all. */
  readonly dialect: string
  /** What is refused first, then what is borderline, then what is repaired. */
  readonly findings: readonly Finding[]
}
