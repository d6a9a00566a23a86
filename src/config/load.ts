import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { Check } from 'typebox/schema'
import { type GatewayError, operatorError } from '../shared/errors.ts'
import { guess } from '../shared/guess.ts'
import { version } from '../shared/version.ts'
import { crossCheck, type Contradiction } from './cross-checks.ts'
import { findMisspelt, type MisspeltName } from './misspelt.ts'
import {
  describeAllowed,
  type ListedSetting,
  listSettings,
  settingValue,
  readSetting,
  writeSetting
} from './setting-text.ts'
import type { Setting } from './setting.ts'
import { type Config, Settings } from './settings.ts'

/** Settings like `process.env`; an empty value counts as not set. */
export type Environment = Readonly<Record<string, string | undefined>>

/** `--help` and `--version` print a text and exit. */
export type LoadResult =
  | { readonly name: 'config'; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly name: 'print'; readonly text: string }

/**
 * Returns a deeply frozen config. `fileNames` are the names in `.env`, which are compared with settings more closely.
 * @throws {GatewayError} GW_CONFIG_INVALID that lists every problem on its own line
 */
export function loadConfig(
  env: Environment,
  argv: readonly string[],
  fileNames: ReadonlySet<string> = new Set()
): LoadResult {
  const options = readOptions(argv)
  if (options.flags.has('help')) return { name: 'print', text: settingsHelp() }
  if (options.flags.has('version')) return { name: 'print', text: `${version}\n` }

  const { config, problems, warnings } = examine(env, options.values, fileNames)
  const all = [...options.problems, ...problems]
  if (all.length > 0) throw configInvalid(all)
  return { name: 'config', config: deepFreeze(config), warnings }
}

export interface InspectedConfig {
  readonly config: Config
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

/** For commands that help where the gateway would not start. */
export function inspectConfig(
  env: Environment,
  fileNames: ReadonlySet<string> = new Set()
): InspectedConfig {
  return examine(env, new Map(), fileNames)
}

function examine(
  env: Environment,
  options: ReadonlyMap<string, string>,
  fileNames: ReadonlySet<string>
): InspectedConfig {
  const own = withOwnNames(withoutEmpty(env))
  const values = readValues(own, options)
  const isProduction = env['NODE_ENV'] === 'production'
  const checked = crossCheck({ ...toSettings(values.tree), isProduction, managed: null })
  const isUndisputed = (contradiction: Contradiction) =>
    !contradiction.about.some((name) => values.wrong.has(name))
  const moreProblems = checked.problems.filter(isUndisputed).map(({ sentence }) => sentence)

  const { server, credentials } = checked.config
  const hasNone = server.apiKeys.length === 0 && !credentials.isKeyPassthrough
  const isOpen = hasNone && !values.wrong.has(CLIENT_KEYS)
  const opens = ({ meant }: MisspeltName): boolean => isOpen && meant === CLIENT_KEYS
  const misspelt = findMisspelt(own, fileNames)
  return {
    config: checked.config,
    problems: [
      ...values.wrong.values(),
      ...moreProblems,
      ...misspelt.filter(opens).map((one) => `${question(one)} ${LEFT_OPEN}`)
    ],
    warnings: [
      ...checked.warnings.map(({ sentence }) => sentence),
      ...misspelt.filter((one) => !opens(one)).map(question)
    ]
  }
}

const CLIENT_KEYS = 'PROXY_API_KEY'
const LEFT_OPEN =
  'Without PROXY_API_KEY and named keys, anyone who reaches the gateway can use it. Correct the name or remove it.'

function question({ name, meant }: MisspeltName): string {
  return `${name} is not a setting. Did you mean ${meant}?`
}

function readOptions(argv: readonly string[]) {
  const valued = listSettings().flatMap(({ setting }) => setting.option ?? [])
  const known: ParseArgsOptionsConfig = Object.fromEntries([
    ...valued.map((option) => [option, { type: 'string' }] as const),
    ...['help', 'version'].map((flag) => [flag, { type: 'boolean' }] as const)
  ])
  const { tokens } = parseArgs({ args: [...argv], options: known, strict: false, tokens: true })
  const flags = new Set<string>()
  const values = new Map<string, string>()
  const problems: string[] = []
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') problems.push(`"${token.value}" is not an option.`)
    else if (!Object.hasOwn(known, token.name))
      problems.push(notAnOption(token, Object.keys(known)))
    else if (known[token.name]?.type === 'boolean') flags.add(token.name)
    else if (token.value === undefined || token.value === '') {
      problems.push(`${token.rawName} needs a value.`)
    } else values.set(token.name, token.value)
  }
  return { flags, values, problems }
}

function notAnOption({ name, rawName }: OptionToken, known: readonly string[]): string {
  const meant = guess(name, known)
  return `${rawName} is not an option.${meant === null ? '' : ` Was --${meant} meant?`}`
}

interface OptionToken {
  readonly name: string
  readonly rawName: string
}

function readValues(env: Environment, options: ReadonlyMap<string, string>) {
  const wrong = new Map<string, string>()
  const tree: Record<string, Record<string, unknown>> = {}
  for (const listed of listSettings()) {
    const group = (tree[listed.group] ??= {})
    group[listed.name] = readValue(listed, env, options, wrong)
  }
  return { tree, wrong }
}

