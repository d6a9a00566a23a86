import {
  type ShownHistory,
  HISTORY_COLUMNS,
  type HistoryColumn,
  type HistoryPoint
} from './feed.ts'

export const HISTORY_STEP_MS = 5_000
const SHOWN_MS = 3_600_000
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
/** Credits come in lumps: a shorter window would show only spikes. */
const CREDIT_WINDOW_MS = 300_000
const SHOWN_POINTS = SHOWN_MS / HISTORY_STEP_MS
const CAPACITY = SHOWN_POINTS + CREDIT_WINDOW_MS / HISTORY_STEP_MS

const TOTALS = ['requests', 'failed', 'inputTokens', 'outputTokens', 'credits'] as const

/** Since the start of the gateway; never decrease. */
export type Totals = Readonly<Record<(typeof TOTALS)[number], number>>

const RATES = {
  requestsPerMinute: { of: 'requests', windowMs: MINUTE_MS, perMs: MINUTE_MS },
  failedPerMinute: { of: 'failed', windowMs: MINUTE_MS, perMs: MINUTE_MS },
  inputTokensPerMinute: { of: 'inputTokens', windowMs: MINUTE_MS, perMs: MINUTE_MS },
  outputTokensPerMinute: { of: 'outputTokens', windowMs: MINUTE_MS, perMs: MINUTE_MS },
  creditsPerHour: { of: 'credits', windowMs: CREDIT_WINDOW_MS, perMs: HOUR_MS }
} as const satisfies Partial<Record<HistoryColumn, object>>

const LEVELS = HISTORY_COLUMNS.filter((name) => !isRate(name))

export type Levels = Readonly<Record<(typeof LEVELS)[number], number | null>>

export interface Rates {
  readonly requestsPerMinute: number
  readonly failedPerMinute: number
  readonly inputTokensPerMinute: number
  readonly outputTokensPerMinute: number
  readonly creditsLastHour: number
}

/** The last hour with a point each five seconds, in preallocated arrays of 90 KB. Times are monotonic unless shown. */
export class DashboardHistory {
  readonly #startedAt: number
  /** Wall clock of each point. Ring buffers. Bounded by CAPACITY, like these. */
  readonly #shownAt = new Float64Array(CAPACITY)
  readonly #at = new Float64Array(CAPACITY)
  readonly #totals = byName(TOTALS, () => new Float64Array(CAPACITY))
  readonly #levels = byName(LEVELS, () => new Float32Array(CAPACITY))
  #count = 0

  constructor(startedAt: number) {
    this.#startedAt = startedAt
  }

  add(
    { at, shownAt }: { readonly at: number; readonly shownAt: number },
    totals: Totals,
    levels: Levels
  ): void {
    const slot = this.#count % CAPACITY
    this.#at[slot] = at
    this.#shownAt[slot] = shownAt
    for (const name of TOTALS) this.#totals[name][slot] = totals[name]
    for (const name of LEVELS) this.#levels[name][slot] = levels[name] ?? Number.NaN
    this.#count++
  }

  rates(at: number, totals: Totals): Rates {
    const within = (name: keyof Totals, ms: number): number =>
      Math.max(0, totals[name] - this.#totalAt(name, at - ms))
    return {
      requestsPerMinute: within('requests', MINUTE_MS),
      failedPerMinute: within('failed', MINUTE_MS),
      inputTokensPerMinute: within('inputTokens', MINUTE_MS),
      outputTokensPerMinute: within('outputTokens', MINUTE_MS),
      creditsLastHour: within('credits', HOUR_MS)
    }
  }

  toJson(): ShownHistory {
    const shown = Math.min(this.#count, SHOWN_POINTS)
    const points = Array.from({ length: shown }, (_, index) => this.#count - shown + index)
    return {
      at: points.map((point) => this.#shownAt[point % CAPACITY] ?? 0),
      columns: byName(HISTORY_COLUMNS, (name) => points.map((point) => this.#value(name, point)))
    }
  }

  last(): HistoryPoint | null {
    const point = this.#count - 1
    if (point < 0) return null
    return {
      at: this.#shownAt[point % CAPACITY] ?? 0,
      values: byName(HISTORY_COLUMNS, (name) => this.#value(name, point))
    }
  }

  #value(name: HistoryColumn, point: number): number | null {
    const slot = point % CAPACITY
    if (!isRate(name)) {
      const value = this.#levels[name][slot] ?? Number.NaN
      return Number.isNaN(value) ? null : rounded(value)
    }
    const { of, windowMs, perMs } = RATES[name]
    const before = this.#totalAt(of, (this.#at[slot] ?? 0) - windowMs)
    const grown = Math.max(0, (this.#totals[of][slot] ?? 0) - before)
    return rounded((grown * perMs) / windowMs)
  }

  #totalAt(name: keyof Totals, at: number): number {
    const ring = this.#totals[name]
    const oldest = Math.max(0, this.#count - CAPACITY)
    let low = oldest
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#at[middle % CAPACITY] ?? 0) <= at) low = middle + 1
      else high = middle
    }
    const next = low % CAPACITY
    const isFirst = low === 0
    if (low === this.#count) return isFirst ? 0 : (ring[(low - 1) % CAPACITY] ?? 0)
    if (low === oldest && !isFirst) return ring[next] ?? 0
    const from = isFirst ? this.#startedAt : (this.#at[(low - 1) % CAPACITY] ?? 0)
    const value = isFirst ? 0 : (ring[(low - 1) % CAPACITY] ?? 0)
    const to = this.#at[next] ?? 0
    const part = to <= from ? 1 : Math.min(1, Math.max(0, (at - from) / (to - from)))
    return value + ((ring[next] ?? 0) - value) * part
  }
}

function isRate(name: HistoryColumn): name is keyof typeof RATES {
  return name in RATES
}

/** Three decimals: more is noise, and long. */
function rounded(value: number): number {
  return Math.round(value * 1000) / 1000
}

function byName<Name extends string, Value>(
  names: readonly Name[],
  read: (name: Name) => Value
): Record<Name, Value> {
  const entries = names.map((name) => [name, read(name)] as const)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each name is there
  return Object.fromEntries(entries) as Record<Name, Value>
}
