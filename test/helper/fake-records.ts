import type {
  FleetRecord,
  FleetRecords,
  RecordAnswer,
  RecordChange
} from '../../src/fleet/fleet-records.ts'

/** Valkey's records in memory, for several members at once; it can be away, slow, or forget. */
export class FakeRecords implements FleetRecords {
  readonly #values = new Map<string, { rev: number; value: string; at: number; endsAt: number }>()
  readonly #listeners = new Set<(name: string | null) => void>()
  readonly #now: () => number
  #revs = 0
  /** Calls fail; with `late` changes alone do, and are made all the same. */
  failing: 'no' | 'yes' | 'late' = 'no'
  /** Calls of these records fail. */
  readonly broken = new Set<string>()
  /** Nobody hears of changes. */
  isMute = false
  /** Commands so far. */
  readonly commands: string[] = []
  /** Of these, answered with what stood there then. */
  answered = 0

  constructor(now = () => performance.now()) {
    this.#now = now
  }

  async read(name: string): Promise<FleetRecord> {
    await this.#command(`read ${name}`)
    this.answered += 1
    return this.#tell(name)
  }

  async cas(name: string, { rev, value, ttlMs = Infinity }: RecordChange): Promise<RecordAnswer> {
    if (this.failing === 'late') this.#change(name, { rev, value, ttlMs })
    await this.#command(`cas ${name}`)
    const isWritten = this.#change(name, { rev, value, ttlMs })
    this.answered += 1
    return { isWritten, record: this.#tell(name) }
  }

  onNews(listener: (name: string | null) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Somebody writes it, whatever stood there. */
  put(name: string, value: string): void {
    this.#change(name, { rev: this.#tell(name).rev, value })
  }

  /** As after a restart: everything is gone, and news may have been missed. */
  forget(): void {
    this.#values.clear()
    for (const listener of this.#listeners) listener(null)
  }

  /** News may have been missed. */
  reconnect(): void {
    for (const listener of this.#listeners) listener(null)
  }

  #change(name: string, { rev, value, ttlMs = Infinity }: RecordChange): boolean {
    if (this.#tell(name).rev !== rev) return false
    this.#revs += 1
    if (value === null) this.#values.delete(name)
    else {
      const at = this.#now()
      this.#values.set(name, { rev: this.#revs, value, at, endsAt: at + ttlMs })
    }
    if (!this.isMute) for (const listener of this.#listeners) setImmediate(() => listener(name))
    return true
  }

  #tell(name: string): FleetRecord {
    const found = this.#values.get(name)
    const now = this.#now()
    if (found === undefined || found.endsAt <= now) return { run: 'fake', rev: 0, value: null }
    return { run: 'fake', rev: found.rev, value: found.value, ageMs: now - found.at }
  }

  async #command(text: string): Promise<void> {
    this.commands.push(text)
    await new Promise((resolve) => setImmediate(resolve))
    if (this.broken.has(text.replace(/^\w+ /, ''))) throw new Error('Valkey refuses that')
    if (this.failing === 'yes' || (this.failing === 'late' && text.startsWith('cas')))
      throw new Error('Valkey does not answer')
  }
}
