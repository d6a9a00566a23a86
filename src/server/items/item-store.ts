import { lstat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type KeptItems,
  byteLengthOf,
  glue,
  glueWith,
  toBytes,
  toText,
  type Written
} from '../../dialects/answer/answer-writer.ts'
import { isResponseId, responseKeyOf } from '../../dialects/openai-responses/output-items.ts'
import {
  BEFORE_BYTES,
  inputIdOf,
  readBefore,
  responseIdOfInput
} from '../../dialects/openai-responses/stored-response.ts'
import type { Logger } from '../../observe/logger.ts'
import { makeInnerFolder, openPrivateFile, replaceFile } from '../../shared/private-files.ts'
import { singleFlight } from '../../shared/single-flight.ts'
import { inBatches, sweepItems } from './item-sweeper.ts'
import type { ItemsElsewhere } from './items-elsewhere.ts'
import { codeOf, GatewayError } from '../../shared/errors.ts'
import { DELETED_ITEM, ownerPartOf, toItemName } from '../../shared/item-name.ts'
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
/** Files of one request: answers that it refers to, and both files of each response that it goes on from. */
const MAX_ANSWERS = 4096
/** A slower disk delays no client. */
const SAVE_TIMEOUT_MS = 2_000
const SWEEP_INTERVAL_MS = 600_000
/** Pause after a failed write: a full disk or too many open files may pass. */
const DISK_RETRY_MS = 60_000

/** Names a stored response: its owner, and its id. */
export interface StoredId {
  readonly owner: string
  readonly responseId: string
}

export interface KeptAnswer extends StoredId {
  readonly items: KeptItems
  /** JSON text of the rest of the response; `null` stores the items alone. */
  readonly response?: Written | null
}

