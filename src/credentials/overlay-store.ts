import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type JsonObject, parseJsonObject, textMember } from '../kiro/json-object.ts'
import type { Logger } from '../observe/logger.ts'
import { makePrivateFolder, replaceFile } from '../shared/private-files.ts'
import { parseExpiry } from './expiry.ts'
import { isTokenText } from './stored-credential.ts'
import type { Successor } from './successor.ts'

const MAX_OVERLAY_BYTES = 1024 * 1024

export interface OverlayStoreOptions {
  /** `STATE_DIR`; made when the first token is saved. */
  readonly stateDir: string
  readonly sourceId: string
  readonly log: Pick<Logger, 'warn'>
}

/**
 * Rotated tokens in a file of our own, so that they survive a restart although their source is read-only.
 * The folder is open to us alone (0700), the file too (0600), and it is never seen half-written.
 */
export class OverlayStore {
  readonly path: string
  readonly #dir: string
  readonly #log: Pick<Logger, 'warn'>

  constructor({ stateDir, sourceId, log }: OverlayStoreOptions) {
    this.#dir = join(stateDir, 'credentials')
    this.path = join(this.#dir, `${sourceId}.json`)
    this.#log = log
  }

  /** The saved tokens; `null` if there are none. A damaged file is reported and counts as none. */
  async load(): Promise<Successor | null> {
    const file = await this.#read()
    if (file === null) return null
    const successor = parseSuccessor(file)
    if (successor === null)
      this.#log.warn({ path: this.path }, 'overlay file is damaged and ignored')
    return successor
  }

  /** Keeps members that we don't know. Rejects with Node's error if the folder cannot be written. */
  async save(successor: Successor): Promise<void> {
    await makePrivateFolder(this.#dir)
    const before = (await this.#read()) ?? {}
    const next = {
      ...before,
      ...successor,
      expiresAt: new Date(successor.expiresAt).toISOString()
    }
    // A single-use token that is lost cannot be asked for again.
    const text = `${JSON.stringify(next, null, 2)}\n`
    await replaceFile(this.path, { text, mode: 0o600, isDurable: true })
  }

  async #read(): Promise<JsonObject | null> {
    try {
      const { size } = await stat(this.path)
      if (size > MAX_OVERLAY_BYTES) return {}
      return parseJsonObject(await readFile(this.path, 'utf8')) ?? {}
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
      if (code !== 'ENOENT' && code !== 'ENOTDIR') {
        this.#log.warn({ path: this.path, code }, 'overlay file cannot be read')
      }
      return null
    }
  }
}

function parseSuccessor(file: JsonObject): Successor | null {
  const derivedFrom = textMember(file, 'derivedFrom')
  const accessToken = textMember(file, 'accessToken')
  const expiresAt = parseExpiry(file['expiresAt'])
  if (derivedFrom === null || accessToken === null || expiresAt === null) return null
  const refreshToken = textMember(file, 'refreshToken')
  if (!isTokenText(accessToken) || (refreshToken !== null && !isTokenText(refreshToken)))
    return null
  return {
    derivedFrom,
    replaces: textMember(file, 'replaces') ?? '',
    accessToken,
    refreshToken,
    expiresAt,
    profileArn: textMember(file, 'profileArn')
  }
}
