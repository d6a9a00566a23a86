import { prettyLog } from '../../observe/pretty-log.ts'
import type { LogStream } from '../../observe/logger.ts'
import type { InitSystem } from './init-system.ts'

/** Formats lines of the service's log for people, as the gateway does on a terminal. */
export function rowsFor(stream: LogStream) {
  return prettyLog(stream, { isColoured: false, isVerbose: false, terminalColumns: 0 })
}

/** Some lines have no row. */
const LINES_FOR_A_ROW = 4

/** Returns the last rows of the service's log. */
export async function lastRows(
  manager: Pick<InitSystem, 'lastLines'>,
  count: number
): Promise<readonly string[]> {
  const texts: string[] = []
  const rows = rowsFor({ write: (text) => void texts.push(text) })
  for (const line of await manager.lastLines(count * LINES_FOR_A_ROW)) rows.write(`${line}\n`)
  rows.flush()
  const shown = texts.join('').split('\n')
  return shown.filter((row) => row !== '').slice(-count)
}
