import { createHash, randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { codeOf, GatewayError, operatorError } from '../shared/errors.ts'
import { FileLock } from '../shared/file-lock.ts'
import { isOwnFile, makeFolder, openPrivateFile, replaceFile } from '../shared/private-files.ts'
import type { NamedKey } from './key.ts'
import { NO_LIMITS, type NamedKeyLimits } from './key-changes.ts'
import { formatKeysFile, type KeysFile, NO_KEYS, parseKeysFile } from './key-file.ts'

const MAX_FILE_BYTES = 4 * 1024 * 1024

export function keysPath(stateDir: string): string {
  return resolve(join(stateDir, 'keys.json'))
}

export interface FoundKeys extends KeysFile {
  readonly warnings: readonly string[]
}

/**
 * `null` without a file.
 * @throws {GatewayError} GW_CONFIG_INVALID for one that is damaged, too new, a link, or another user's
 */
export async function readKeys(path: string): Promise<FoundKeys | null> {
  try {
    await using file = await openPrivateFile(path)
    const facts = await file.stat()
    if (!facts.isFile()) throw refused(path, 'is not a plain file.')
    if (!isOwnFile(facts) && facts.uid !== (await gatewayOf(path))?.uid) {
      throw refused(path, `belongs to another user (uid ${facts.uid}).`)
    }
    if (facts.size > MAX_FILE_BYTES) throw refused(path, `is too large (${facts.size} bytes).`)
    const found = parseKeysFile(await file.readFile('utf8'), path)
    const isOpen = process.platform !== 'win32' && (facts.mode & 0o077) !== 0
    const warnings = isOpen
      ? [`${path} can be read by other users of this machine: chmod 600 ${path}`]
      : []
    return { ...found, warnings }
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause
    const code = codeOf(cause)
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    const problem =
      code === 'ELOOP' ? 'is a symbolic link, which is not followed.' : `cannot be read (${code}).`
    throw refused(path, problem, cause)
  }
}

/**
 * Writes what `change` makes of the keys; resolves once the disk has it. If `change` throws, the file stays
 * as it was.
 * @throws {GatewayError} as `readKeys()`; GW_CONFIG_INVALID if the file cannot be written
 * @throws the signal's reason while another process has the file
 */
export async function changeKeys(
  path: string,
  change: (keys: readonly NamedKey[]) => readonly NamedKey[],
  signal: AbortSignal
): Promise<readonly NamedKey[]> {
  const lockPath = join(dirname(path), '.keys.json.lock')
  const note = 'kiro-gateway changes the keys'
  await makeFolder(dirname(path)).catch((cause: unknown) => {
    throw notWritten(path, cause)
  })
  const lock = await new FileLock({ path: lockPath, fallbackPath: lockPath, note }).acquire(signal)
  try {
    const before = (await readKeys(path)) ?? NO_KEYS
    const keys = change(before.keys)
    const text = formatKeysFile(before, keys)
    parseKeysFile(text, path) // what could not be read again is not written
    const owner = await gatewayOf(path)
    await replaceFile(path, { text, mode: 0o600, isDurable: true, owner }).catch(
      (cause: unknown) => {
        throw notWritten(path, cause)
      }
    )
    return keys
  } finally {
    await lock?.release()
  }
}

/** Owner of the folder, if root changes keys (`sudo`, `docker exec -u 0`): the gateway has to read the file. */
async function gatewayOf(path: string): Promise<Pick<Stats, 'uid' | 'gid'> | null> {
  return process.geteuid?.() === 0 ? stat(dirname(path)) : null
}

/** Makes a key of 256 random bits, shown once and stored nowhere. Its prefix is for people and for secret scanners. */
export function makeKey() {
  const text = `kgw_${randomBytes(32).toString('base64url')}`
  return { text, sha256: createHash('sha256').update(text).digest('hex') }
}

/** Makes a named key that is in force; its text is not stored. */
export function makeNamedKey(
  name: string,
  limits: Partial<NamedKeyLimits>,
  now: number
): { readonly key: NamedKey; readonly text: string } {
  const { text, sha256 } = makeKey()
  const key = {
    ...NO_LIMITS,
    ...limits,
    id: makeKeyId(),
    name,
    hashes: [{ sha256, until: null }],
    revokedAt: null,
    createdAt: now,
    reopened: null
  }
  return { key, text }
}

export function makeKeyId(): string {
  return `k_${randomBytes(9).toString('base64url')}`
}

function notWritten(path: string, cause: unknown): GatewayError {
  return refused(
    path,
    `cannot be written (${codeOf(cause)}). Make the folder writable, or set STATE_DIR to another.`,
    cause
  )
}

function refused(path: string, problem: string, cause?: unknown): GatewayError {
  return operatorError(`${path} ${problem}`, cause)
}
