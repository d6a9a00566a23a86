import {
  type Bindings,
  type ChildLoggerOptions,
  type DestinationStream,
  type Logger,
  pino,
  stdTimeFunctions
} from 'pino'
import { LineWriter, STDOUT } from './line-writer.ts'
import { cleanText, toLogFields } from './log-fields.ts'

export type { Logger } from 'pino'

/** Levels of pino; `silent` logs nothing. */
export type LoggerLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'

/** Where lines go; what loses some says so in a line of its own. */
export interface LogStream extends DestinationStream {
  /** Lines that were lost so far. */
  readonly lost?: number
  readonly onLoss?: (tell: (lines: number) => void) => void
}

/**
 * Makes the logger of a process: JSON lines with a constant lower-case message and facts as fields. Errors belong
 * under `err`, request ids under `reqId`. Secrets are taken out of fields at any depth.
 *
 * Lines are written at once, synchronously, and stay under 4 KiB. Several processes share the pipe: what is at most
 * `PIPE_BUF` long is written whole or not at all, never mixed with another process's line. While its reader keeps up
 * nothing is buffered, so that a crash loses no line. One line for each request makes that cheap.
 *
 * @see https://man7.org/linux/man-pages/man7/pipe.7.html
 */
export function createLogger(
  level: LoggerLevel,
  bindings: Readonly<Record<string, unknown>>,
  stream: LogStream = new LineWriter(STDOUT)
): Logger {
  const logger = pino(
    {
      level,
      base: { pid: process.pid, ...bindings },
      timestamp: stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        bindings: toLogFields,
        log: toLogFields
      },
      hooks: {
        streamWrite: toShortLine,
        logMethod([first, ...rest], method) {
          // What was thrown is no constant message, and may hold a secret.
          if (first instanceof Error) method.call(this, { err: first }, 'unexpected error')
          else if (typeof first === 'string') method.call(this, cleanText(first), ...rest)
          else method.call(this, first, ...rest)
        }
      }
    },
    stream
  )
  // Formatters do not see the bindings of children. Children inherit this method from the root.
  const makeChild: Logger['child'] = Reflect.get(logger, 'child')
  logger.child = function <Levels extends string = never>(
    fields: Bindings,
    options?: ChildLoggerOptions<Levels>
  ): Logger<Levels> {
    return Reflect.apply(makeChild<Levels>, this, [toLogFields(fields), options])
  }
  stream.onLoss?.((lines) => logger.warn({ lines }, 'log lines dropped'))
  return logger
}

/** Linux writes this much to a pipe in one piece. */
const maxLineBytes = 4096
/** What a line keeps that is too long in spite of all: who, when, what. */
const keptNames = ['level', 'time', 'pid', 'worker', 'reqId', 'status', 'code', 'msg']
const maxKeptLength = 256

function toShortLine(line: string): string {
  // A character takes 3 bytes at most, so that most lines need no second look.
  if (line.length * 3 < maxLineBytes || Buffer.byteLength(line) < maxLineBytes) return line
  const fields: unknown = JSON.parse(line)
  const kept: Record<string, unknown> = {}
  for (const name of keptNames) {
    const value: unknown = Reflect.get(Object(fields), name)
    if (value !== undefined) kept[name] = shorten(value)
  }
  return `${JSON.stringify({ ...kept, cutBytes: Buffer.byteLength(line) })}\n`
}

function shorten(value: unknown): unknown {
  return typeof value === 'string' ? value.slice(0, maxKeptLength) : value
}
