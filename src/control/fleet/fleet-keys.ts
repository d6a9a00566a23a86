import { join } from 'node:path'
import type { FleetRecord, FleetRecords } from '../../fleet/fleet-records.ts'
import { MAX_RECORD_LENGTH } from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import { changeKeys, keysPath, readKeys } from '../../keys/key-store.ts'
import {
  formatShared,
  isInFile,
  isSameShared,
  keysOf,
  merge,
  NO_SHARED_KEYS,
  parseShared,
  type SharedKeys,
  tidy,
  withFile
} from '../../keys/shared-keys.ts'
import type { Logger } from '../../observe/logger.ts'
import { messageOf } from '../../shared/errors.ts'
import { LOCK_PATIENCE_MS } from '../../shared/file-lock.ts'
import {
  fileVersion,
  makePrivateFolder,
  readPrivateFile,
  replaceFile
} from '../../shared/private-files.ts'
import { packed, unpacked } from './packed-text.ts'

export interface FleetKeysOptions {
  readonly records: FleetRecords
  readonly seal: Pick<FleetSeal, 'seal' | 'open'>
  readonly stateDir: string
  /** Puts in force what the file says now. Resolves with false if that cannot be read; reports why itself. */
  readonly onWritten: () => Promise<boolean>
  /** Called before the file is written, and if it cannot be read: keys that have ended are over all the same. */
  readonly onMerged: (shared: SharedKeys) => void
  readonly onChange: () => void
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
  readonly pollMs?: number
  readonly retryMs?: number
}

const RECORD = 'keys'
const SEALED_FOR = 'v1|keys'
const POLL_MS = 200
const RETRY_MS = 1_000
const MAX_TRIES = 20
const MAX_BYTES = 8 * 1024 * 1024

/**
 * Shares a fleet's named keys. Each gateway goes by its own file, also without Valkey; changes are merged afterwards.
 * `fleet-keys.json` holds what `keys.json` said when last compared, which shows changes.
 */
export class FleetKeys {
  readonly #options: FleetKeysOptions
  readonly #path: string
  readonly #knownPath: string
  #known: SharedKeys = NO_SHARED_KEYS
  /** Keys not yet in the file. Their ends hold even if Valkey loses them. Bounded by MAX_KEYS. */
  #unwritten: SharedKeys = NO_SHARED_KEYS
  #version: string | null | undefined
  #problem: string | null = 'This gateway is waiting for the named keys of its fleet.'
  /** True if this gateway goes by what was written last. */
  #isInForce = true
  #isMeeting = false
  #isDue = false
  #isClosed = false
  #said: string | null = null
  #poll: NodeJS.Timeout | null = null
  #retry: NodeJS.Timeout | null = null
  #endNews: () => void = () => {}

  constructor(options: FleetKeysOptions) {
    this.#options = options
    this.#path = keysPath(options.stateDir)
    this.#knownPath = join(options.stateDir, 'fleet-keys.json')
  }

  /** Set while the valid keys are unknown, so that no request may be served. */
  get problem(): string | null {
    return this.#problem
  }