/**
 * Stores answers for later reference by id, and what was asked, for all workers: a private file for each, complete
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

  /** Resolves when the answer can be found, or storing has failed: an answer does not depend on it. */
  async save({ owner, responseId, items, response = null }: KeptAnswer): Promise<void> {
    const text = toFileText(responseId, items, response)
    const name = nameOf(owner, responseId)
    if (name === null || text === null || !(await this.#store(name, text))) return
    this.#share(name)
    const input = nameOf(owner, inputIdOf(responseId))
    if (response !== null && input !== null) this.#share(input)
  }

  /**
   * Stores what was asked before it is answered. Call `forget()` if it never is. Resolves as `save()`; false if
   * there is no file of it.
   */
  async saveInput({ owner, responseId }: StoredId, input: Uint8Array): Promise<boolean> {
    const id = inputIdOf(responseId)
    const name = nameOf(owner, id)
    return name !== null && this.#store(name, glue(`{${JSON.stringify(id)}:`, [input], '}'))
  }

  /** False once a stored input was deleted. */
  async hasInput({ owner, responseId }: StoredId): Promise<boolean> {
    const name = nameOf(owner, inputIdOf(responseId))
    return name !== null && (await this.#sizeOf(name)) > DELETED_ITEM.length
  }

  /** Removes what was asked of an answer that was not stored. Never rejects. */
  async forget({ owner, responseId }: StoredId): Promise<void> {
    const name = nameOf(owner, inputIdOf(responseId))
    if (name !== null) await this.#remove(name).catch(() => {}) // then it stays until it is old
  }

  /**
   * Removes a response with its input, soon also at the other gateways of the fleet. False if there is none.
   * Rejects with Node's error if it cannot be removed.
   */
  async delete(id: StoredId, admit: Admit): Promise<boolean> {
    if (!isResponseId(id.responseId)) return false // items share the file of their response
    const both = [id.responseId, inputIdOf(id.responseId)] // a worker may have died between them
    if ((await this.find(id.owner, both, admit)).length === 0) return false
    const names = both.map((one) => nameOf(id.owner, one))
    for (const name of names) {
      if (name === null) continue
      await this.#remove(name)
      // Written over what Valkey and the other gateways have.
      if (this.#options.elsewhere !== undefined && (await this.#store(name, DELETED_ITEM)))
        this.#share(name)
    }
    return true
  }

  /** Reads the file with this response, or with this input. Rejects as `find()`. */
  async read(owner: string, id: string, admit: Admit): Promise<Uint8Array | null> {
    const [file = null] = await this.find(owner, [id], admit)
    return file
  }

  /** Responses that this one went on from, the oldest first; `null` if it cannot be gone on with. Rejects as `find()`. */
  async beforeOf({ owner, responseId }: StoredId): Promise<readonly string[] | null> {
    const id = inputIdOf(responseId)
    const name = nameOf(owner, id)
    if (name === null || this.#options.limits().maxBytes === 0) return null
    const [size = 0] = await this.#sizesOf(owner, [name], [id])
    if (size === 0) return null
    const beginning = await this.#read(name, MAX_FILE_BYTES, BEFORE_BYTES)
    return beginning === null ? null : readBefore(Buffer.from(beginning).toString())
  }

  /**
   * Maps each answer to the JSON text of its items by id, without those that are gone or another owner's. A
   * few ids may mean many megabytes, so `admit` precedes reading. Rejects as `admit` does, and with
   * GW_FLEET_SILENT if a missing one may be on another gateway that cannot be asked.
   */
  async find(owner: string, ids: readonly string[], admit: Admit): Promise<readonly Uint8Array[]> {
    if (ids.length === 0 || this.#options.limits().maxBytes === 0) return []
    const all = new Set(ids.map((id) => nameOf(owner, id)).filter((name) => name !== null))
    const names = [...all].slice(0, MAX_ANSWERS)
    const sizes = await this.#sizesOf(owner, names, ids)
    const kept = names
      .map((name, index) => ({ name, size: sizes[index] ?? 0 }))
      .filter(({ size }) => size > DELETED_ITEM.length)
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
      const name = nameOf(owner, id)
      // Reasoning may be missing.
      return name !== null && !id.startsWith('rs_') && lost.has(name)
    }
    const id = problem === null ? undefined : ids.find(isLost)
    if (problem !== null && id !== undefined) throw unreachable(id, problem)
    return now
  }

  /** False if the text is too large, or the disk too slow. */
  async #store(name: string, text: Written): Promise<boolean> {
    const bytes = byteLengthOf(text)
    if (bytes > Math.min(this.#options.limits().maxBytes, MAX_FILE_BYTES)) return false
    const part = ownerPartOf(name)
    const ownBytes = this.#writing.of(part)
    if (ownBytes > 0 && ownBytes + bytes > MAX_OWN_WRITING_BYTES) return false
    if (this.#writing.total + bytes > MAX_WRITING_BYTES) return false
    if (this.#retryAt !== null && this.#now() < this.#retryAt) {
      this.#remember(name, text)
      return false
    }
    try {
      this.#writing.add(part, bytes)
      const written = this.#write(name, text).finally(() => this.#writing.add(part, -bytes))
      await withinTime(written, SAVE_TIMEOUT_MS)
      this.#retryAt = null
      this.#noteWritten(bytes)
      return true
    } catch (cause) {
      this.#noteFailed(cause)
      this.#remember(name, text)
      return false
    }
  }

  #share(name: string): void {
    void this.#options.elsewhere?.then((others) => others.share(name)) // rejects only by a bug
  }

  async #remove(name: string): Promise<void> {
    this.#memory?.forget(name)
    try {
      await unlink(join(this.#options.folder, name))
    } catch (cause) {
      if (codeOf(cause) !== 'ENOENT' && codeOf(cause) !== 'ENOTDIR') throw cause
    }
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

  /** Reads a file, or the beginning of it. `null` for one that has gone, or grown beyond `maxBytes`. */
  async #read(name: string, maxBytes: number, firstBytes = Infinity): Promise<Uint8Array | null> {
    const { folder, limits } = this.#options
    const remembered = this.#memory?.get(name, limits()) ?? null
    if (remembered !== null) return Buffer.from(remembered)
    try {
      await using file = await openPrivateFile(join(folder, name))
      const { size } = await file.stat()
      if (size > maxBytes) return null
      if (size <= firstBytes) return await file.readFile()
      const beginning = Buffer.alloc(firstBytes)
      const { bytesRead } = await file.read(beginning, 0, firstBytes, 0)
      return beginning.subarray(0, bytesRead)
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

/** `null` for the id of nothing that is stored. */
function nameOf(owner: string, id: string): string | null {
  const responseId = responseIdOfInput(id)
  const key = responseKeyOf(responseId ?? id)
  if (key === null) return null
  return toItemName(owner, responseId === null ? key : inputIdOf(key))
}

/** Leaves out items that are too long, and then the response, which would not be whole. */
function toFileText(
  responseId: string,
  items: KeptItems,
  response: Written | null
): Written | null {
  const members = [...items]
    .filter(([, json]) => byteLengthOf(json) <= MAX_ITEM_BYTES)
    .map(([id, json]) => glue(`"${id}":`, json))
  if (response !== null && members.length === items.size)
    members.push(glue(`"${responseId}":`, response))
  return members.length === 0 ? null : glue('{', glueWith(',', members), '}')
}

const WHY = {
  valkey: "the fleet's Valkey does not answer",
  disk: 'their items cannot be written to STATE_DIR',
  busy: 'too many requests are already asking for such items'
} as const

function unreachable(id: string, problem: keyof typeof WHY): GatewayError {
  const [name = ''] = id.slice(0, 100).split('.', 1) // input is stored under its response's id and a suffix
  const [what, instead] = name.startsWith('resp_')
    ? ['Response', 'the whole conversation as input']
    : ['Item', 'the item itself instead of a reference']
  const message =
    `${what} with id '${name}' is not stored at this gateway, and the other gateways of its fleet cannot be asked: ` +
    `${WHY[problem]}. Try again shortly, or send ${instead}.`
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
    this.forget(key)
    this.#entries.set(key, { text, savedAt: this.#now() })
    this.#bytes.add(ownerPartOf(key), bytesOf(key, text))
    const level = this.#bytes.levelFor(maxBytes)
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes.total <= maxBytes) break
      if (this.#bytes.of(ownerPartOf(oldest)) > level) this.forget(oldest)
    }
  }

  get(key: string, { maxAgeMs }: ItemStoreLimits): string | null {
    const entry = this.#entries.get(key)
    if (entry === undefined) return null
    if (this.#now() - entry.savedAt <= maxAgeMs) return entry.text
    this.forget(key)
    return null
  }

  forget(key: string): void {
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
