import { randomUUID } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { link, lstat, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, GatewayError } from './errors.ts'
import { parseJsonObject, textMember } from './json.ts'
import {
  createPrivateFile,
  makeInnerFolder,
  openPrivateFile,
  replaceFile
} from './private-files.ts'
import { isAlive, placeOf, startTimeOf } from './process-mark.ts'

export interface FileLockOptions {
  /** Lock file beside what it protects, respected by other programs. */
  readonly path: string | null
  readonly fallbackPath: string
  readonly note: string
  /** A lock not extended for this long is free. */
  readonly ttlMs?: number
  /** Called once when another process is seen to have the lock. */
  readonly onTaken?: () => void
}

/** Follows links, so all paths to a source share a lock. */
export function lockPathOf(source: string): string {
  const path = realPathOf(source)
  return join(dirname(path), `.${basename(path)}.kiro-gateway.lock`)
}

function realPathOf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path // not there yet
  }
}

const TTL_MS = 30_000
/** Shortest wait that outlasts the lock of a process that was killed and cannot be seen, as in another container. */
export const LOCK_PATIENCE_MS = TTL_MS + 5_000
/** An empty lock is being made, or its maker was killed. */
const EMPTY_TTL_MS = 2_000
const POLL_MS = 50
const MAX_LOCK_BYTES = 1024

/**
 * Exclusive right to write a file or renew its sign-in. A lock is free once its owner is gone (by pid and start time,
 * within one pid namespace) or has not extended it. Processes that cannot see each other count only time watched
 * themselves: clocks may be a day apart.
 */
export class FileLock {
  readonly #options: FileLockOptions

  constructor(options: FileLockOptions) {
    this.#options = options
  }

  /** Returns `null` if files cannot be created: then there is no lock. @throws the signal's reason */
  async acquire(signal: AbortSignal): Promise<HeldLock | null> {
    const { path, fallbackPath } = this.#options
    const beside = path === null ? null : await this.#acquireAt(path, signal)
    if (beside !== null) return beside
    try {
      await makeInnerFolder(dirname(fallbackPath))
    } catch {
      return null // no folder of our own: the vault says so
    }
    return this.#acquireAt(fallbackPath, signal)
  }

  async #acquireAt(path: string, signal: AbortSignal): Promise<HeldLock | null> {
    const { note, ttlMs = TTL_MS, onTaken } = this.#options
    const owner = randomUUID()
    let seen = { text: '', since: performance.now() }
    let isTaken = false
    for (;;) {
      try {
        await createPrivateFile(path, lockText({ owner, note, ttlMs }))
        return new HeldLock(path, { owner, note, ttlMs })
      } catch (cause) {
        if (codeOf(cause) !== 'EEXIST') return null
      }
      signal.throwIfAborted() // one that is free is worth no waiting
      const text = await readLock(path)
      if (text === null) continue // it was released
      const now = performance.now()
      if (text !== seen.text) seen = { text, since: now }
      if (isAbandoned(text, now - seen.since, ttlMs)) {
        await takeAway(path, text)
        continue
      }
      if (!isTaken) onTaken?.()
      isTaken = true
      await sleep(POLL_MS)
    }
  }
}

export class HeldLock {
  readonly path: string
  readonly #options: LockOptions

  constructor(path: string, options: LockOptions) {
    this.path = path
    this.#options = options
  }

  /** @throws {GatewayError} GW_NOT_READY if another process has taken the lock. */
  async extend(): Promise<void> {
    if (!(await this.#isOurs())) {
      throw new GatewayError('GW_NOT_READY', 'the lock was taken over')
    }
    const text = lockText(this.#options)
    await replaceFile(this.path, { text, mode: 0o600, isDurable: false }).catch(() => {}) // it lapses later
  }

  /** Never rejects: a lock that stays expires. */
  async release(): Promise<void> {
    if (await this.#isOurs()) await unlink(this.path).catch(() => {})
  }

  async #isOurs(): Promise<boolean> {
    const text = await readLock(this.path)
    return text !== null && textMember(parseJsonObject(text) ?? {}, 'owner') === this.#options.owner
  }
}

interface LockOptions extends Pick<FileLockOptions, 'note'> {
  readonly owner: string
  readonly ttlMs: number
}

function lockText({ owner, note, ttlMs }: LockOptions): string {
  const { pid } = process
  const lock = {
    note,
    owner,
    place: placeOf(),
    pid,
    start: startTimeOf(pid),
    expiresAt: new Date(Date.now() + ttlMs).toISOString()
  }
  return `${JSON.stringify(lock)}\n`
}

async function readLock(path: string): Promise<string | null> {
  try {
    await using file = await openPrivateFile(path)
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(MAX_LOCK_BYTES),
      0,
      MAX_LOCK_BYTES,
      0
    )
    return buffer.toString('utf8', 0, bytesRead)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return null
    const facts = await lstat(path).catch(() => null) // another user's: only when it was written can be seen
    return `unreadable ${facts?.mtimeMs}`
  }
}

function isAbandoned(text: string, watchedMs: number, ttlMs: number): boolean {
  if (text === '') return watchedMs >= Math.min(EMPTY_TTL_MS, ttlMs)
  const lock = parseJsonObject(text) ?? {}
  const pid = Number(lock['pid'])
  const isVisible = textMember(lock, 'place') === placeOf()
  if (isVisible && !isAlive(pid, textMember(lock, 'start'))) return true
  const expiresAt = Date.parse(textMember(lock, 'expiresAt') ?? '')
  return (isVisible && expiresAt < Date.now()) || watchedMs >= ttlMs
}

/** Renaming lets only one of two processes have an abandoned lock. A late one gets a newer lock and puts it back. */
async function takeAway(path: string, text: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`
  try {
    await rename(path, aside)
  } catch {
    return // another process was first
  }
  if ((await readLock(aside)) !== text) await link(aside, path).catch(() => {})
  await unlink(aside).catch(() => {})
}
