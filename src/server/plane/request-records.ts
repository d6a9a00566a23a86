import type { ToPrimary } from '../../ipc/channel.ts'
import type { UsageRow } from '../../ipc/usage-row.ts'

export interface RequestRecordsOptions {
  readonly channel: ToPrimary
  /** Nobody reads what is sent now: the primary hangs. */
  readonly isPrimarySilent: () => boolean
}

/** So long after a request is over the primary hears of it; a worker that is killed then takes it along. */
const DELAY_MS = 50
/** A message stays small. */
const MAX_ROWS = 200
/** While the primary hangs. Of more the oldest are lost. */
const MAX_KEPT = 5_000

/** What this worker's requests have used, on its way to the primary: a few messages a second, however many requests. */
export class RequestRecords {
  readonly #options: RequestRecordsOptions
  /** Bounded by MAX_KEPT. */
  #rows: UsageRow[] = []
  #timer: NodeJS.Timeout | null = null

  constructor(options: RequestRecordsOptions) {
    this.#options = options
  }

  note(row: UsageRow): void {
    if (this.#rows.length >= MAX_KEPT) this.#rows.shift()
    this.#rows.push(row)
    if (this.#rows.length >= MAX_ROWS) this.flush()
    this.#wake()
  }

  /** Sends what there is. */
  flush(): void {
    const { channel, isPrimarySilent } = this.#options
    if (isPrimarySilent()) return
    const rows = this.#rows
    this.#rows = []
    for (let at = 0; at < rows.length; at += MAX_ROWS) {
      channel.send({ type: 'usage.rows', rows: rows.slice(at, at + MAX_ROWS) })
    }
  }

  #wake(): void {
    if (this.#timer !== null) return
    this.#timer = setTimeout(() => this.#onTime(), DELAY_MS)
    this.#timer.unref()
  }

  #onTime(): void {
    this.#timer = null
    this.flush()
    if (this.#rows.length > 0) this.#wake()
  }
}