function readValue(
  { setting }: ListedSetting,
  env: Environment,
  options: ReadonlyMap<string, string>,
  wrong: Map<string, string>
): unknown {
  const fallback = structuredClone(setting.default)
  const option = setting.option === undefined ? undefined : options.get(setting.option)
  const text = (option ?? env[setting.env])?.trim()
  if (text === undefined) return setting.env === 'STATE_DIR' ? usualStateDir(env) : fallback
  const value = readSetting(setting, text)
  if (typeof value === 'string' && setting.kind === 'path') return expandHome(value, env)
  if (value !== undefined) return value
  const name = option === undefined ? setting.env : `--${setting.option}`
  const given = describeGiven(setting, text)
  wrong.set(setting.env, `${name} is ${given}. Allowed: ${describeAllowed(setting)}.`)
  return fallback
}

function describeGiven(setting: Setting<unknown>, text: string): string {
  if (setting.isSecret === true) {
    const scheme = setting.kind === 'proxy' ? /^[a-z][a-z0-9+.-]{0,15}:\/\//i.exec(text) : null
    const beginning = scheme === null ? '' : ` that begins with ${scheme[0]}`
    return `a secret of ${text.length} characters${beginning}`
  }
  const shown = text.replace(/\/\/.*@/, '//***@')
  return JSON.stringify(shown.length > 100 ? `${shown.slice(0, 100)}…` : shown)
}

function expandHome(path: string, env: Environment): string {
  if (path !== '~' && !path.startsWith('~/')) return path
  return join(env['HOME'] ?? homedir(), path.slice(1))
}

export function usualStateDir(env: Environment, platform: string = process.platform): string {
  return join(stateHome(env, platform), 'kiro-gateway')
}

function stateHome(env: Environment, platform: string): string {
  const named = platform === 'win32' ? env['LOCALAPPDATA'] : env['XDG_STATE_HOME']
  if (platform === 'darwin') return expandHome('~/Library/Application Support', env)
  if (named !== undefined && isAbsolute(named)) return named
  return expandHome(platform === 'win32' ? '~/AppData/Local' : '~/.local/state', env)
}

export function toSettings(tree: unknown) {
  if (!Check(Settings, tree)) throw new Error('a default in settings.ts is outside its own bounds')
  return tree
}

/**
 * Takes from `next` what can change while running, and names changed settings that need a restart.
 * @throws {GatewayError} GW_CONFIG_INVALID if old and new values contradict each other
 */
export function reload(running: Config, next: Config) {
  const tree: Record<string, Record<string, unknown>> = {}
  const needRestart: string[] = []
  for (const { group, name, setting } of listSettings()) {
    const [before, after] = [running, next].map((config) => settingValue(config, group, name))
    const isFixed = setting.restart === true
    if (isFixed && JSON.stringify(before) !== JSON.stringify(after)) needRestart.push(setting.env)
    const values = (tree[group] ??= {})
    values[name] = isFixed ? before : after
  }
  const { isProduction } = running
  const config: Config = { ...toSettings(tree), isProduction, managed: next.managed }
  const problems = crossCheck(config).problems.map(({ sentence }) => sentence)
  if (problems.length > 0) throw configInvalid(problems)
  return { config, needRestart }
}

export function withoutEmpty(env: Environment): Environment {
  return Object.fromEntries(Object.entries(env).filter(([, text = '']) => text.trim() !== ''))
}

export function withOwnNames(env: Environment): Environment {
  const named = { ...env }
  for (const { setting } of listSettings()) {
    const { env: name, alias } = setting
    const text = alias === undefined ? undefined : env[alias]
    if (alias === undefined || text === undefined) continue
    if (text.trim() !== '' || env[name] === undefined) named[name] = text
    delete named[alias]
  }
  return named
}

export function configInvalid(problems: readonly string[], cause?: unknown): GatewayError {
  const heading =
    problems.length === 1
      ? 'The configuration is not valid:'
      : `The configuration has ${problems.length} problems:`
  const message = [heading, ...problems.map((problem) => `- ${problem}`)].join('\n')
  return operatorError(message, cause)
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner)
    Object.freeze(value)
  }
  return value
}

/** Returns the command line of the gateway and every setting. */
export function settingsHelp(): string {
  const settings = listSettings().map(({ setting }) => setting)
  const options = settings.flatMap((setting) =>
    setting.option === undefined
      ? []
      : `  ${`--${setting.option} <value>`.padEnd(18)} ${setting.description} Overrides ${setting.env}.`
  )
  const rows = settings.map((setting) => {
    const value = writeSetting(setting, setting.default)
    const allowed = `${describeAllowed(setting)}; default ${value === '' ? 'not set' : value}`
    return `  ${setting.env}\n      ${setting.description}\n      ${allowed}`
  })
  return [
    'Usage: kiro-gateway [options]',
    '',
    'Options:',
    '',
    ...options,
    '  --help             Prints commands and the most used settings.',
    '  --version          Prints the version.',
    '',
    'Settings, from the environment or from .env in the working folder:',
    '',
    ...rows,
    ''
  ].join('\n')
}
