import { ErrorTable } from '../../src/shared/error-table.ts'
import { FailureTable } from '../../src/shared/failures.ts'
import { toTable } from './text.ts'

/** Codes that no client sees, and how the program ends with them. */
const EXITS: Readonly<Record<string, string>> = {
  GW_CONFIG_INVALID: 'exit 78',
  GW_CLIENT_FILE: 'exit 1'
}

/** The tables of docs/errors.md, by name. */
export function errorTables(): Readonly<Record<string, string>> {
  const errors = Object.entries(ErrorTable).map(([code, { status, source, retry, message }]) => {
    const shown = EXITS[code] ?? (status === 499 ? '499 (log only)' : String(status))
    return [`\`${code}\``, shown, source, retry, message]
  })
  const failures = Object.entries(FailureTable).map(([code, what]) => [`\`${code}\``, what])
  return {
    errors: toTable(['code', 'status', 'source', 'retry', 'message'], errors),
    failures: toTable(['code', 'what it is'], failures)
  }
}
