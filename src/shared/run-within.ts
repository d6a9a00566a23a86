import { type Context, createContext, Script } from 'node:vm'
import { codeOf } from './errors.ts'

/** Result of a function that took too long. */
export const TOO_LONG = Symbol('too long')

const CALL = new Script('job()')
const scope: { job: (() => void) | null } = { job: null }
/** A context takes a millisecond and a megabyte. */
let context: Context | null = null

/** Runs a function synchronously and ends it after a time, even inside a regular expression. */
export function runWithin<T>(timeoutMs: number, run: () => T): T | typeof TOO_LONG {
  context ??= createContext(scope)
  const results: T[] = []
  const errors: unknown[] = []
  scope.job = () => {
    try {
      results.push(run())
    } catch (error) {
      errors.push(error)
    }
  }
  try {
    CALL.runInContext(context, { timeout: timeoutMs })
  } catch (error) {
    if (codeOf(error) !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
  } finally {
    scope.job = null
  }
  if (errors.length > 0) throw errors[0]
  for (const result of results) return result
  return TOO_LONG
}
