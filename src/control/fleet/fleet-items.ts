import { createHash } from 'node:crypto'
import { lstat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FleetRecord, FleetRecords } from '../../fleet/fleet-records.ts'
import { MAX_RECORD_LENGTH } from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import { ITEM_PAGES, ItemPages, type ItemStep, type SharedItem } from '../../fleet/item-pages.ts'
import { type ItemProblem, MAX_ITEMS_WANTED, type SharedItems } from '../../ipc/fleet-items.ts'
import type { Logger } from '../../observe/logger.ts'
import { codeOf } from '../../shared/errors.ts'
import { DELETED_ITEM, isItemName } from '../../shared/item-name.ts'
import { makeInnerFolder, openPrivateFile, replaceFile } from '../../shared/private-files.ts'
import { ItemLine } from './item-line.ts'

export interface FleetItemsOptions {
  readonly records: FleetRecords
  readonly seal: Pick<FleetSeal, 'seal' | 'open'>
  readonly folder: string
  readonly member: string
  readonly limits: () => { readonly maxBytes: number; readonly maxAgeMs: number }
  readonly log: Pick<Logger, 'warn' | 'info'>
  /** Epoch ms. */
  readonly now?: () => number
}

/** Larger answers are not shared: sealing makes them a third longer and takes some milliseconds of this event loop. */
export const MAX_SHARED_BYTES = 512 * 1024
/** Parallel reads from Valkey; each takes some megabytes for a moment. */
const MAX_READS = 2
const PATIENCE_MS = 3_000
const MAX_QUESTIONS = 64
const RETRY_MS = 1_000
/** Further deletions at once wait until copies are too old. */
const MAX_DELETED = 1_024

/** Shares stored answers of a fleet through Valkey: seals workers' files, and fetches missing ones. */
export class FleetItems implements SharedItems {
  readonly #options: FleetItemsOptions
  readonly #now: () => number
  readonly #owner: string
  readonly #waiting = new ItemLine()
  #pages: ItemPages | null = null
  #run = ''
  /** Unfinished steps. Bounded by what waits. */
  readonly #begun = new Map<string, ItemStep>()
  /** To be removed: no page names it. Bounded by the items in the pages. */
  readonly #doomed = new Set<string>()
  /** Revisions written by this process. Bounded by the items in the pages. */
  readonly #revs = new Map<string, number>()
  /** Deleted by other gateways, and not looked at yet. Bounded by MAX_DELETED. */
  readonly #deleted = new Set<string>()
  #isDeleting = false
  #endNews: () => void = () => {}
  #isSharing = false
  #retry: NodeJS.Timeout | null = null
  #isWarned = false
  #questions = 0
  #reads = 0
  /** Bounded by MAX_QUESTIONS. */
  readonly #line: (() => void)[] = []

  constructor(options: FleetItemsOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    // The slice of a hash is short.
    this.#owner = createHash('sha256').update(options.member).digest('hex').slice(0, 16)
  }

  listen(): void {
    this.#endNews = this.#options.records.onNews((record) => this.#hearOfDeleted(record))
  }

