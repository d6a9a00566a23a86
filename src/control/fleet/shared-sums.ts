import { type Checked, jsonReader, mapOf, Type } from '../../shared/schema-type.ts'
import type { PlanControl } from '../plan-control.ts'
import type { PlanLook } from '../plan/plan-record.ts'
import type { SharedValue } from './shared-records.ts'

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

const GAP_MS = 5_000

/** Returns the sums recorded by the gateways of a fleet: each compares the account's figure with their total. */
export function sharedSums(
  { name, id }: { readonly name: string; readonly id: string },
  plan: Pick<PlanControl, 'setOthers' | 'recorded'>
): SharedValue<RecordedSums> {
  const from = Date.now()
  const setOthers = (sums: RecordedSums): void => plan.setOthers(othersIn(sums, name))
  return {
    name: 'recorded',
    gapMs: GAP_MS,
    parse: jsonReader(Sums), // the record may contain anything
    next: (found) => {
      const there = found?.value ?? {}
      setOthers(there)
      const { recorded: sum } = plan
      const own = `${name}/${id}`
      if (there[own]?.sum === sum) return null
      return bounded({ ...there, [own]: { sum, from, at: Date.now() } })
    },
    onFound: ({ value }) => setOthers(value)
  }
}

function othersIn(sums: RecordedSums, name: string): PlanLook['others'] {
  const others = Object.entries(sums).filter(([process]) => !process.startsWith(`${name}/`))
  return Object.fromEntries(others.map(([process, { sum, from }]) => [process, { sum, from }]))
}

function bounded(sums: RecordedSums): RecordedSums {
  const all = Object.entries(sums)
  if (all.length <= MAX_PROCESSES) return sums
  const newest = all.toSorted(([, a], [, b]) => b.at - a.at).slice(0, MAX_PROCESSES)
  return Object.fromEntries(newest)
}
