import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  byteLengthOf,
  glue,
  glueWith,
  toBytes,
  toText,
  type Written
} from '../../dialects/answer/output-text.ts'
import type { KeptItems } from '../../dialects/answer/answer-writer.ts'
import { responseKeyOf } from '../../dialects/openai-responses/output-items.ts'
import type { Logger } from '../../observe/logger.ts'
import { makeInnerFolder, openPrivateFile, replaceFile } from '../../shared/private-files.ts'
import { singleFlight } from '../../shared/single-flight.ts'
import { inBatches, sweepItems } from './item-sweeper.ts'
import type { ItemsElsewhere } from './items-elsewhere.ts'
import { codeOf, GatewayError } from '../../shared/errors.ts'
import { ownerPartOf, toItemName } from '../../shared/item-name.ts'
import { OwnerSums } from '../../shared/owner-sums.ts'
import { withinTime } from '../../shared/within-time.ts'

export interface ItemStoreLimits {
  /** Limit of all workers; 0 stores nothing. */
  readonly maxBytes: number
  readonly maxAgeMs: number
}

export interface ItemStoreOptions {
  readonly folder: string
  readonly writers: number
  readonly limits: () => ItemStoreLimits
  readonly log: Pick<Logger, 'warn'>
  readonly elsewhere?: Promise<Pick<ItemsElsewhere, 'share' | 'fetch'>>
  /** Epoch ms. */
  readonly now?: () => number
}

/** Reserves memory before bytes are read; rejects without room. */
export type Admit = (bytes: number) => Promise<void>

const MAX_ITEM_BYTES = 3 * 1024 * 1024
const MAX_FILE_BYTES = 4 * 1024 * 1024
/** Answers being written; more are not stored while the disk is slow. */
const MAX_WRITING_BYTES = 8 * 1024 * 1024
/** Bytes of one owner's answers being written. The first of them may be larger. */
const MAX_OWN_WRITING_BYTES = 2 * 1024 * 1024
const MAX_MEMORY_BYTES = 4 * 1024 * 1024
/** Answers of one request; a conversation of a few thousand turns fits no model. */
const MAX_ANSWERS = 4096
/** A slower disk delays no client. */
const SAVE_TIMEOUT_MS = 2_000
const SWEEP_INTERVAL_MS = 600_000
/** Pause after a failed write: a full disk or too many open files may pass. */
const DISK_RETRY_MS = 60_000

export interface KeptAnswer {
  readonly owner: string
  readonly responseId: string
  readonly items: KeptItems
}

/**
 * Stores items of answers for later reference by id, for all workers: one private file per answer, complete
 * or absent.
 * File names come from the owner and the ids: a client that has learnt another's id asks for another file,
 * and cannot tell that one exists.
 * A worker that has written its share of an eighth of the limit sweeps down to three quarters; the owner
 * with the most loses the oldest first. Without a usable folder the newest items are kept in memory, for
 * this worker only.
 */
export class ItemStore {
  readonly #options: ItemStoreOptions
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout
  #memory: MemoryItems | null = null
  #retryAt: number | null = null
  #unsweptBytes = 0
  readonly #writing = new OwnerSums()

