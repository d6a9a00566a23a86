import { listSettings, writeSetting } from '../../config/setting-text.ts'
import type { Setting } from '../../config/setting.ts'
import { version } from '../../shared/version.ts'
import { wrapText } from '../../shared/wrap-text.ts'
import type { Command, CommandExit } from '../command.ts'
import { guess, MAX_GUESSED_CHARS } from '../../shared/guess.ts'
import { commandNames, loadCommand } from './commands.ts'

/** Settings that a first hour needs; the others are in `--help settings`. */
const FIRST_SETTINGS: ReadonlySet<string> = new Set([
  'SERVER_HOST',
  'SERVER_PORT',
  'PROXY_API_KEY',
  'HTTP_MAX_CONNECTIONS',
  'HTTPS_PROXY',
  'KIRO_REGION',
  'STATE_DIR',
  'KIRO_API_KEY',
  'LOG_LEVEL',
  'DASHBOARD'
])

export const SETTINGS_TOPIC = 'settings'

/** Returns the text of `--help`, which fits a screen. */
export async function overview(): Promise<string> {
  const commands = await Promise.all(commandNames().map(loadCommand))
  const rows = commands.flatMap((command) =>
    command === null ? [] : row(command.name, command.summary)
  )
  const settings = listSettings().flatMap(({ setting }) =>
    FIRST_SETTINGS.has(setting.env) ? row(setting.env, shortText(setting)) : []
  )
  return [
    `kiro-gateway ${version}: a Kiro subscription behind OpenAI and Anthropic APIs.`,
    '',
    'Start it:       kiro-gateway [options]',
    'Run a command:  kiro-gateway COMMAND [options]',
    '',
    'Commands (--help COMMAND explains one):',
    ...rows,
    '',
    'Settings, from the environment or .env (--help settings lists all):',
    ...settings,
    '',
    'Options: --host ADDRESS, --port PORT, --workers N,',
    '         --help [COMMAND | settings], --version',
    'Exit codes: 0 done, 1 failed, 2 wrong usage, 78 cannot start, 130 Ctrl-C',
    'docs/exit-codes.md'
  ].join('\n')
}

const NAME_CHARS = 20

/** Columns of a terminal of the usual width. */
const COLUMNS = 80

function row(name: string, text: string): string {
  return wrapText(`  ${name.padEnd(NAME_CHARS)}  ${text}`, COLUMNS)
}

/** Returns the first sentence and the default. */
function shortText(setting: Setting<unknown>): string {
  const [sentence = ''] = /^.*?[.:](?= |$)/.exec(setting.description) ?? [setting.description]
  const value = writeSetting(setting, setting.default)
  const isShort = value !== '' && !value.includes('/')
  return `${sentence.slice(0, -1)}${isShort ? `; default ${value}` : ''}.`
}

const COMMON_HELP = `  --json             Prints JSON.
  --help             Prints this text.`

/** Returns the text of `--help COMMAND`. */
export function helpOf({ usage, help, exitCodes = [] }: Command): string {
  const gap = /\n {2}-.*$/.test(help) ? '\n' : '\n\n' // options of its own come last
  return `${usageLines(usage.split('\n'))}\n\n${help.trimEnd()}${gap}${COMMON_HELP}${exitText(exitCodes)}`
}

function exitText(exits: readonly CommandExit[]): string {
  if (exits.length === 0) return ''
  const rows = exits.map(({ action, code, meaning }) => {
    const which = action === undefined ? '' : `${action}: `
    return `  ${String(code).padEnd(NAME_CHARS - 3)}  ${which}${meaning.replaceAll('`', '')}.`
  })
  return ['\n\nExit codes that mean more than usual:', ...rows].join('\n')
}

/** Returns the usage after a mistake: of the command's action, if that is known, and where the rest is explained. */
export function usageAfter(command: Command, args: readonly string[]): string {
  const lines = command.usage.split('\n')
  const action = args.find((word) => !word.startsWith('-'))
  const ofAction = lines.filter((line) => line.startsWith(`kiro-gateway ${command.name} ${action}`))
  const shown = ofAction.length === 0 ? lines : ofAction
  return `${usageLines(shown)}\n\n"kiro-gateway ${command.name} --help" explains it.`
}

function usageLines(lines: readonly string[]): string {
  return lines.map((line, index) => `${index === 0 ? 'Usage: ' : '       '}${line}`).join('\n')
}

/** Words by which other programs are started. */
const STARTS: ReadonlySet<string> = new Set(['start', 'serve', 'run', 'up'])

export function unknownCommand(name: string): string {
  const said = name.length > MAX_GUESSED_CHARS ? `${name.slice(0, MAX_GUESSED_CHARS)}…` : name
  const meant = guess(name, commandNames())
  const hint = meant === null ? '' : ` Was "${meant}" meant?`
  const start = STARTS.has(name) ? ' Without a command, it starts the gateway.' : ''
  return `unknown command "${said}".${hint}${start} The commands are ${commandNames().join(', ')}; "kiro-gateway --help" explains them.`
}

/** Says in a sentence what is wrong with the options: Node's own text goes on about positional arguments. */
export function optionProblem(cause: Error, command: Command): string {
  const [, option = ''] = /^Unknown option '--?([^']*)'/.exec(cause.message) ?? []
  if (option === '') return cause.message
  const meant = guess(option, Object.keys(command.options))
  const hint = meant === null ? '' : ` Was --${meant} meant?`
  return `there is no option --${option.slice(0, MAX_GUESSED_CHARS)}.${hint}`
}
