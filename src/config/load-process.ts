import { readFileSync } from 'node:fs'
import { parse } from 'dotenv'
import type { Config } from './settings.ts'
import { configInvalid, type Environment, loadConfig, withoutEmpty, withOwnNames } from './load.ts'

/** As `LoadResult`, and what was read. */
export type ProcessLoadResult =
  | {
      readonly name: 'config'
      readonly config: Config
      readonly warnings: readonly string[]
      /** The file that had a say; `null` if there was none. */
      readonly file: string | null
    }
  | { readonly name: 'print'; readonly text: string }

/**
 * Reads the real environment, which wins over `envFile`, and the command line, which wins over both. Leaves
 * `process.env` as it is, so that a later call (SIGHUP) sees what the file says then.
 *
 * A file named by `ENV_FILE` takes the place of `envFile` and wins over the real environment: a container keeps
 * the environment it was made with, and only a file can change between its restarts. Where to listen still is the
 * environment's word, as published port and health check go by that.
 *
 * A running gateway gives as `lastFile` what it has read before: a file that is gone since must not be taken for an
 * empty one, which would ask for no client key.
 *
 * @throws {GatewayError} GW_CONFIG_INVALID
 */
export function loadProcessConfig(
  argv: readonly string[],
  envFile: string,
  lastFile: string | null = null
): ProcessLoadResult {
  const real = withOwnNames(withoutEmpty(process.env))
  const ruling = real['ENV_FILE']
  const content = ruling === undefined ? readFile(envFile) : readRulingFile(ruling)
  const { warnings } = content
  const values = content.values === null ? null : withOwnNames(content.values)
  const file = values === null ? null : (ruling ?? envFile)
  if (file === null && lastFile !== null) throw configInvalid([`${lastFile} cannot be read.`])
  const env =
    ruling === undefined ? { ...values, ...real } : { ...real, ...values, ...addressOf(real) }
  const loaded = loadConfig(env, argv)
  if (loaded.name === 'print') return loaded
  return { ...loaded, warnings: [...warnings, ...loaded.warnings], file }
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
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return null
    throw configInvalid([`${path} cannot be read: ${String(cause)}`], cause)
  }
}

interface FileContent {
  readonly values: Environment | null
  readonly warnings: readonly string[]
}

function readFile(path: string): FileContent {
  return { values: readEnvFile(path), warnings: [] }
}

/** One that can't be read is no reason to stay away: it may be readable for its owner only, and the environment is there. */
function readRulingFile(path: string): FileContent {
  try {
    return { values: parse(readFileSync(path)), warnings: [] }
  } catch (cause) {
    const warning = `ENV_FILE cannot be read, so the environment alone counts: ${String(cause)}`
    return { values: null, warnings: [warning] }
  }
}

function addressOf({ SERVER_HOST, SERVER_PORT }: Environment): Environment {
  return { ...(SERVER_HOST && { SERVER_HOST }), ...(SERVER_PORT && { SERVER_PORT }) }
}
