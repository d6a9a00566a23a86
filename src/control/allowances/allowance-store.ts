import { readdir, readFile, unlink } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AllowanceEntry } from '../../admission/allowance-core.ts'
import { parseJournal } from '../../admission/allowance-journal.ts'
import type { Period, PeriodKind } from '../../keys/period.ts'
import type { Logger } from '../../observe/logger.ts'
import { codeOf } from '../../shared/errors.ts'
import { asJsonObject, type JsonObject, parseJsonObject } from '../../shared/json.ts'
import { makePrivateFolder, replaceFile } from '../../shared/private-files.ts'

/** What is remembered of the credits of one key. */
export interface SavedCredits {
  /** Of its kind nothing is known where only a journal told of it. */
  readonly period: Pick<Period, 'number'> & Partial<Omit<Period, 'number'>>
  /** Micro-credits that processes which are gone have used in it. */
  readonly settled: number
}

const STATE_FILE = 'settled.json'
const VERSION = 1

/**
 * What is on disk of the credits of keys: one file of what was settled, and the journals of the workers. A journal is
 * taken into that file first and removed then; the names of those that are in it stand there, too, so that none is
 * counted twice when the gateway dies in between.
 *
 * ```
 *   STATE_DIR/credits/settled.json     by key: period, and what was settled in it
 *   STATE_DIR/credits/<worker>         what a worker's requests hold and have used
 * ```
 */
export class AllowanceStore {
  readonly folder: string
  readonly #log: Logger
  /** Those that are in the file and not removed yet. Bounded by the workers that died since the last save. */
  readonly #taken = new Set<string>()
  #saving: Promise<void> | null = null
  #next: (() => ReadonlyMap<string, SavedCredits>) | null = null
  #hasFailed = false

  constructor(stateDir: string, log: Logger) {
    this.folder = join(stateDir, 'credits')
    this.#log = log
  }

  /** What earlier processes have left, with the journals of those that did not come to save it. Never rejects. */
  async load(): Promise<ReadonlyMap<string, SavedCredits>> {
    const { credits, taken } = await this.#readSaved()
    const names = await readdir(this.folder).catch(() => [])
    const saved = new Map(credits)
    for (const name of names.filter((one) => JOURNAL.test(one))) {
      this.#taken.add(name)
      if (taken.has(name)) continue
      const entries = this.takeJournal(name)
      if (entries === null) this.#log.warn({ journal: name }, 'journal of a worker is damaged')
      for (const entry of entries ?? []) add(saved, entry)
    }
    return saved
  }

  /** What a worker that is gone has written down; `null` where nothing of it can be believed. It is removed after the next `save()`. */
  takeJournal(name: string): readonly AllowanceEntry[] | null {
    this.#taken.add(name)
    try {
      return parseJournal(readFileSync(join(this.folder, name), 'latin1'))
    } catch (cause) {
      if (codeOf(cause) !== 'ENOENT')
        this.#log.warn({ err: cause }, 'journal of a worker cannot be read')
      return null
    }
  }

  /** Writes what `credits` gives then; several calls in a row write once. */
  save(credits: () => ReadonlyMap<string, SavedCredits>): void {
    this.#next = credits
    this.#saving ??= this.#saveAll()
  }

  /** Resolves when what was saved is on disk, or cannot be. */
  async close(): Promise<void> {
    await this.#saving
  }

  async #saveAll(): Promise<void> {
    for (let next = this.#next; next !== null; next = this.#next) {
      this.#next = null
      const taken = [...this.#taken]
      const text = format(next(), taken)
      try {
        await makePrivateFolder(this.folder)
        await replaceFile(join(this.folder, STATE_FILE), { text, mode: 0o600, isDurable: true })
        this.#hasFailed = false
      } catch (cause) {
        if (!this.#hasFailed) this.#log.warn({ err: cause }, 'used credits cannot be saved')
        this.#hasFailed = true
        continue // the journals stay: they say what could not be saved
      }
      for (const name of taken) await this.#remove(name)
    }
    this.#saving = null
  }

  async #remove(name: string): Promise<void> {
    try {
      await unlink(join(this.folder, name))
    } catch (cause) {
      if (codeOf(cause) !== 'ENOENT') return // it stays among those that are taken
    }
    this.#taken.delete(name)
  }

  async #readSaved(): Promise<Saved> {
    const path = join(this.folder, STATE_FILE)
    try {
      return parse(await readFile(path, 'utf8'))
    } catch (cause) {
      if (codeOf(cause) !== 'ENOENT')
        this.#log.error({ err: cause, path }, 'used credits cannot be read: they count anew')
      return { credits: new Map(), taken: new Set() }
    }
  }
}

const JOURNAL = /^worker-[\w-]{1,64}$/

/** The name of a worker's journal, by something that no other worker ever has. */
export function journalName(unique: string): string {
  return `worker-${unique}`
}

interface Saved {
  readonly credits: ReadonlyMap<string, SavedCredits>
  readonly taken: ReadonlySet<string>
}

function add(
  saved: Map<string, SavedCredits>,
  { name, period, used, reserved }: AllowanceEntry
): void {
  const [keyId = ''] = name.split('/')
  const before = saved.get(keyId)
  const amount = used + reserved
  if (before === undefined || before.period.number < period) {
    if (period > 0) saved.set(keyId, { period: { number: period }, settled: amount })
  } else if (before.period.number === period) {
    saved.set(keyId, { ...before, settled: before.settled + amount })
  }
}

function format(credits: ReadonlyMap<string, SavedCredits>, taken: readonly string[]): string {
  return `${JSON.stringify({ version: VERSION, credits: Object.fromEntries(credits), taken })}\n`
}

/** @throws {Error} where it is not what `format()` makes */
function parse(text: string): Saved {
  const saved = parseJsonObject(text)
  const credits = asJsonObject(saved?.['credits'])
  const taken = saved?.['taken']
  if (saved?.['version'] !== VERSION || credits === null || !Array.isArray(taken)) {
    throw new Error('it is damaged, or of another version')
  }
  return {
    credits: new Map(Object.entries(credits).map(([id, one]) => [id, toSaved(asJsonObject(one))])),
    taken: new Set(taken.map(String))
  }
}

function toSaved(entry: JsonObject | null): SavedCredits {
  const { number, kind, startsAt, endsAt } = asJsonObject(entry?.['period']) ?? {}
  const settled = entry?.['settled']
  if (!isCount(number) || !isCount(settled)) throw new Error('a number in it is none')
  const isWhole = isKind(kind) && isCount(startsAt) && (endsAt === null || isCount(endsAt))
  return { settled, period: isWhole ? { number, kind, startsAt, endsAt } : { number } }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isKind(value: unknown): value is PeriodKind {
  return ['day', 'week', 'month', 'total'].some((kind) => kind === value)
}