  async start(): Promise<void> {
    const bytes = await readPrivateFile(this.#knownPath, MAX_BYTES).catch(() => null)
    this.#known = (bytes === null ? null : parseShared(bytes.toString())) ?? NO_SHARED_KEYS
    this.#endNews = this.#options.records.onNews((name) => {
      if (name === null || name === RECORD) this.#meetSoon()
    })
    this.#poll = setInterval(() => void this.#look(), this.#options.pollMs ?? POLL_MS).unref() // cannot reject
    this.#meetSoon()
  }

  close(): void {
    this.#isClosed = true
    this.#endNews()
    if (this.#poll !== null) clearInterval(this.#poll)
    if (this.#retry !== null) clearTimeout(this.#retry)
  }

  async #look(): Promise<void> {
    if (this.#version === undefined || this.#isMeeting) return
    if ((await fileVersion(this.#path)) !== this.#version) this.#meetSoon()
  }

  #meetSoon(): void {
    this.#isDue = true
    if (!this.#isMeeting && !this.#isClosed) void this.#meetAll() // never rejects
  }

  async #meetAll(): Promise<void> {
    this.#isMeeting = true
    if (this.#retry !== null) clearTimeout(this.#retry)
    while (this.#isDue && !this.#isClosed) {
      this.#isDue = false
      try {
        await this.#meet()
        // Otherwise a gateway that has just joined would go by no keys at all.
        if (!this.#isInForce) this.#isInForce = await this.#options.onWritten()
        if (!this.#isInForce) throw new Error('keys.json cannot be read back on this gateway')
        this.#said = null
        this.#setProblem(null)
      } catch (err) {
        this.#complain(err)
        this.#retry = setTimeout(() => this.#meetSoon(), this.#options.retryMs ?? RETRY_MS).unref()
      }
    }
    this.#isMeeting = false
  }

  /** Makes file and record equal. Rejects if Valkey does not answer, or the file cannot be read or written. */
  async #meet(): Promise<void> {
    const { records, seal, log } = this.#options
    await this.#takeFile().catch(async (cause: unknown) => {
      this.#mergeWith(this.#read(await records.read(RECORD))) // or a damaged file would keep revoked keys valid
      throw cause
    })
    this.#mergeWith(null) // changes of the file count without Valkey, too
    let record = await records.read(RECORD)
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      const found = this.#read(record)
      await this.#write(this.#mergeWith(found))
      this.#unwritten = NO_SHARED_KEYS
      const isThere =
        found === null ? this.#known.keys.size === 0 : isSameShared(found, this.#known)
      if (isThere) return
      const value = seal.seal(packed(formatShared(this.#known)), SEALED_FOR)
      if (value.length > MAX_RECORD_LENGTH) {
        this.#setProblem(null) // what others say is in the file by now
        throw new Error('too many named keys to share: revoke some')
      }
      const answer = await records.cas(RECORD, { rev: record.rev, value })
      if (answer.isWritten) {
        log.info({ keys: this.#known.keys.size }, 'named keys shared with the fleet')
        return
      }
      record = answer.record
    }
    throw new Error('the named keys of the fleet keep changing')
  }

  /** Merges the keys that this gateway knows with those of the fleet, and applies their ends. Throws if a file cannot hold them. */
  #mergeWith(found: SharedKeys | null): SharedKeys {
    const here = merge(this.#known, this.#unwritten)
    const both = found === null ? here : merge(here, found)
    this.#options.onMerged(both)
    const neat = tidy(both)
    if (neat === null) throw new Error('the fleet has too many named keys: revoke some')
    this.#unwritten = neat
    return neat
  }

  #read({ value }: FleetRecord): SharedKeys | null {
    if (value === null) return null
    const text = this.#options.seal.open(value, SEALED_FOR)
    const found = text === null ? null : parseShared(unpacked(text, MAX_BYTES))
    if (found === null) {
      this.#options.log.warn(
        "the record of named keys in the fleet's Valkey is not trusted and is rewritten"
      )
    }
    return found
  }

  /** Applies changes of the file; restores a missing one from its last content. */
  async #takeFile(): Promise<void> {
    this.#version = await fileVersion(this.#path)
    const file = await readKeys(this.#path)
    if (file === null) return this.#write(this.#known)
    const known = withFile(this.#known, file.keys, Date.now())
    if (isSameShared(known, this.#known)) return
    this.#known = known
    await this.#remember()
  }

  /** Writes what is known into the file, with changes made to it meanwhile. */
  async #write(shared: SharedKeys): Promise<void> {
    const file = await readKeys(this.#path)
    let next = shared
    const isThere = file === null ? shared.keys.size === 0 : isInFile(shared, file.keys)
    if (!isThere) {
      const change = (keys: Parameters<typeof withFile>[1]): ReturnType<typeof keysOf> => {
        const edited =
          file === null ? shared : merge(shared, withFile(this.#known, keys, Date.now()))
        next = tidy(edited) ?? shared
        return keysOf(next)
      }
      await changeKeys(this.#path, change, AbortSignal.timeout(LOCK_PATIENCE_MS))
      this.#version = await fileVersion(this.#path)
      this.#isDue = true // another gateway may have written in between
      this.#isInForce = await this.#options.onWritten()
    }
    if (isSameShared(next, this.#known)) return
    this.#known = next
    await this.#remember()
  }

  /** After the file: what is known but not in it was revoked. */
  async #remember(): Promise<void> {
    await makePrivateFolder(this.#options.stateDir)
    const text = `${formatShared(this.#known)}\n`
    await replaceFile(this.#knownPath, { text, mode: 0o600, isDurable: true })
  }

  /** Logs each reason once. Without Valkey gateways go by the file, and another part reports the outage. */
  #complain(err: unknown): void {
    const reason = messageOf(err)
    if (reason === this.#said) return
    this.#said = reason
    this.#options.log.warn({ reason }, 'named keys differ between the gateways of the fleet')
  }

  #setProblem(problem: string | null): void {
    if (problem === this.#problem) return
    this.#problem = problem
    this.#options.onChange()
  }
}
