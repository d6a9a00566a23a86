import { type Checked, jsonReader, mapOf, Type } from '../../shared/schema-type.ts'
import type { PlanControl } from '../plan-control.ts'
import type { OtherSum } from '../plan/plan-record.ts'
import type { FoundValue, SharedRecords, SharedValue } from './shared-records.ts'

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const MAX_PROCESSES = 64

const Sums = mapOf(
  Type.Object({
    sum: Count,
    from: Count,
    /** Epoch ms by its own clock: the oldest are dropped first. */
    at: Count
  }),
  { maxProperties: MAX_PROCESSES, propertyNames: Type.String({ maxLength: 128 }) }
)

/** By `gateway/process`; earlier processes' sums are in the gateway's own book. */
export type RecordedSums = Checked<typeof Sums>

/** `null` for anything else: the record may contain anything. */
export const parseSums = jsonReader(Sums)

export interface SharedSumsOptions {
  readonly name: string
  readonly id: string
  readonly plan: Pick<PlanControl, 'share' | 'setOthers' | 'recorded'>
  readonly hub: Pick<SharedRecords, 'add'>
  /** Epoch ms. */
  readonly now?: () => number
}

const GAP_MS = 5_000

/** Sums recorded by the gateways of a fleet: each compares the account's figure with their total. */
export class SharedSums implements SharedValue<RecordedSums> {
  readonly name = 'recorded'
  readonly gapMs = GAP_MS
  readonly parse = parseSums
  readonly #options: SharedSumsOptions
  readonly #now: () => number
  readonly #from: number

  constructor(options: SharedSumsOptions) {
    this.#options = options
    this.#now = options.now ?? (() => Date.now())
    this.#from = this.#now()
  }

  start(): void {
    const { plan, hub } = this.#options
    plan.share(hub.add(this))
  }

  readonly next = (found: FoundValue<RecordedSums> | null): RecordedSums | null => {
    const { name, id, plan } = this.#options
    const there = found?.value ?? {}
    plan.setOthers(this.#othersIn(there))
    const { recorded: sum } = plan
    const own = `${name}/${id}`
    if (there[own]?.sum === sum) return null
    return bounded({ ...there, [own]: { sum, from: this.#from, at: this.#now() } })
  }

  readonly onFound = ({ value }: FoundValue<RecordedSums>): void => {
    this.#options.plan.setOthers(this.#othersIn(value))
  }

  #othersIn(sums: RecordedSums): Readonly<Record<string, OtherSum>> {
    const own = `${this.#options.name}/`
    const others = Object.entries(sums).filter(([name]) => !name.startsWith(own))
    return Object.fromEntries(others.map(([name, { sum, from }]) => [name, { sum, from }]))
  }
}

function bounded(sums: RecordedSums): RecordedSums {
  const all = Object.entries(sums)
  if (all.length <= MAX_PROCESSES) return sums
  const newest = all.toSorted(([, a], [, b]) => b.at - a.at).slice(0, MAX_PROCESSES)
  return Object.fromEntries(newest)
}
