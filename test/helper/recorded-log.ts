import { createLogger, type Logger } from '../../src/observe/logger.ts'

/** A real logger whose lines are kept. */
export function recordedLog(): { log: Logger; lines: string[]; text: () => string } {
  const lines: string[] = []
  const log = createLogger('trace', {}, { write: (line: string) => void lines.push(line) })
  return { log, lines, text: () => lines.join('') }
}
