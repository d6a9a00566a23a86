import { readFile, stat } from 'node:fs/promises'
import { GatewayError } from '../shared/errors.ts'
import { type JsonObject, parseJsonObject } from '../kiro/json-object.ts'

const MAX_FILE_BYTES = 1024 * 1024

export interface JsonFileOptions {
  readonly path: string
  /** The setting that names the file. */
  readonly setting: string
  /** A sentence about what should be in it. */
  readonly expected: string
}

/**
 * Reads a small JSON file that people or other programs wrote.
 *
 * @throws {GatewayError} GW_CONFIG_INVALID that names setting, path, problem and what is expected; never content.
 */
export async function readJsonFile(options: JsonFileOptions): Promise<JsonObject> {
  const { path } = options
  let text: string
  try {
    const { size, ...stats } = await statFile(path)
    if (stats.isFolder) {
      // Docker makes a folder when the file to mount does not exist.
      throw fileError(options, 'is a folder. In a container: does the mounted file exist?')
    }
    if (size > MAX_FILE_BYTES)
      throw fileError(options, `has ${size} bytes, over the limit of 1 MB.`)
    text = await readFile(path, 'utf8')
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause
    throw fileError(options, describeCause(cause), cause)
  }
  const object = parseJsonObject(text.replace(/^\uFEFF/, ''))
  if (object === null) throw fileError(options, 'is not a JSON object.')
  return object
}

/** An error about a file, for the operator. */
export function fileError(
  options: JsonFileOptions,
  problem: string,
  cause?: unknown
): GatewayError {
  const { setting, path, expected } = options
  return new GatewayError('GW_CONFIG_INVALID', undefined, {
    message: `${setting}: ${path} ${problem} ${expected}`,
    ...(cause === undefined ? {} : { cause })
  })
}

/** Anything that is not a plain file (a pipe would wait for ever) counts as a folder or as nothing. */
async function statFile(path: string): Promise<{ size: number; isFolder: boolean }> {
  const stats = await stat(path)
  if (!stats.isFile() && !stats.isDirectory()) throw new Error('not a plain file')
  return { size: stats.size, isFolder: stats.isDirectory() }
}

function describeCause(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'does not exist.'
  if (code === 'EACCES' || code === 'EPERM') {
    return `may not be read by this user (uid ${process.geteuid?.() ?? 'unknown'}).`
  }
  return typeof code === 'string' ? `cannot be read (${code}).` : 'is not a plain file.'
}
