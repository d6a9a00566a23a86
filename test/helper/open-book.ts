import { UsageBook, type UsageBookOptions } from '../../src/control/book/usage-book.ts'
import { recordedLog } from './recorded-log.ts'

/** Longer than a busy machine keeps the thread waiting: only tests of a disk that stands still say less. */
export const PATIENT = { stallMs: 120_000, closeMs: 120_000 }

/** Has an account book in a folder, in which all requests are recorded. Whoever opens it closes it. */
export function openBook(stateDir: string, options: Partial<UsageBookOptions> = {}): UsageBook {
  return new UsageBook({
    stateDir,
    settings: () => ({ isKept: true, retentionDays: 90 }),
    log: recordedLog().log,
    periods: () => [],
    onOpened: () => {},
    onPages: () => {},
    onChange: () => {},
    ...options,
    timing: { ...PATIENT, ...options.timing }
  })
}
