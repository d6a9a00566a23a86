import { isJsonObject } from '../shared/json.ts'
import { clockOf, type Fields } from './log-fields.ts'
import { type LineKind, type RowOptions, rowsOf, type ShownLine } from './log-rows.ts'
import type { LogStream } from './logger.ts'
import { renderRows, type Row } from './terminal-rows.ts'

export interface PrettyOptions extends RowOptions {
  readonly isColoured: boolean
}

/** Rows are no longer, however wide the terminal is: the eye has to find their end. */
const MAX_COLUMNS = 100
/** Narrower terminals wrap rows. */
const MIN_COLUMNS = 60

/** Limit of a line, as of others: processes must not mix their lines. */
const MAX_BYTES = 4096
const WINDOW_MS = 60_000
const MAX_KINDS = 64

/**
 * Formats the log's JSON lines for people; loaded on demand. A request is one row, a failed one has its reason below.
 * Failures of one kind, and of one key if they are its own mistakes, are counted after the third in a minute. Facts that are missing here are in the JSON log.
 *
 * ```
 *   14:41:11 ✓ 200 claude-sonnet-5.5   0.51 s (first 0.06)      6→34 tok 0.005 cr anna · claude-code
 *   14:41:12 ✗ 502 claude-sonnet-5.5   0.18 s                                    anna · claude-code
 *              The upstream closed the connection … GW_UPSTREAM_RESET · req_03fb0937
 *   14:42:12 ✗ 502 GW_UPSTREAM_RESET × 14 in a minute
 *              The upstream closed the connection … last: req_8a1c03de
 * ```
 */
export class PrettyLog implements LogStream {
  readonly #stream: LogStream
  readonly #options: PrettyOptions
  /** Kinds of this minute. Bounded by MAX_KINDS, and one for each code beyond it. */
  readonly #kinds = new Map<string, LineKind & { times: number; last: readonly Row[] }>()
  #timer: NodeJS.Timeout | null = null

  constructor(stream: LogStream, options: PrettyOptions) {
    this.#stream = stream
    this.#options = options
  }

  get lost(): number {
    return this.#stream.lost ?? 0
  }

  onLoss(tell: (lines: number) => void): void {
    this.#stream.onLoss?.(tell)
  }

  write(line: string): void {
    const fields = parsed(line)
    if (fields === null) return this.#stream.write(line)
    const shown = rowsOf(fields, this.#options)
    if (shown !== null) this.#show(shown)
  }

  /** Writes what was counted, as at the end of the process. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    for (const { times, shown, title, last } of this.#kinds.values()) {
      if (times <= shown) continue
      const [, ...rest] = title
      const clock = { text: clockOf(new Date().toISOString()), style: 'dim' } as const
      this.#put([[clock, ...rest, { text: ` × ${times} in a minute`, style: 'bold' }], ...last])
    }
    this.#kinds.clear()
  }

  #show({ rows, again, last, kinds }: ShownLine): void {
    const kind = this.#options.isVerbose ? undefined : this.#kindOf(kinds)
    const times = kind === undefined ? 1 : this.#count(kind, last)
    if (times === 1) this.#put(rows)
    else if (times <= (kind?.shown ?? 1)) this.#put(again)
  }

  /** The narrowest that is counted or can be; else the widest. */
  #kindOf(kinds: readonly LineKind[]): LineKind | undefined {
    const hasRoom = this.#kinds.size < MAX_KINDS
    return kinds.find(({ name }) => hasRoom || this.#kinds.has(name)) ?? kinds.at(-1)
  }

  #count(kind: LineKind, last: readonly Row[]): number {
    const known = this.#kinds.get(kind.name)
    if (known !== undefined) {
      known.last = last
      return ++known.times
    }
    this.#timer ??= setTimeout(() => this.flush(), WINDOW_MS).unref()
    this.#kinds.set(kind.name, { ...kind, times: 1, last })
    return 1
  }

  #put(rows: readonly Row[]): void {
    this.#stream.write(within(renderRows(rows, this.#options)))
  }
}

/** Fits rows to the terminal as wide as it was at the start; `terminalColumns` is 0 without one. */
export function prettyLog(
  stream: LogStream,
  { terminalColumns, ...look }: Omit<PrettyOptions, 'columns'> & { terminalColumns: number }
): PrettyLog {
  const columns =
    terminalColumns > 0
      ? Math.max(MIN_COLUMNS, Math.min(MAX_COLUMNS, terminalColumns))
      : MAX_COLUMNS
  return new PrettyLog(stream, { ...look, columns })
}

function parsed(line: string): Fields | null {
  try {
    const fields: unknown = JSON.parse(line)
    return isJsonObject(fields) ? fields : null
  } catch {
    return null
  }
}

/** Cuts at the end of a row. */
function within(text: string): string {
  if (Buffer.byteLength(text) <= MAX_BYTES) return text
  const cut = Buffer.from(text).subarray(0, MAX_BYTES).toString()
  return cut.slice(0, cut.lastIndexOf('\n') + 1)
}
