import type { ParseArgsConfig } from 'node:util'
import type { Environment } from '../config/load.ts'
import type { ExitMeaning } from '../shared/exit-codes.ts'

export interface Command {
  readonly name: string
  readonly summary: string
  /** `kiro-gateway login [--region REGION]`; alternatives are on lines of their own. */
  readonly usage: string
  readonly options: NonNullable<ParseArgsConfig['options']>
  readonly help: string
  /** Codes that mean more than CommandExits say. */
  readonly exitCodes?: readonly CommandExit[]
  /**
   * Resolves with the exit code.
   * @throws {UsageError} for a wrong command line (`EXIT_USAGE`)
   * @throws {GatewayError} if it fails (`EXIT_FAILED`, or `EXIT_USAGE` for GW_CONFIG_INVALID)
   */
  run(call: CommandCall): Promise<number>
}

/** `action`: only of this one, such as `status` of `service`. */
export interface CommandExit extends ExitMeaning {
  readonly action?: string
}

export interface CommandCall {
  readonly values: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>
  readonly positionals: readonly string[]
  /** Standard output is JSON lines for a program. */
  readonly isJson: boolean
  /** Includes `.env` of the working folder or `ENV_FILE`. */
  readonly env: Environment
  readonly terminal: Terminal
  /** Aborts with Ctrl-C; clean up at once. */
  readonly signal: AbortSignal
}

/** Removes control characters from all output. */
export interface Terminal {
  /** To standard output: the requested result. */
  write(line: string): void
  /** To standard error: further information for people. */
  note(line: string): void
  /** Replaceable line on standard error, only on a terminal. */
  progress(line: string): void
  /** Replaces the previous lines of standard output; appends without a terminal. */
  redraw(lines: readonly string[]): void
  readonly isRedrawn: boolean
  /** Returns a trimmed line of standard input. @throws {NoAnswerError} at its end */
  ask(question: string): Promise<string>
  /** Anything but yes is no. Commands that ask have `--yes`. @throws {NoAnswerError} at the end of standard input */
  confirm(question: string): Promise<boolean>
  readonly isInteractive: boolean
}

export const EXIT_OK = 0
export const EXIT_FAILED = 1
export const EXIT_USAGE = 2
export const EXIT_INTERRUPTED = 130

/** Codes of every command. */
export const CommandExits: readonly ExitMeaning[] = [
  { code: EXIT_OK, meaning: 'done' },
  { code: EXIT_FAILED, meaning: 'failed: the sentence on standard error says why' },
  { code: EXIT_USAGE, meaning: 'wrong command line, or settings that it cannot use' },
  { code: EXIT_INTERRUPTED, meaning: 'Ctrl-C' }
]

export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Standard input has ended before a question was answered; the command line itself is right. */
export class NoAnswerError extends UsageError {}

export function textOption(call: Pick<CommandCall, 'values'>, name: string): string | null {
  const value = call.values[name]
  return typeof value === 'string' ? value : null
}
