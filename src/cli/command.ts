import type { ParseArgsConfig } from 'node:util'
import type { Environment } from '../config/load.ts'

/** One command of the program: `kiro-gateway NAME`. */
export interface Command {
  /** The word on the command line. */
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** Usage line: `kiro-gateway login [--region REGION]`; alternatives are on lines of their own. */
  readonly usage: string
  /** Options for `parseArgs()`; `--help` and `--json` are added for all. */
  readonly options: NonNullable<ParseArgsConfig['options']>
  /** Text of `--help` below the usage. */
  readonly help: string
  /**
   * Does it; resolves with the exit code.
   *
   * @throws {UsageError} when the command line makes no sense, which ends the program with `EXIT_USAGE`
   * @throws {GatewayError} when it fails, which ends it with `EXIT_FAILED`, or with `EXIT_USAGE` for GW_CONFIG_INVALID
   */
  run(call: CommandCall): Promise<number>
}

export interface CommandCall {
  /** The options that were given, by their long names. */
  readonly values: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>
  readonly positionals: readonly string[]
  /** Standard output is for a program: each line of it is JSON. */
  readonly isJson: boolean
  /** The real environment, and what `.env` of the working folder or `ENV_FILE` adds to it. */
  readonly env: Environment
  readonly terminal: Terminal
  /** Aborts with Ctrl-C. What was begun is to be put in order, at once. */
  readonly signal: AbortSignal
}

/** Output and questions of a command. Control characters are removed from what it is given. */
export interface Terminal {
  /** A line for standard output: what the command is asked for. */
  write(line: string): void
  /** A line for standard error: what a person should know besides. */
  note(line: string): void
  /** Shows progress in one line of standard error that the next one replaces, only on a terminal. */
  progress(line: string): void
  /** Lines of standard output that take the place of those before; where no person sees them, they follow. */
  redraw(lines: readonly string[]): void
  /** Standard output is a terminal, so that what was drawn can be replaced. */
  readonly isRedrawn: boolean
  /**
   * The answer, a line of standard input, without the spaces around it.
   *
   * @throws {UsageError} when standard input has ended
   */
  ask(question: string): Promise<string>
  /**
   * Asks a yes-or-no question; anything but yes is no. Commands that ask have an option `--yes`.
   *
   * @throws {UsageError} when standard input has ended
   */
  confirm(question: string): Promise<boolean>
  /** A person is there, who can answer. */
  readonly isInteractive: boolean
}

export const EXIT_OK = 0
export const EXIT_FAILED = 1
export const EXIT_USAGE = 2
/** As shells have it for a program that Ctrl-C ended. */
export const EXIT_INTERRUPTED = 130

/** The command line makes no sense; the message says why. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** An option that takes a value; `null` where it was not given. */
export function textOption(call: Pick<CommandCall, 'values'>, name: string): string | null {
  const value = call.values[name]
  return typeof value === 'string' ? value : null
}