  close(): void {
    this.#endNews()
    if (this.#retry !== null) clearTimeout(this.#retry)
    this.#waiting.clear()
  }

  async settle(patienceMs: number): Promise<void> {
    const deadline = performance.now() + patienceMs
    while (this.#waiting.size > 0 && this.#retry === null && performance.now() < deadline) {
      await sleep(10)
    }
  }

  share(name: string): void {
    const givenUp = this.#waiting.add(name)
    if (givenUp !== null) this.#begun.delete(givenUp)
    if (this.#retry === null) void this.#shareAll() // never rejects
  }

  /** Fetches these names into the workers' folder; returns why some may be missing. Never rejects. */
  async fetch(names: readonly string[]): Promise<ItemProblem | null> {
    if (this.#questions >= MAX_QUESTIONS) return 'busy'
    this.#questions += 1
    let problem: ItemProblem | null = null
    const left = names.slice(0, MAX_ITEMS_WANTED)
    const deadline = performance.now() + PATIENCE_MS
    const readNext = async (): Promise<void> => {
      for (let name = left.shift(); name !== undefined; name = left.shift()) {
        if (performance.now() > deadline) problem ??= 'busy'
        if (problem !== null) return
        await this.#turn()
        try {
          problem = (await this.#fetchOne(name)) ?? problem
        } finally {
          this.#endTurn()
        }
      }
    }
    await Promise.all(Array.from({ length: MAX_READS }, readNext))
    this.#questions -= 1
    return problem
  }

  /** Only deletions are news. */
  #hearOfDeleted(record: string | null): void {
    const name = record?.startsWith(ITEM) === true ? record.slice(ITEM.length) : ''
    if (!isItemName(name) || this.#deleted.size >= MAX_DELETED) return
    this.#deleted.add(name)
    if (!this.#isDeleting) void this.#dropDeleted() // never rejects
  }

  /** Writes what Valkey has over own copies; where it does not answer, they stay until they are too old. */
  async #dropDeleted(): Promise<void> {
    this.#isDeleting = true
    for (const name of this.#deleted) {
      this.#deleted.delete(name)
      const facts = await lstat(join(this.#options.folder, name)).catch(() => null)
      if (facts !== null && facts.size > DELETED_ITEM.length) await this.#fetchOne(name)
    }
    this.#isDeleting = false
  }

  async #turn(): Promise<void> {
    if (this.#reads < MAX_READS) {
      this.#reads += 1
      return
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#line.push(resolve)
    await promise
  }

  #endTurn(): void {
    const next = this.#line.shift()
    if (next === undefined) this.#reads -= 1
    else next()
  }

  async #fetchOne(name: string): Promise<ItemProblem | null> {
    const { records, seal, folder, limits } = this.#options
    let found: FleetRecord
    try {
      found = await records.read(recordOf(name))
    } catch {
      return 'valkey'
    }
    if (found.value === null) return null
    const text = seal.open(found.value, sealedFor(name))
    const end = text?.indexOf('\n') ?? -1
    const savedAt = Number(text?.slice(0, end))
    if (text === null || end < 1 || !Number.isFinite(savedAt)) {
      this.#warn({ name }, 'a stored answer of another gateway cannot be decrypted and is ignored')
      return null
    }
    const now = this.#now()
    if (now - savedAt > limits().maxAgeMs) return null
    try {
      await makeInnerFolder(folder)
      const path = join(folder, name)
      await replaceFile(path, { text: text.slice(end + 1), mode: 0o600, isDurable: false })
      const time = Math.min(savedAt, now) / 1_000 // by which its age is told
      await utimes(path, time, time)
      return null
    } catch (cause) {
      this.#warn(
        { code: codeOf(cause) },
        'a stored answer of another gateway cannot be written here'
      )
      return 'disk'
    }
  }

  async #shareAll(): Promise<void> {
    if (this.#isSharing) return
    this.#isSharing = true
    this.#retry = null
    for (let name = this.#waiting.first; name !== null; name = this.#waiting.first) {
      try {
        await this.#shareOne(name)
        this.#waiting.done(name)
        this.#isWarned = false
      } catch (err) {
        if (this.#waiting.failed(name)) {
          this.#warn({ err, waiting: this.#waiting.size }, UNSHARED)
          this.#retry = setTimeout(() => void this.#shareAll(), RETRY_MS).unref()
          break
        }
        this.#begun.delete(name)
        this.#options.log.warn({ err, name }, GIVEN_UP)
      }
    }
    this.#isSharing = false
  }

  /** Rejects if Valkey does not answer. Unshareable items count as shared. */
  async #shareOne(name: string): Promise<void> {
    const { seal, limits } = this.#options
    const found = await this.#read(name)
    if (found === null) return
    const { maxBytes, maxAgeMs } = limits()
    const until = Math.floor(found.savedAt + maxAgeMs)
    const ttlMs = until - this.#now()
    if (ttlMs <= 0) return
    const value = seal.seal(`${found.savedAt}\n${found.text}`, sealedFor(name))
    if (value.length > MAX_RECORD_LENGTH) return
    const pages = await this.#pagesNow()
    const step = this.#stepFor(pages, { name, bytes: value.length, until }, maxBytes)
    if (step === null) return
    for (const one of this.#doomed) {
      await this.#remove(one)
      this.#doomed.delete(one)
    }
    const page = this.#pageName(step.page)
    // Valkey executes them in order.
    const isQuiet = found.text !== DELETED_ITEM
    await Promise.all([
      this.#put(page, seal.seal(pages.textOf(step.page), sealedForPage(page)), maxAgeMs),
      this.#put(recordOf(name), value, ttlMs, isQuiet)
    ])
    this.#begun.delete(name)
  }

  /** An unfinished step is repeated unchanged: it is in the pages. */
  #stepFor(pages: ItemPages, item: SharedItem, maxBytes: number): ItemStep | null {
    const begun = this.#begun.get(item.name)
    if (begun !== undefined) return begun
    const step = pages.add(item, { maxBytes, now: this.#now() })
    if (step === null) return null
    for (const { name } of step.over) this.#revs.delete(recordOf(name))
    for (const { name } of step.doomed) this.#doomed.add(name)
    this.#begun.set(item.name, step)
    return step
  }

  async #read(name: string): Promise<{ readonly text: string; readonly savedAt: number } | null> {
    try {
      await using file = await openPrivateFile(join(this.#options.folder, name))
      const { size, mtimeMs } = await file.stat()
      if (size > MAX_SHARED_BYTES) return null
      return { text: await file.readFile('utf8'), savedAt: Math.floor(mtimeMs) }
    } catch {
      return null // swept by now
    }
  }

  async #pagesNow(): Promise<ItemPages> {
    if (this.#pages !== null) return this.#pages
    const { records, seal } = this.#options
    const texts: (string | null)[] = []
    for (let place = 0; place < ITEM_PAGES; place += 1) {
      const page = this.#pageName(place)
      const { run, value } = await records.read(page)
      this.#run = run
      texts.push(value === null ? null : seal.open(value, sealedForPage(page)))
    }
    this.#pages = ItemPages.of(texts, this.#now())
    return this.#pages
  }

  /** Only this gateway writes there, except for an abandoned call of its own. */
  async #put(name: string, value: string, ttlMs: number, isQuiet = true): Promise<void> {
    const { records } = this.#options
    let rev = this.#revs.get(name) ?? 0
    for (let tries = 0; tries < 3; tries += 1) {
      const { isWritten, record } = await records.cas(name, { rev, value, ttlMs, isQuiet })
      if (record.run !== this.#run) {
        this.#pages = null // it may have lost any of them
        this.#begun.clear()
        this.#doomed.clear()
        this.#revs.clear()
        this.#run = record.run
      }
      this.#revs.set(name, record.rev)
      if (isWritten) return
      rev = record.rev
    }
    throw new Error(`another gateway is writing the record ${name}`)
  }

  async #remove(name: string): Promise<void> {
    const { records } = this.#options
    const record = recordOf(name)
    let rev = this.#revs.get(record) ?? 0
    for (let tries = 0; tries < 2; tries += 1) {
      const { isWritten, record: found } = await records.cas(record, {
        rev,
        value: null,
        isQuiet: true
      })
      if (isWritten || found.rev === 0) break
      rev = found.rev
    }
    this.#revs.delete(record)
  }

  #pageName(place: number): string {
    return `items.${this.#owner}.${place}`
  }

  #warn(facts: object, message: string): void {
    if (this.#isWarned) return
    this.#isWarned = true
    this.#options.log.warn(facts, message)
  }
}

const GIVEN_UP = 'a stored answer cannot be shared: only this gateway can find it'
const UNSHARED =
  "stored answers cannot be shared with the other gateways at the moment: they wait for the fleet's Valkey"

const ITEM = 'item.'

function recordOf(name: string): string {
  return ITEM + name
}

/** Additional data: an answer opens under its own name only. */
function sealedFor(name: string): string {
  return `v1|item|${name}`
}

/** Additional data: no other gateway can make this one remove others' answers. */
function sealedForPage(name: string): string {
  return `v1|${name}`
}
