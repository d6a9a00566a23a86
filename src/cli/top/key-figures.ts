export interface KeyFigures {
  readonly streams: number
  readonly waiting: number
  readonly requests: number
  readonly refusals: number
  readonly credits: number
  readonly reserved: number
}

/** Since the gateway's start. */
export interface TotalFigures {
  readonly requests: number
  readonly credits: number
}

export interface Reading {
  /** Monotonic ms. */
  readonly at: number
  /** Sums over all requests, with and without a named key. */
  readonly totals: TotalFigures
  readonly keys: ReadonlyMap<string, KeyFigures>
  readonly inFlight: number
  /** For a connection, the rate limit or the end of a pause. */
  readonly waiting: number
  readonly gated: number
}

const NOTHING: KeyFigures = {
  streams: 0,
  waiting: 0,
  requests: 0,
  refusals: 0,
  credits: 0,
  reserved: 0
}

const METRICS: Readonly<Record<string, keyof KeyFigures>> = {
  kiro_gateway_key_streams: 'streams',
  kiro_gateway_key_waiting: 'waiting',
  kiro_gateway_key_requests_total: 'requests',
  kiro_gateway_key_refusals_total: 'refusals',
  kiro_gateway_key_credits_total: 'credits',
  kiro_gateway_key_credits_reserved: 'reserved'
}

const LINE = /^([a-z_]+)(?:\{(.*)\})? ([-+.0-9eE]+|NaN)$/
const KEY_LABEL = /(?:^|,)key="((?:[^"\\]|\\.)*)"/

export function readFigures(text: string, at: number): Reading {
  const keys = new Map<string, KeyFigures>()
  const sums = { inFlight: 0, waiting: 0, gated: 0 }
  const totals = { requests: 0, credits: 0 }
  for (const line of text.split('\n')) {
    const [, name = '', labels = '', value = ''] = LINE.exec(line) ?? []
    if (name === 'kiro_gateway_requests_in_flight') sums.inFlight += Number(value)
    if (name === 'kiro_gateway_pool_waiters') sums.waiting += Number(value)
    if (name === 'kiro_gateway_gated_requests') sums.gated += Number(value)
    if (name === 'kiro_gateway_requests_total') totals.requests += Number(value)
    if (name === 'kiro_gateway_credits_total') totals.credits += Number(value)
    const figure = METRICS[name]
    const key = KEY_LABEL.exec(labels)?.[1]?.replaceAll(/\\(.)/g, '$1')
    if (figure === undefined || key === undefined) continue
    const before = keys.get(key) ?? NOTHING
    keys.set(key, { ...before, [figure]: before[figure] + Number(value) })
  }
  return { at, totals, keys, ...sums }
}

const HOUR_MS = 3_600_000

const WINDOW_MS = HOUR_MS

export class Readings {
  /** Bounded by those of WINDOW_MS. */
  #readings: readonly Reading[] = []

  add(reading: Reading): void {
    const first = this.#readings.findIndex(({ at }) => reading.at - at <= WINDOW_MS)
    this.#readings = [...(first < 0 ? [] : this.#readings.slice(first)), reading]
  }

  creditsPerHour(key: string): number | null {
    return this.#perHour(({ keys }) => keys.get(key)?.credits ?? 0)
  }

  get totalCreditsPerHour(): number | null {
    return this.#perHour(({ totals }) => totals.credits)
  }

  #perHour(creditsOf: (reading: Reading) => number): number | null {
    const last = this.#readings.at(-1)
    // A restarted gateway counts from zero.
    const from = this.#readings.findLastIndex((one, at) => {
      const next = this.#readings[at + 1]
      return next !== undefined && creditsOf(one) > creditsOf(next)
    })
    const first = this.#readings[from + 1]
    if (last === undefined || first === undefined || first.at === last.at) return null
    return ((creditsOf(last) - creditsOf(first)) * HOUR_MS) / (last.at - first.at)
  }
}
