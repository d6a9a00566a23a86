import { hkdfSync, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/settings.ts'
import type { Logger } from '../observe/logger.ts'
import { codeOf } from '../shared/errors.ts'
import {
  createPrivateFile,
  makeFolder,
  readPrivateFile,
  replaceFile
} from '../shared/private-files.ts'

const KEY_BYTES = 32
const KEY = /^[0-9a-f]{64}$/
const FILE = 'compaction.key'
const MAX_FILE_BYTES = 128

/**
 * Returns the keys of compacted conversations, hexadecimal: of the fleet's secrets, or of a file that is made at the
 * first start. Without a usable file they are good until the gateway ends. Rejects as reading FLEET_SECRET_FILE.
 */
export async function compactionKeys(
  { fleet, credentials }: Pick<Config, 'fleet' | 'credentials'>,
  log: Pick<Logger, 'warn'>
): Promise<readonly string[]> {
  const path = join(credentials.stateDir, FILE)
  if (fleet.url !== null) {
    const { fleetSecrets } = await import('../fleet/fleet-secrets.ts')
    const keys = (await fleetSecrets(fleet)).map((secret) => keyOf(secret, fleet.name))
    const alone = await keyIn(path).catch(() => null) // opens here what was sealed before there was a fleet
    return alone === null ? keys : [...keys, alone]
  }
  try {
    await makeFolder(credentials.stateDir)
    return [(await keyIn(path)) ?? (await makeKey(path))]
  } catch (cause) {
    log.warn({ path, code: codeOf(cause) || 'unknown' }, UNKEPT)
    return [newKey()]
  }
}

const UNKEPT =
  'the key of compacted conversations cannot be kept: they cannot be gone on with after a restart'

function keyOf(secret: string, name: string): string {
  const made = hkdfSync('sha256', secret, '', `kiro-gateway compaction ${name}`, KEY_BYTES)
  return Buffer.from(made).toString('hex')
}

/** `null` without a file, and for an empty one. Rejects with Node's error, and for a file of anything else. */
async function keyIn(path: string): Promise<string | null> {
  try {
    const text = (await readPrivateFile(path, MAX_FILE_BYTES)).toString().trim()
    if (text === '') return null
    if (KEY.test(text)) return text
    throw Object.assign(new Error('it is no key'), { code: 'EINVAL' })
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return null
    throw cause
  }
}

/** Time for another gateway with this folder, which may be first, to write its key. */
const WRITING_MS = 100

async function makeKey(path: string): Promise<string> {
  const key = newKey()
  try {
    await createPrivateFile(path, `${key}\n`)
    return key
  } catch (cause) {
    if (codeOf(cause) !== 'EEXIST') throw cause
  }
  await sleep(WRITING_MS)
  const made = await keyIn(path)
  if (made !== null) return made
  // A crash has left it empty.
  await replaceFile(path, { text: `${key}\n`, mode: 0o600, isDurable: true })
  return key
}

function newKey(): string {
  return randomBytes(KEY_BYTES).toString('hex')
}
