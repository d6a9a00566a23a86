import { inspect, parseArgs } from 'node:util'
import { settingsHelp } from '../../config/load.ts'
import { type ReadEnvironment, readEnvironment } from '../../config/load-process.ts'
import { onInterrupt } from '../../shared/deferred-signals.ts'
import { GatewayError } from '../../shared/errors.ts'
import { entryOf, programName } from '../../shared/program-name.ts'
import {
  type Command,
  EXIT_FAILED,
  EXIT_INTERRUPTED,
  EXIT_OK,
  EXIT_USAGE,
  type Terminal,
  NoAnswerError,
  UsageError
} from '../command.ts'
import { ProcessTerminal } from '../terminal.ts'
import { loadCommand } from './commands.ts'
import {
  helpOf,
  optionProblem,
  overview,
  SETTINGS_TOPIC,
  unknownCommand,
  usageAfter
} from './help.ts'

const COMMON_OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  json: { type: 'boolean' }
} as const

/** Exit codes: 0 done, 1 failed, 2 wrong command line or settings, 130 Ctrl-C; commands may have more. */
export async function runCli(argv: readonly string[]): Promise<number> {
  const interruption = new AbortController()
  const stop = onInterrupt(process, () => interruption.abort(new Error('interrupted')))
  const { signal } = interruption
  const program = programName({ entry: entryOf(process.argv[1] ?? ''), cwd: process.cwd() })
  using terminal = new ProcessTerminal(process, signal, { program, isJson: wantsJson(argv) })
  try {
    return await runCommand(argv, {
      terminal,
      signal,
      program,
      readSettings: () => readEnvironment('.env')
    })
  } finally {
    stop()
  }
}

export function wantsJson(argv: readonly string[]): boolean {
  return argv.includes('--json')
}

/** The parts of a process that a command uses. */
export interface CommandPlace {
  readonly terminal: Terminal
  readonly signal: AbortSignal
  readonly readSettings: () => Pick<ReadEnvironment, 'env' | 'warnings'>
  /** Words that call this program again. */
  readonly program: string
}

/** Resolves with the exit code. */
export async function runCommand(argv: readonly string[], place: CommandPlace): Promise<number> {
  const { terminal, signal, program } = place
  const isJson = wantsJson(argv)
  const [name = '', ...rest] = helpAsCommand(argv)
  if (name === SETTINGS_TOPIC && rest.includes('--help')) {
    terminal.write(settingsHelp().trimEnd())
    return EXIT_OK
  }
  if (name === '' || name.startsWith('-')) {
    terminal.write(await overview())
    return EXIT_OK
  }
  const command = await loadCommand(name)
  if (command === null) {
    const message = unknownCommand(name)
    if (isJson) terminal.write(JSON.stringify({ error: { code: 'usage', message } }))
    terminal.note(`${program}: ${message}`)
    return EXIT_USAGE
  }
  try {
    const { values, positionals } = parseArgs({
      args: rest,
      allowPositionals: true,
      options: { ...command.options, ...COMMON_OPTIONS }
    })
    if (values['help'] === true) {
      terminal.write(helpOf(command))
      return EXIT_OK
    }
    const { env, warnings } = place.readSettings()
    for (const warning of warnings) terminal.note(warning)
    return await command.run({ values, positionals, isJson, env, terminal, signal })
  } catch (cause) {
    if (signal.aborted) return EXIT_INTERRUPTED
    return report(cause, { command, args: rest, isJson, terminal })
  }
}

/** Returns `help NAME` and `--help NAME` as `NAME --help`. */
function helpAsCommand(argv: readonly string[]): readonly string[] {
  const [first = '', name] = argv
  if (!['help', '--help', '-h'].includes(first)) return argv
  return name === undefined ? ['--help'] : [name, '--help']
}

interface Failed {
  readonly command: Command
  readonly args: readonly string[]
  readonly isJson: boolean
  readonly terminal: Terminal
}

/** A foreign error is a bug and shown whole. */
function report(cause: unknown, { command, args, isJson, terminal }: Failed): number {
  const isUsage = cause instanceof UsageError || isArgumentError(cause)
  const message = messageOf(cause, command)
  if (isJson) {
    const code = cause instanceof GatewayError ? cause.code : isUsage ? 'usage' : 'GW_INTERNAL'
    terminal.write(JSON.stringify({ error: { code, message } }))
  }
  const isWrong = isUsage && !(cause instanceof NoAnswerError)
  const usage = isWrong ? `\n\n${usageAfter(command, args)}` : ''
  terminal.note(`kiro-gateway ${command.name}: ${message}${usage}`)
  const isMistake = isUsage || (cause instanceof GatewayError && cause.code === 'GW_CONFIG_INVALID')
  return isMistake ? EXIT_USAGE : EXIT_FAILED
}

function messageOf(cause: unknown, command: Command): string {
  if (isArgumentError(cause)) return optionProblem(cause, command)
  const isKnown = cause instanceof UsageError || cause instanceof GatewayError
  return isKnown ? cause.message : inspect(cause)
}

function isArgumentError(cause: unknown): cause is Error {
  return (
    cause instanceof Error && 'code' in cause && String(cause.code).startsWith('ERR_PARSE_ARGS_')
  )
}
