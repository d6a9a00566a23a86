import { closeSync, fsyncSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { FileLock } from '../../../src/shared/file-lock.ts'
import { makeCliDatabase, readCliToken, writeCliToken } from '../../helper/cli-database.ts'
import type { Tokens } from './token-service.ts'

export type SourceKind = 'file' | 'database'

const KEY = 'kirocli:social:token'
const PAUSE_MS = 5

/** The one place where all keep the sign-in: the token file of the IDE, or the database of the CLI. */
export class SharedSource {
  readonly env: Readonly<Record<string, string>>
  readonly #kind: SourceKind
  readonly #path: string

  constructor(folder: string, kind: SourceKind, lifeMs: number) {
    this.#kind = kind
    this.#path = join(folder, kind === 'file' ? 'kiro-auth-token.json' : 'data.sqlite3')
    const first = { accessToken: 'a1', refreshToken: 'r1' }
    if (kind === 'file') {
      this.env = { KIRO_CREDS_FILE: this.#path }
      writeFileSync(
        this.#path,
        JSON.stringify({ ...first, expiresAt: endOf(lifeMs), note: 'kept' })
      )
    } else {
      this.env = { KIRO_CLI_DB_FILE: this.#path }
      const token = { ...inSnake(first, lifeMs), region: 'us-east-1', note: 'kept' }
      makeCliDatabase(this.#path, { auth: { [KEY]: token }, isWal: true })
    }
  }

  read(): { readonly refreshToken: string; readonly expiresAt: number; readonly note: unknown } {
    if (this.#kind === 'database') {
      const { refresh_token, expires_at, note } = readCliToken(this.#path, KEY)
      return {
        refreshToken: String(refresh_token),
        expiresAt: Date.parse(String(expires_at)),
        note
      }
    }
    const file = JSON.parse(readFileSync(this.#path, 'utf8')) as Record<string, unknown>
    const { refreshToken, expiresAt, note } = file
    return { refreshToken: String(refreshToken), expiresAt: Date.parse(String(expiresAt)), note }
  }

  /** As the program does whose source it is. The IDE writes in place: readers may see half a file for a moment. */
  async write(tokens: Tokens, lifeMs: number): Promise<void> {
    if (this.#kind === 'database') {
      writeCliToken(this.#path, KEY, inSnake(tokens, lifeMs))
      return
    }
    const before = JSON.parse(readFileSync(this.#path, 'utf8')) as object
    const text = JSON.stringify({ ...before, ...tokens, expiresAt: endOf(lifeMs) })
    const file = openSync(this.#path, 'w')
    writeSync(file, text.slice(0, text.length / 2))
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    writeSync(file, text.slice(text.length / 2))
    fsyncSync(file)
    closeSync(file)
  }

  /** The lock that gateways take before they renew it. */
  lock(): FileLock {
    const folder = dirname(this.#path)
    const name = basename(this.#path)
    return new FileLock({
      path: join(folder, `.${name}.kiro-gateway.lock`),
      fallbackPath: join(folder, 'none', 'lock'),
      note: 'a test'
    })
  }
}

function inSnake({ accessToken, refreshToken }: Tokens, lifeMs: number) {
  const expires_at = endOf(lifeMs).replace('Z', '000000Z')
  return { access_token: accessToken, refresh_token: refreshToken, expires_at }
}

function endOf(lifeMs: number): string {
  return new Date(Date.now() + lifeMs).toISOString()
}
