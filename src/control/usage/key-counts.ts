import type { UsageRow } from '../../ipc/usage-row.ts'
import { MICROS_PER_CREDIT } from '../../keys/key.ts'
import type { Metrics } from '../../observe/metrics.ts'

/** Refusals by a key's limits, which its owner should tell from failures. */
const REFUSALS: ReadonlySet<string> = new Set([
  'GW_KEY_LIMIT',
  'GW_KEY_RATE',
  'GW_MODEL_NOT_ALLOWED'
])

interface Counts {
  /** Epoch ms of the last request. */
  seenAt: number
  requests: number
  input: number
  output: number
  cached: number
  /** Micro-credits. */
  credits: number
  /** Bounded by REFUSALS. */
  readonly refusals: Map<string, number>
}

/** Counts whole numbers, to match the record of usage; prom-client's counters would add fractions of credits. */
export class KeyCounts {
  /** Bounded by the keys that there are, and by the kinds of those without a name. */
  readonly #counts = new Map<string, Counts>()

  add(rows: readonly UsageRow[]): void {
    for (const row of rows) {
      const counts = this.#counts.get(row.key) ?? noCounts()
      this.#counts.set(row.key, counts)
      counts.requests++
      counts.seenAt = Math.max(counts.seenAt, row.at)
      counts.input += row.inputTokens
      counts.output += row.outputTokens
      counts.cached += row.cachedTokens
      counts.credits += row.credits
      if (REFUSALS.has(row.code)) {
        counts.refusals.set(row.code, (counts.refusals.get(row.code) ?? 0) + 1)
      }
    }
  }

  /** Epoch ms; `null` before the key's first request since the start. */
  seenAt(key: string): number | null {
    return this.#counts.get(key)?.seenAt ?? null
  }

  keep(isKnown: (key: string) => boolean): void {
    for (const key of this.#counts.keys()) if (!isKnown(key)) this.#counts.delete(key)
  }

  /** Keys of one name add up. */
  note(metrics: Metrics, nameOf: (key: string) => string): void {
    const { keyRequests, keyRefusals, keyTokens, keyCredits } = metrics
    for (const metric of [keyRequests, keyRefusals, keyTokens, keyCredits]) metric.reset()
    const credits = new Map<string, number>()
    for (const [id, counts] of this.#counts) {
      const key = nameOf(id)
      keyRequests.inc({ key }, counts.requests)
      keyTokens.inc({ key, type: 'input' }, counts.input)
      keyTokens.inc({ key, type: 'output' }, counts.output)
      keyTokens.inc({ key, type: 'cached' }, counts.cached)
      credits.set(key, (credits.get(key) ?? 0) + counts.credits)
      for (const [code, times] of counts.refusals) keyRefusals.inc({ key, code }, times)
    }
    for (const [key, micros] of credits) keyCredits.inc({ key }, micros / MICROS_PER_CREDIT)
  }
}

function noCounts(): Counts {
  return { seenAt: 0, requests: 0, input: 0, output: 0, cached: 0, credits: 0, refusals: new Map() }
}
