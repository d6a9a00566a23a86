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
import { codeOf } from '../shared/errors.ts'

/** As `LoadResult`, and the file that was read; `null` if there was none. */
export type ProcessLoadResult =
  | Exclude<LoadResult, { name: 'config' }>
  | (Extract<LoadResult, { name: 'config' }> & { readonly file: string | null })

/**
 * Reads the real environment, which wins over `envFile`, and the command line, which wins over both. Leaves
 * `process.env` as it is, so that a later call (SIGHUP) sees what the file says then.
 *
 * A file named by `ENV_FILE` takes the place of `envFile` and wins over the real environment: a container keeps
 * the environment it was made with, and only a file can change between its restarts. The address to listen on still
 * comes from the environment, on which published port and health check rely.
 *
 * A running gateway passes as `lastFile` the file that it read before: a file that is gone since must not be taken for an
 * empty one, which would ask for no client key.
 *
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
  return { ...loaded, warnings: [...warnings, ...loaded.warnings], file }
}

/** The environment that settings are read from. */
export interface ReadEnvironment {
  readonly env: Environment
  /** The file that was read; `null` if there was none. */
  readonly file: string | null
  /** The names in that file. */
  readonly fileNames: ReadonlySet<string>
  readonly warnings: readonly string[]
}

/** Reads `envFile`, or the file that `ENV_FILE` names, and puts it together with the real environment. */
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

/**
 * Uses an old state folder: `STATE_DIR` once was `state` in the working folder, and a gateway with data there keeps it,
 * so that a new sign-in is not needed.
 */
function withOldState(env: Environment, workingFolder: string): Environment {
  if ((env['STATE_DIR'] ?? '').trim() !== '') return env
  const folder = join(workingFolder, 'state')
  const isUsed = ['credentials', 'responses'].some((name) => existsSync(join(folder, name)))
  return isUsed ? { ...env, STATE_DIR: folder } : env
}

/**
 * Reads a `.env` file without touching `process.env`. `null` if it does not exist.
 *
 * @throws {GatewayError} GW_CONFIG_INVALID when the file is there and cannot be read
 */
export function readEnvFile(path: string): Environment | null {
  try {
    return parse(readFileSync(path))
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return null
    throw configInvalid([`${path} cannot be read: ${String(cause)}`], cause)
  }
}

/**
 * Environment of child processes: variables of Node and the system's libraries, and no secrets. Settings reach workers
 * by messages, without what could renew the sign-in; an attacker would read the environment first. Left-out names are
 * present without a value, because Node adds missing ones.
 */
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

/** `LC_` names a language, `UV_` sizes libuv's threads, `MALLOC_` tunes the heap of the C library. */
function isForChildren(name: string): boolean {
  return FOR_CHILDREN.has(name) || /^(LC|UV|MALLOC)_[A-Z_]+$/.test(name)
}

/**
 * A file that cannot be read does not stop the gateway: it may be readable by its owner only, and the environment is
 * there.
 */
function readRulingFile(path: string, warnings: string[]): Environment | null {
  try {
    return parse(readFileSync(path))
  } catch (cause) {
    warnings.push(`ENV_FILE cannot be read, so only the environment applies: ${String(cause)}`)
    return null
  }
}

function addressOf({ SERVER_HOST, SERVER_PORT }: Environment): Environment {
  return { ...(SERVER_HOST && { SERVER_HOST }), ...(SERVER_PORT && { SERVER_PORT }) }
}
