import { UsageBook, type UsageBookOptions } from '../../src/control/book/usage-book.ts'
import { recordedLog } from './recorded-log.ts'

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
    ...options
  })
}
