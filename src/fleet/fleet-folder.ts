import { randomUUID } from 'node:crypto'
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { GatewayError } from '../shared/errors.ts'
import { makePrivateFolder, readPrivateFile, replaceFile } from '../shared/private-files.ts'
import { type Checked, jsonReader, mapOf, Type } from '../shared/schema-type.ts'

const MAX_INCS = 16
const MAX_BYTES = 262_144
const POLL_MS = 250
const LOCK = 'fleet.lock'
const LINKED = { message: 'STATE_DIR: fleet.lock is a symbolic link, which is not followed.' }

const Memory = Type.Object({
  incs: Type.Array(Type.String(), { maxItems: MAX_INCS }),
  known: mapOf(Type.String())
})

export type FolderMemory = Checked<typeof Memory>

const parseMemory = jsonReader(Memory)

/**
 * Proves that earlier processes of this replica have ended: each, with its workers, holds a lock in STATE_DIR while it
 * lives, even when stopped.
 *
 *   fleet.lock  an SQLite file: each gateway reads it and never ends reading    fleet.json  what was left for the next
 */
export class FleetFolder {
  readonly memory: FolderMemory
  readonly #path: string
  readonly #lock: DatabaseSync
  #written = ''
  #writing: Promise<void> = Promise.resolve()

  private constructor(folder: string, lock: DatabaseSync, memory: FolderMemory) {
    this.#path = join(folder, 'fleet.json')
    this.#lock = lock
    this.memory = memory
  }

  /** Waits for the lock; `null` if that takes too long. @throws {GatewayError} GW_CONFIG_INVALID for a link */
  static async take(folder: string, patienceMs: number): Promise<FleetFolder | null> {
    await makePrivateFolder(folder)
    const facts = await lstat(join(folder, LOCK)).catch(() => undefined)
    if (facts?.isSymbolicLink() === true)
      throw new GatewayError('GW_CONFIG_INVALID', undefined, LINKED)
    const deadline = performance.now() + patienceMs
    for (;;) {
      const lock = tryLock(folder)
      if (lock !== null) {
        const memory = await readMemory(join(folder, 'fleet.json'))
        lock.exec('COMMIT')
        hold(lock)
        return new FleetFolder(folder, lock, memory)
      }
      if (performance.now() >= deadline) return null
      await sleep(POLL_MS)
    }
  }

  /** @throws if the folder cannot be written: nothing may be held then, since the next process would not know of it. */
  remember(memory: FolderMemory): Promise<void> {
    const written = this.#writing.then(() => this.#write(memory)) // what was said last must stand there
    this.#writing = written.catch(() => {})
    return written
  }

  async #write(memory: FolderMemory): Promise<void> {
    const incs = [...new Set(memory.incs)].slice(-MAX_INCS)
    const text = `${JSON.stringify({ incs, known: memory.known })}\n`
    if (text === this.#written) return
    await replaceFile(this.#path, { text, mode: 0o600, isDurable: true })
    this.#written = text
  }

  close(): void {
    this.#lock.close()
  }
}

/** Workers hold the lock, too, until their process ends. */
export function holdFleetLock(folder: string): DatabaseSync {
  const lock = new DatabaseSync(join(folder, LOCK), { timeout: 5_000 })
  hold(lock)
  return lock
}

export function createIncarnation(podUid: string | null): string {
  return podUid === null ? randomUUID() : `${podUid}.${randomUUID().slice(0, 8)}`
}

function hold(lock: DatabaseSync): void {
  lock.exec('BEGIN')
  lock.prepare('SELECT count(*) FROM sqlite_master').get()
}

function tryLock(folder: string): DatabaseSync | null {
  const lock = new DatabaseSync(join(folder, LOCK), { timeout: 0 })
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch {
    lock.close()
    return null
  }
}

async function readMemory(path: string): Promise<FolderMemory> {
  const bytes = await readPrivateFile(path, MAX_BYTES).catch(() => null)
  return parseMemory(bytes === null ? null : bytes.toString()) ?? { incs: [], known: {} }
}
