import { isDeepStrictEqual } from 'node:util'
import { keysPath, readKeys } from '../../keys/key-store.ts'
import { type KnownKeys, type NamedKey, NO_KNOWN_KEYS } from '../../keys/key.ts'
import { NO_SHARED_KEYS, type SharedKeys, withEndsOf } from '../../keys/shared-keys.ts'
import type { Logger } from '../../observe/logger.ts'
import { fileVersion } from '../../shared/private-files.ts'
import { singleFlight } from '../../shared/single-flight.ts'

export interface KeyFileWatchOptions {
  readonly stateDir: string
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
  /** Called after each change, not at the start. */
  readonly onChange: (knownKeys: KnownKeys) => void
  readonly pollMs?: number
  readonly read?: typeof readKeys
}

/** Polling costs one system call and works in volumes without change events. */
const POLL_MS = 500

export class KeyFileWatch {
  readonly #path: string
  readonly #options: KeyFileWatchOptions
  #knownKeys = NO_KNOWN_KEYS
  /** Keys as the file has them. Bounded by the keys that it may hold. */
  #inFile: readonly NamedKey[] = []
  /** The fleet's last word on its keys. Bounded like the record of its keys. */
  #shared = NO_SHARED_KEYS
  #version: string | null = null
  #failedVersion: string | null | undefined
  /** Bounded by the keys that it may hold. */
  #warnings: readonly string[] = []
  #timer: NodeJS.Timeout | null = null
  readonly #lookOnce = singleFlight(() => this.#lookNow())

  constructor(options: KeyFileWatchOptions) {
    this.#options = options
    this.#path = keysPath(options.stateDir)
  }

  get knownKeys(): KnownKeys {
    return this.#knownKeys
  }

  /** @throws {GatewayError} GW_CONFIG_INVALID for an unusable file, since all limits would be unknown */
  async start(): Promise<void> {
    this.#version = await fileVersion(this.#path)
    await this.#read()
    const { keys } = this.#knownKeys
    if (keys.length > 0) this.#options.log.info({ keys: keys.length }, 'named keys read')
    this.#timer = setInterval(() => void this.#lookOnce(), this.#options.pollMs ?? POLL_MS) // cannot reject
    this.#timer.unref()
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  /** Returns true once what the file says now is in force, false if it cannot be read. */
  async look(): Promise<boolean> {
    while (this.#lookOnce.running !== null) await this.#lookOnce.running
    await this.#lookOnce()
    return this.#failedVersion === undefined
  }

  /** Ends keys and secrets that a fleet has ended, even while the file cannot be written or read. */
  applyEnds(shared: SharedKeys): void {
    this.#shared = shared
    const keys = withEndsOf(shared, this.#inFile)
    if (isDeepStrictEqual(keys, this.#knownKeys.keys)) return
    this.#knownKeys = { ...this.#knownKeys, keys }
    this.#options.onChange(this.#knownKeys)
    this.#options.log.info('named keys were revoked or rotated in the fleet')
  }

  /** An unusable file changes nothing and is read again: it may be half written, and may revoke a key. */
  async #lookNow(): Promise<void> {
    const version = await fileVersion(this.#path)
    try {
      if (version === this.#version) {
        this.#failedVersion = undefined
        return
      }
      await this.#read()
      this.#version = version // of before it was read: what was written meanwhile is seen the next time
      this.#failedVersion = undefined
      this.#options.onChange(this.#knownKeys)
      this.#options.log.info({ keys: this.#knownKeys.keys.length }, 'named keys reloaded')
    } catch (err) {
      if (version !== this.#failedVersion) {
        this.#options.log.error(
          { err },
          'named keys cannot be reloaded, the previous ones stay in force'
        )
      }
      this.#failedVersion = version
    }
  }

  async #read(): Promise<void> {
    const { read = readKeys } = this.#options
    const found = await read(this.#path)
    const warnings = found?.warnings ?? []
    for (const one of warnings) if (!this.#warnings.includes(one)) this.#options.log.warn(one)
    this.#warnings = warnings
    if (found === null && this.#knownKeys.isKeyRequired) {
      this.#options.log.warn(
        { path: this.#path },
        'the file of named keys is missing: they are no longer valid, and requests still need a key'
      )
    }
    this.#inFile = found?.keys ?? []
    const keys = withEndsOf(this.#shared, this.#inFile)
    this.#knownKeys = {
      isKeyRequired: this.#inFile.length > 0 || this.#knownKeys.isKeyRequired,
      keys
    }
  }
}
