import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parse } from 'dotenv'
import {
  configInvalid,
  type Environment,
  loadConfig,
  type LoadResult,
  withoutEmpty,
  withOwnNames
} from './load.ts'
import { readManagedSettings } from './managed-settings.ts'
import type { Config } from './settings.ts'
import { codeOf } from '../shared/errors.ts'

type ConfigLoaded = Extract<LoadResult, { name: 'config' }>

export type ProcessLoadResult =
  | Exclude<LoadResult, { name: 'config' }>
  | (ConfigLoaded & { readonly file: string | null })

/**
 * Reads the command line, then the environment, then `envFile`; `ENV_FILE` names a file that precedes the environment,
 * except for the address. Leaves `process.env` alone, so that SIGHUP sees the file's new content. If `lastFile` is
 * gone, it must not count as empty, which would ask for no client key.
 * @throws {GatewayError} GW_CONFIG_INVALID
 */
export function loadProcessConfig(
  argv: readonly string[],
  envFile: string,
  lastFile: string | null = null
): ProcessLoadResult {
  const { env, file, fileNames, warnings } = readEnvironment(envFile)
  if (file === null && lastFile !== null) throw configInvalid([`${lastFile} cannot be read.`])
  const loaded = loadConfig(env, argv, fileNames)
  if (loaded.name === 'print') return loaded
  const { config, warnings: more } = withManagedSettings(loaded.config)
  return { ...loaded, config, warnings: [...warnings, ...loaded.warnings, ...more], file }
}

/** @throws {GatewayError} GW_CONFIG_INVALID */
function withManagedSettings(config: Config): Pick<ConfigLoaded, 'config' | 'warnings'> {
  const path = config.clients.managedSettingsFile
  if (path === null) return { config, warnings: [] }
  const { managed, warnings } = readManagedSettings(path)
  return { config: Object.freeze({ ...config, managed: Object.freeze(managed) }), warnings }
}

export interface ReadEnvironment {
  readonly env: Environment
  readonly file: string | null
  readonly fileNames: ReadonlySet<string>
  readonly warnings: readonly string[]
}

export function readEnvironment(envFile: string): ReadEnvironment {
  const real = withOwnNames(withoutEmpty(process.env))
  const ruling = real['ENV_FILE']
  const warnings: string[] = []
  const content = ruling === undefined ? readEnvFile(envFile) : readRulingFile(ruling, warnings)
  const values = content === null ? null : withOwnNames(content)
  const file = values === null ? null : (ruling ?? envFile)
  const env =
    ruling === undefined ? { ...values, ...real } : { ...real, ...values, ...addressOf(real) }
  const fileNames = new Set(Object.keys(values ?? {}))
  return { env: withOldState(env, dirname(envFile)), file, fileNames, warnings }
}

export type SettingSource = 'argument' | 'environment' | 'file' | 'default'

/** Tells where the value of a setting would come from now. */
export function settingSources(
  argv: readonly string[],
  envFile: string
): { readonly of: (name: string, option?: string) => SettingSource; readonly file: string | null } {
  const real = withOwnNames(withoutEmpty(process.env))
  const { env, file, fileNames } = readEnvironment(envFile)
  const isFileFirst = real['ENV_FILE'] !== undefined
  return {
    file,
    of: (name, option) => {
      if (option !== undefined && argv.some((word) => word.split('=', 1)[0] === `--${option}`))
        return 'argument'
      if (env[name] === undefined) return 'default'
      const isInFile = fileNames.has(name) && (isFileFirst || real[name] === undefined)
      return isInFile ? 'file' : 'environment'
    }
  }
}

/** Keeps an old state folder in use: `STATE_DIR` once was `state` in the working folder. */
function withOldState(env: Environment, workingFolder: string): Environment {
  if ((env['STATE_DIR'] ?? '').trim() !== '') return env
  const folder = join(workingFolder, 'state')
  const isUsed = ['credentials', 'responses'].some((name) => existsSync(join(folder, name)))
  return isUsed ? { ...env, STATE_DIR: folder } : env
}

/** Reads the settings of a gateway that runs in another folder, without those of this process. @throws {GatewayError} likewise */
export function readSettingsFile(file: string, folder: string): Environment {
  return withOldState(withOwnNames(readEnvFile(file) ?? {}), folder)
}

/** Returns `null` if the file does not exist. @throws {GatewayError} GW_CONFIG_INVALID if it cannot be read */
export function readEnvFile(path: string): Environment | null {
  try {
    return parse(readText(path))
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return null
    throw configInvalid([`${path} cannot be read: ${String(cause)}`], cause)
  }
}

/** Throws for UTF-16 and the like, which would count as a file without a single setting, and so without keys. */
function readText(path: string): string {
  const bytes = readFileSync(path)
  if (!bytes.includes(0)) return bytes.toString()
  throw new Error('it is not UTF-8 text')
}

/** Variables of Node and system libraries, no secrets. Others have no value: Node would add missing ones. */
export function childEnvironment(): Readonly<Record<string, string | undefined>> {
  const entries = Object.entries(process.env)
  return Object.fromEntries(
    entries.map(([name, value]) => [name, isForChildren(name) ? value : undefined])
  )
}

const FOR_CHILDREN: ReadonlySet<string> = new Set(
  `PATH HOME TMPDIR TZ TZDIR LANG LANGUAGE RES_OPTIONS LOCALDOMAIN LD_PRELOAD LD_LIBRARY_PATH
  NODE_ENV NODE_OPTIONS NODE_DEBUG NODE_NO_WARNINGS NODE_ICU_DATA NODE_V8_COVERAGE
  NODE_COMPILE_CACHE NODE_COMPILE_CACHE_PORTABLE NODE_DISABLE_COMPILE_CACHE
  NODE_EXTRA_CA_CERTS NODE_USE_SYSTEM_CA NODE_TLS_REJECT_UNAUTHORIZED
  SSL_CERT_FILE SSL_CERT_DIR OPENSSL_CONF OPENSSL_MODULES`.split(/\s+/)
)

/** `LC_`: language, `UV_`: libuv's threads, `MALLOC_`: heap of the C library. */
function isForChildren(name: string): boolean {
  return FOR_CHILDREN.has(name) || /^(LC|UV|MALLOC)_[A-Z_]+$/.test(name)
}

/** An unreadable file does not stop the gateway: it may be readable by its owner only, and the environment is there. */
function readRulingFile(path: string, warnings: string[]): Environment | null {
  try {
    return parse(readText(path))
  } catch (cause) {
    warnings.push(`ENV_FILE cannot be read, so only the environment applies: ${String(cause)}`)
    return null
  }
}

function addressOf({ SERVER_HOST, SERVER_PORT }: Environment): Environment {
  return { ...(SERVER_HOST && { SERVER_HOST }), ...(SERVER_PORT && { SERVER_PORT }) }
}
