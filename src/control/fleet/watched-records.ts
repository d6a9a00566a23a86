import type {
  FleetRecord,
  FleetRecords,
  RecordAnswer,
  RecordChange
} from '../../fleet/fleet-records.ts'

export interface WatchedRecordsOptions {
  readonly records: FleetRecords
  readonly onChange?: () => void
  /** Monotonic ms. */
  readonly now?: () => number
}

/** Repeated failures last from this time on. */
const LASTING_MS = 10_000
const LEAST_FAILURES = 3
/** Time without attempts after which a failure is forgotten. */
const FORGOTTEN_MS = 120_000

interface Trouble {
  readonly since: number
  readonly last: number
  readonly failures: number
}

/** Watches which kinds of records fail although Valkey answers: its memory may be full, or its user may lack rights. */
export class WatchedRecords implements FleetRecords {
  readonly #options: WatchedRecordsOptions
  readonly #now: () => number
  /** By kind and verb. Bounded by the kinds of records that there are. */
  readonly #troubles = new Map<string, Trouble>()
  #told = ''

  constructor(options: WatchedRecordsOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    options.records.onNews((name) => {
      if (name === null) this.#troubles.clear() // it was away
    })
  }

  get unshared(): readonly string[] {
    const now = this.#now()
    const kinds = [...this.#troubles]
      .filter(([, one]) => isLasting(one, now))
      .map(([key]) => key.slice(0, key.indexOf(' ')))
    return [...new Set(kinds)].toSorted()
  }

  read(name: string): Promise<FleetRecord> {
    return this.#watch(`${kindOf(name)} read`, this.#options.records.read(name))
  }

  cas(name: string, change: RecordChange): Promise<RecordAnswer> {
    return this.#watch(`${kindOf(name)} cas`, this.#options.records.cas(name, change))
  }

  onNews(listener: (name: string | null) => void): () => void {
    return this.#options.records.onNews(listener)
  }

  async #watch<T>(key: string, call: Promise<T>): Promise<T> {
    try {
      const answer = await call
      if (this.#troubles.delete(key)) this.#look()
      return answer
    } catch (cause) {
      const now = this.#now()
      const { since, failures } = this.#troubles.get(key) ?? { since: now, failures: 0 }
      this.#troubles.set(key, { since, last: now, failures: failures + 1 })
      this.#look()
      throw cause
    }
  }

  #look(): void {
    const told = this.unshared.join()
    if (told === this.#told) return
    this.#told = told
    this.#options.onChange?.()
  }
}

function isLasting({ since, last, failures }: Trouble, now: number): boolean {
  if (failures < LEAST_FAILURES || now - last > FORGOTTEN_MS) return false
  return last - since >= LASTING_MS
}

/** `limit` of `limit.anna.credits`. */
function kindOf(name: string): string {
  return name.split('.', 1)[0] ?? name
}