  readonly sweep = singleFlight(() => this.#sweep())

  constructor(options: ItemStoreOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#timer = setInterval(() => void this.sweep(), SWEEP_INTERVAL_MS).unref() // cannot reject
  }

  /** Resolves when the items can be found, or storing has failed: an answer does not depend on it. */
  async save({ owner, responseId, items }: KeptAnswer): Promise<void> {
    const { maxBytes } = this.#options.limits()
    const key = responseKeyOf(responseId)
    const text = toFileText(items)
    if (key === null || text === null) return
    const name = toItemName(owner, key)
    const bytes = byteLengthOf(text)
    if (bytes > Math.min(maxBytes, MAX_FILE_BYTES)) return
    const part = ownerPartOf(name)
    const ownBytes = this.#writing.of(part)
    if (ownBytes > 0 && ownBytes + bytes > MAX_OWN_WRITING_BYTES) return
    if (this.#writing.total + bytes > MAX_WRITING_BYTES) return
    if (this.#retryAt !== null && this.#now() < this.#retryAt) return this.#remember(name, text)
    try {
      this.#writing.add(part, bytes)
      const written = this.#write(name, text).finally(() => this.#writing.add(part, -bytes))
      await withinTime(written, SAVE_TIMEOUT_MS)
      this.#retryAt = null
      this.#noteWritten(bytes)
      void this.#options.elsewhere?.then((others) => others.share(name)) // rejects only by a bug
    } catch (cause) {
      this.#noteFailed(cause)
      this.#remember(name, text)
    }
  }

  /**
   * Maps each answer to the JSON text of its items by id, without those that are gone or another owner's. A
   * few ids may mean many megabytes, so `admit` precedes reading. Rejects as `admit` does, and with
   * GW_FLEET_SILENT if a missing one may be on another gateway that cannot be asked.
   */
  async find(owner: string, ids: readonly string[], admit: Admit): Promise<readonly Uint8Array[]> {
    if (ids.length === 0 || this.#options.limits().maxBytes === 0) return []
    const keys = new Set(ids.map(responseKeyOf).filter((key) => key !== null))
    const names = [...keys].slice(0, MAX_ANSWERS).map((key) => toItemName(owner, key))
    const sizes = await this.#sizesOf(owner, names, ids)
    const kept = names
      .map((name, index) => ({ name, size: sizes[index] ?? 0 }))
      .filter(({ size }) => size > 0)
    await admit(kept.reduce((sum, { size }) => sum + size, 0))
    const answers = await inBatches(kept, ({ name, size }) => this.#read(name, size))
    return answers.filter((answer) => answer !== null)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #sweep(): Promise<void> {
    const { maxBytes, maxAgeMs } = this.#options.limits()
    this.#unsweptBytes = 0
    const limits = { maxBytes: (maxBytes / 4) * 3, maxAgeMs, now: this.#now() }
    // The folder may not exist yet; an unusable one shows when writing.
    await sweepItems(this.#options.folder, limits).catch(() => {})
  }

  /** 0 for missing ones. Fetches what other gateways have. */
  async #sizesOf(
    owner: string,
    names: readonly string[],
    ids: readonly string[]
  ): Promise<readonly number[]> {
    const look = (): Promise<readonly number[]> => inBatches(names, (name) => this.#sizeOf(name))
    const sizes = await look()
    const others = await this.#options.elsewhere
    if (others === undefined || !sizes.includes(0)) return sizes
    let now = sizes
    const missing = (): readonly string[] => names.filter((_name, index) => now[index] === 0)
    const problem = await others.fetch(missing(), async () => {
      now = await look()
      return missing()
    })
    now = await look()
    const lost = new Set(missing())
    const isLost = (id: string): boolean => {
      const key = responseKeyOf(id)
      // Reasoning may be missing.
      return key !== null && !id.startsWith('rs_') && lost.has(toItemName(owner, key))
    }
    const id = problem === null ? undefined : ids.find(isLost)
    if (problem !== null && id !== undefined) throw unreachable(id, problem)
    return now
  }

  #noteWritten(bytes: number): void {
    const { limits, writers } = this.#options
    this.#unsweptBytes += Math.max(bytes, 4096)
    if (this.#unsweptBytes > limits().maxBytes / 8 / writers) void this.sweep() // cannot reject
  }

  async #write(name: string, written: Written): Promise<void> {
    const { folder } = this.#options
    await makeInnerFolder(folder)
    const text = typeof written === 'string' ? written : toBytes(written)
    await replaceFile(join(folder, name), { text, mode: 0o600, isDurable: false })
  }

  async #sizeOf(name: string): Promise<number> {
    const { folder, limits } = this.#options
    const remembered = this.#memory?.get(name, limits()) ?? null
    if (remembered !== null) return Buffer.byteLength(remembered)
    try {
      const { size, mtimeMs } = await lstat(join(folder, name))
      const isUsable = size <= MAX_FILE_BYTES && this.#now() - mtimeMs <= limits().maxAgeMs
      return isUsable ? size : 0
    } catch {
      return 0
    }
  }

  /** `null` for a file that has gone, or grown beyond `maxBytes`. */
  async #read(name: string, maxBytes: number): Promise<Uint8Array | null> {
    const { folder, limits } = this.#options
    const remembered = this.#memory?.get(name, limits()) ?? null
    if (remembered !== null) return Buffer.from(remembered)
    try {
      await using file = await openPrivateFile(join(folder, name))
      const { size } = await file.stat()
      return size <= maxBytes ? await file.readFile() : null
    } catch {
      return null
    }
  }

  #remember(name: string, text: Written): void {
    this.#memory ??= new MemoryItems(this.#now)
    const maxBytes = Math.min(this.#options.limits().maxBytes, MAX_MEMORY_BYTES)
    this.#memory.set(name, toText(text), { maxBytes })
  }

  /** Warns once, until the disk has worked again. */
  #noteFailed(cause: unknown): void {
    const isKnown = this.#retryAt !== null
    this.#retryAt = this.#now() + DISK_RETRY_MS
    if (isKnown) return
    const code = codeOf(cause) || 'unknown'
    const { folder: path } = this.#options
    this.#options.log.warn(
      { path, code },
      'stored answers cannot be written to disk and stay in this worker'
    )
  }
}

function toFileText(items: KeptItems): Written | null {
  const members = [...items]
    .filter(([, json]) => byteLengthOf(json) <= MAX_ITEM_BYTES)
    .map(([id, json]) => glue(`"${id}":`, json))
  return members.length === 0 ? null : glue('{', glueWith(',', members), '}')
}

const WHY = {
  valkey: "the fleet's Valkey does not answer",
  disk: 'their items cannot be written to STATE_DIR',
  busy: 'too many requests are already asking for such items'
} as const

function unreachable(id: string, problem: keyof typeof WHY): GatewayError {
  const message =
    `Item with id '${id.slice(0, 100)}' is not stored at this gateway, and the other gateways of its fleet cannot be asked: ` +
    `${WHY[problem]}. Try again shortly, or send the item itself instead of a reference.`
  return new GatewayError('GW_FLEET_SILENT', problem, { message, retryAfterS: RETRY_AFTER_S })
}

const RETRY_AFTER_S = 5

interface Entry {
  readonly text: string
  readonly savedAt: number
}

export class MemoryItems {
  readonly #now: () => number
  /** Oldest first. Bounded by `maxBytes`. */
  readonly #entries = new Map<string, Entry>()
  readonly #bytes = new OwnerSums()

  constructor(now: () => number) {
    this.#now = now
  }

  set(key: string, text: string, { maxBytes }: Pick<ItemStoreLimits, 'maxBytes'>): void {
    this.#forget(key)
    this.#entries.set(key, { text, savedAt: this.#now() })
    this.#bytes.add(ownerPartOf(key), bytesOf(key, text))
    const level = this.#bytes.levelFor(maxBytes)
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes.total <= maxBytes) break
      if (this.#bytes.of(ownerPartOf(oldest)) > level) this.#forget(oldest)
    }
  }

  get(key: string, { maxAgeMs }: ItemStoreLimits): string | null {
    const entry = this.#entries.get(key)
    if (entry === undefined) return null
    if (this.#now() - entry.savedAt <= maxAgeMs) return entry.text
    this.#forget(key)
    return null
  }

  #forget(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#bytes.add(ownerPartOf(key), -bytesOf(key, entry.text))
    this.#entries.delete(key)
  }
}

const BYTES_PER_CHAR = 2
/** Measured: the entry, its place in the map, and the heads of its two strings. */
const BYTES_PER_ENTRY = 160

function bytesOf(key: string, text: string): number {
  return BYTES_PER_ENTRY + (key.length + text.length) * BYTES_PER_CHAR
}
