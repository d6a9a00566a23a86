import { lstat, readFile, stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { codeOf, operatorError, GatewayError } from '../shared/errors.ts'
import { type JsonObject, parseJsonObject } from '../shared/json.ts'
import { isOwnFile, openPrivateFile } from '../shared/private-files.ts'

const MAX_FILE_BYTES = 1024 * 1024
const HALF_WRITTEN_MS = 100

export interface JsonFileOptions {
  readonly path: string
  readonly setting: string
  readonly expected: string
  readonly isOwn?: boolean
}

/** Reads a small JSON file, twice if half written. @throws {GatewayError} GW_CONFIG_INVALID without its content */
export async function readJsonFile(options: JsonFileOptions): Promise<JsonObject> {
  const object = parseObject(await readText(options))
  if (object !== null) return object
  await delay(HALF_WRITTEN_MS)
  const again = parseObject(await readText(options))
  if (again === null) throw fileError(options, 'is not a JSON object.')
  return again
}

export function fileError(
  { setting, path, expected }: JsonFileOptions,
  problem: string,
  cause?: unknown
): GatewayError {
  return operatorError(`${setting}: ${path} ${problem} ${expected}`, cause)
}

function parseObject(text: string): JsonObject | null {
  return parseJsonObject(text.replace(/^\uFEFF/, ''))
}

async function readText(options: JsonFileOptions): Promise<string> {
  const { path, isOwn = false } = options
  try {
    const facts = isOwn ? await lstat(path) : await stat(path)
    if (facts.isSymbolicLink())
      throw fileError(options, 'is a symbolic link, which is not followed here.')
    if (facts.isDirectory()) {
      // Docker makes a folder when the file to mount does not exist.
      throw fileError(
        options,
        'is a folder. In a container, check that the mounted file exists on the host.'
      )
    }
    if (!facts.isFile()) throw fileError(options, 'is not a plain file.') // a pipe would wait for ever
    if (facts.size > MAX_FILE_BYTES)
      throw fileError(options, `has ${facts.size} bytes, more than the limit of 1 MB.`)
    if (!isOwn) return await readFile(path, 'utf8')
    await using file = await openPrivateFile(path)
    if (!isOwnFile(await file.stat()))
      throw fileError(options, `belongs to another user (uid ${facts.uid}).`)
    return await file.readFile('utf8')
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause
    throw fileError(options, describeCause(cause), cause)
  }
}

function describeCause(cause: unknown): string {
  const code = codeOf(cause)
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'does not exist.'
  if (code === 'EACCES' || code === 'EPERM') {
    return `is not readable by this user (uid ${process.geteuid?.() ?? 'unknown'}).`
  }
  return `cannot be read (${code}).`
}
