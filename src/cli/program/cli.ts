import { inspect, parseArgs } from 'node:util'
import { usageText } from '../../config/load.ts'
import { type ReadEnvironment, readEnvironment } from '../../config/load-process.ts'
import { editDistance } from '../../shared/edit-distance.ts'
import { onInterrupt } from '../../shared/deferred-signals.ts'
import { GatewayError } from '../../shared/errors.ts'
import {
  type Command,
  EXIT_FAILED,
  EXIT_INTERRUPTED,
  EXIT_OK,
  EXIT_USAGE,
  type Terminal,
  UsageError
} from '../command.ts'
import { ProcessTerminal } from '../terminal.ts'
import { commandNames, loadCommand } from './commands.ts'

const COMMON_OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  json: { type: 'boolean' }
} as const

const COMMON_HELP = `  --json             Prints JSON.
  --help             Prints this text.`

/** Exit codes: 0 done, 1 failed, 2 wrong command line or settings, 130 Ctrl-C; commands may have more. */
export async function runCli(argv: readonly string[]): Promise<number> {
  const interruption = new AbortController()
  const stop = onInterrupt(process, () => interruption.abort(new Error('interrupted')))
  using terminal = new ProcessTerminal(process, interruption.signal)
  try {
    return await runCommand(argv, { terminal, signal: interruption.signal, readSettings })
  } finally {
    stop()
  }
}

function readSettings(): ReadEnvironment {
  return readEnvironment('.env')
}

/** The parts of a process that a command uses. */
export interface CommandPlace {
  readonly terminal: Terminal
  readonly signal: AbortSignal
  readonly readSettings: () => Pick<ReadEnvironment, 'env' | 'warnings'>
}

/** Resolves with the exit code. */
export async function runCommand(argv: readonly string[], place: CommandPlace): Promise<number> {
  const { terminal, signal } = place
  const isHelp = argv[0] === 'help'
  const [name = '', ...rest] = isHelp ? [...argv.slice(1), '--help'] : argv
  if (name === '' || name.startsWith('-')) {
    terminal.write(await overview())
    return EXIT_OK
  }
  const command = await loadCommand(name)
  if (command === null) {
    terminal.note(`kiro-gateway: ${unknownCommand(name)}`)
    return EXIT_USAGE
  }
  const isJson = rest.includes('--json')
  try {
    const { values, positionals } = parseArgs({
      args: rest,
      allowPositionals: true,
      options: { ...command.options, ...COMMON_OPTIONS }
    })
    if (values['help'] === true) {
      terminal.write(usageOf(command))
      return EXIT_OK
    }
    const { env, warnings } = place.readSettings()
    for (const warning of warnings) terminal.note(warning)
    return await command.run({ values, positionals, isJson, env, terminal, signal })
  } catch (cause) {
    if (signal.aborted) return EXIT_INTERRUPTED
    return report(cause, { command, isJson, terminal })
  }
}

async function overview(): Promise<string> {
  const commands = await Promise.all(commandNames().map(loadCommand))
  const rows = commands.flatMap((command) =>
    command === null ? [] : `  ${command.name.padEnd(18)} ${command.summary}`
  )
  return usageText(rows).trimEnd()
}

function usageOf({ usage, help }: Command): string {
  const lines = usage
    .split('\n')
    .map((line, index) => `${index === 0 ? 'Usage: ' : '       '}${line}`)
  const gap = /\n {2}-.*$/.test(help) ? '\n' : '\n\n' // options of its own come last
  return `${lines.join('\n')}\n\n${help.trimEnd()}${gap}${COMMON_HELP}`
}

interface Failed {
  readonly command: Command
  readonly isJson: boolean
  readonly terminal: Terminal
}

/** A foreign error is a bug and shown whole. */
function report(cause: unknown, { command, isJson, terminal }: Failed): number {
  const isUsage = cause instanceof UsageError || isArgumentError(cause)
  const isKnown = isUsage || cause instanceof GatewayError
  const message = isKnown ? cause.message : inspect(cause)
  if (isJson) {
    const code = cause instanceof GatewayError ? cause.code : isUsage ? 'usage' : 'GW_INTERNAL'
    terminal.write(JSON.stringify({ error: { code, message } }))
  }
  terminal.note(
    `kiro-gateway ${command.name}: ${message}${isUsage ? `\n\n${usageOf(command)}` : ''}`
  )
  const isMistake = isUsage || (cause instanceof GatewayError && cause.code === 'GW_CONFIG_INVALID')
  return isMistake ? EXIT_USAGE : EXIT_FAILED
}

function isArgumentError(cause: unknown): cause is Error {
  return (
    cause instanceof Error && 'code' in cause && String(cause.code).startsWith('ERR_PARSE_ARGS_')
  )
}

const MAX_GUESSED_CHARS = 32

function unknownCommand(name: string): string {
  const said = name.length > MAX_GUESSED_CHARS ? `${name.slice(0, MAX_GUESSED_CHARS)}…` : name
  const meant = commandNames().find(
    (known) => name.length <= MAX_GUESSED_CHARS && editDistance(name, known) <= 2
  )
  const hint = meant === undefined ? '' : ` Was "${meant}" meant?`
  return `unknown command "${said}".${hint} The commands are ${commandNames().join(', ')}; "kiro-gateway --help" explains them.`
}
