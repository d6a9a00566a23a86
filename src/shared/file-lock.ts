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
  /** Beside what it protects, where everybody looks who means to write that. */
  readonly path: string | null
  /** In a folder of our own, for where that one cannot be made. */
  readonly fallbackPath: string
  /** Purpose of the lock, for people who find the file. */
  readonly note: string
  /** Time without an extension after which a lock is free. */
  readonly ttlMs?: number
}

/** Path of a source's lock. A source reached through a link has the same one. */
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
/** A lock without content is one that is just being made, or whose maker was killed then. */
const EMPTY_TTL_MS = 2_000
const POLL_MS = 50
const MAX_LOCK_BYTES = 1024

/**
 * Exclusive right to write a file, or to renew the sign-in in it, among all processes that share it: a file beside it
 * that names its owner and when it lapses.
 *
 * A lock is free once its owner is gone (told by pid and start of the process, within one pid namespace), or once it
 * has not been extended for its time. For processes that cannot see each other only what they have watched themselves
 * counts: clocks of two machines may be a day apart.
 */
export class FileLock {
  readonly #options: FileLockOptions

  constructor(options: FileLockOptions) {
    this.#options = options
  }

  /**
   * Waits until it is free. `null` if files cannot be created: then there is no lock, and nothing to wait for.
   *
   * @throws the signal's reason, if another process has it
   */
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
    const { note, ttlMs = TTL_MS } = this.#options
    const owner = randomUUID()
    let seen = { text: '', since: performance.now() }
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
      if (isAbandoned(text, now - seen.since, ttlMs)) await takeAway(path, text)
      else await sleep(POLL_MS)
    }
  }
}

/** A lock that is ours until it is released, or was not extended in time. */
export class HeldLock {
  readonly path: string
  readonly #terms: LockTerms

  constructor(path: string, terms: LockTerms) {
    this.path = path
    this.#terms = terms
  }

  /** Extends the lock. @throws {GatewayError} GW_NOT_READY when another process has taken it. */
  async extend(): Promise<void> {
    if (!(await this.#isOurs())) {
      throw new GatewayError('GW_NOT_READY', 'the lock was taken over')
    }
    const text = lockText(this.#terms)
    await replaceFile(this.path, { text, mode: 0o600, isDurable: false }).catch(() => {}) // it lapses later
  }

  /** Never rejects: a lock that stays lapses. */
  async release(): Promise<void> {
    if (await this.#isOurs()) await unlink(this.path).catch(() => {})
  }

  async #isOurs(): Promise<boolean> {
    const text = await readLock(this.path)
    return text !== null && textMember(parseJsonObject(text) ?? {}, 'owner') === this.#terms.owner
  }
}

interface LockTerms extends Pick<FileLockOptions, 'note'> {
  readonly owner: string
  readonly ttlMs: number
}

function lockText({ owner, note, ttlMs }: LockTerms): string {
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

/** `null` where there is none. */
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

/**
 * Two may find the same lock abandoned: renaming lets only one of them have it. One that is too late gets a lock that was
 * made since, and puts it back.
 */
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
