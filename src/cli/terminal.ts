import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { toShownText } from '../shared/program-name.ts'
import { wrapText } from '../shared/wrap-text.ts'
import { NoAnswerError, type Terminal } from './command.ts'

export interface TerminalStreams {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: TerminalOutput & { readonly rows?: number }
  readonly stderr: TerminalOutput
}

type TerminalOutput = Writable & { readonly isTTY?: boolean; readonly columns?: number }

/** The parts of a command line that decide how texts are shown. */
export interface Naming {
  /** Words that call this program again: texts name commands by them. */
  readonly program: string
  /** JSON on standard output is for programs, and stays as it is. */
  readonly isJson: boolean
}

/** Questions and progress go to standard error, so that standard output holds results only. */
export class ProcessTerminal implements Terminal, Disposable {
  readonly #streams: TerminalStreams
  readonly #signal: AbortSignal
  readonly #naming: Naming
  /** Kept from the first question on: a pipe brings several answers at once. */
  #input: Interface | null = null
  #lines: AsyncIterator<string> | null = null
  #hasProgress = false
  #drawn = 0

  /** Pending questions fail when `signal` aborts. */
  constructor(streams: TerminalStreams, signal: AbortSignal, naming: Naming) {
    this.#streams = streams
    this.#signal = signal
    this.#naming = naming
    // The reader may leave at any time: `kiro-gateway whoami | head -1`.
    for (const stream of [streams.stdout, streams.stderr]) stream.on('error', ignoreBrokenPipe)
  }

  get isInteractive(): boolean {
    return this.#streams.stdin.isTTY === true && this.#streams.stderr.isTTY === true
  }

  write(line: string): void {
    this.#endProgress()
    this.#writeLine(this.#streams.stdout, this.#naming.isJson ? line : this.#shown(line))
  }

  note(line: string): void {
    this.#endProgress()
    this.#writeLine(this.#streams.stderr, this.#shown(line))
  }

  progress(line: string): void {
    const { stderr } = this.#streams
    if (stderr.isTTY !== true) return
    this.#endProgress()
    stderr.write(printable(this.#shown(line)).slice(0, columnsOf(stderr) - 1)) // what wraps is not cleared
    this.#hasProgress = true
  }

  get isRedrawn(): boolean {
    return this.#streams.stdout.isTTY === true
  }

  redraw(lines: readonly string[]): void {
    const { stdout } = this.#streams
    const rows = stdout.rows === undefined || stdout.rows === 0 ? 24 : stdout.rows
    const shown = this.isRedrawn ? lines.slice(0, Math.max(1, rows - 1)) : lines // what scrolls away stays
    const back = this.#drawn === 0 ? '' : `\u001b[${this.#drawn}A\r\u001b[J`
    const text = shown.map((line) => `${printable(line)}\n`).join('')
    stdout.write(this.isRedrawn ? `${back}${NO_WRAP}${text}${WRAP}` : text)
    this.#drawn = shown.length
  }

  async ask(question: string): Promise<string> {
    const answer = await this.#answerTo(question)
    if (answer === null)
      throw new NoAnswerError('There is no answer, because standard input has ended.')
    return answer
  }

  async confirm(question: string): Promise<boolean> {
    const answer = await this.#answerTo(`${question} [y/N]`)
    if (answer === null) {
      throw new NoAnswerError(
        'There is no answer, because standard input has ended. Use --yes to skip the question.'
      )
    }
    return /^y(es)?$/i.test(answer)
  }

  async #answerTo(question: string): Promise<string | null> {
    const { stdin, stderr } = this.#streams
    this.#signal.throwIfAborted()
    this.#endProgress()
    stderr.write(`${printable(this.#shown(question))} `)
    this.#input ??= createInterface({ input: stdin, signal: this.#signal })
    this.#lines ??= this.#input[Symbol.asyncIterator]()
    const { value, done } = await this.#lines.next()
    this.#signal.throwIfAborted()
    if (done !== true) return value.trim()
    stderr.write('\n')
    return null
  }

  /** Releases standard input, which would keep the process running. */
  [Symbol.dispose](): void {
    this.#endProgress()
    this.#input?.close()
  }

  #writeLine(output: TerminalOutput, line: string): void {
    const text = printable(line)
    output.write(`${output.isTTY === true ? wrapText(text, columnsOf(output)) : text}\n`)
  }

  #shown(text: string): string {
    return toShownText(text, this.#naming.program)
  }

  #endProgress(): void {
    if (!this.#hasProgress) return
    this.#hasProgress = false
    this.#streams.stderr.write(CLEAR_LINE)
  }
}

/** Width in columns; a terminal that does not know its own says 0. */
function columnsOf({ columns = 0 }: TerminalOutput): number {
  return columns === 0 ? 80 : columns
}

/** The terminal cuts long lines, whose width it knows: wrapped lines would not be replaced. */
const NO_WRAP = '\u001b[?7l'
const WRAP = '\u001b[?7h'

const CLEAR_LINE = '\r\u001b[2K'

/** Removes control characters except newlines and tabs: servers and files must not control the terminal. */
function printable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n\t]/gu, '')
}

function ignoreBrokenPipe(): void {}

/** `1 line`, `2 lines`. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

export function toColumns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(...rows.map((row) => row[at]?.length ?? 0))
  )
  return rows.map((row) =>
    row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0))).join('  ')
  )
}
