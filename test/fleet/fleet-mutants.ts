import type { Mutant } from '../helper/mutant.ts'
import type { ScenarioName } from './fleet-scenarios.ts'
import { mutateFleet } from './refresh-mutants.ts'
import type { Machines, WorldFault } from './world/world-terms.ts'

export interface FleetMutant extends Mutant {
  /** Of a walk that once found it: where the search begins. */
  readonly seed?: number
  /** That finds it, where a walk hardly ever does. */
  readonly scenario?: ScenarioName
}

/** What a hasty change might do to the rules of a fleet. The model finds each of these. */
export const FLEET_MUTANTS: readonly FleetMutant[] = [
  {
    story: 'a register of another process of Valkey is believed',
    file: 'fleet-register.ts',
    from: 'if (state === null || state.run !== this.reading?.run) return true',
    to: 'if (state === null) return true'
  },
  {
    story: 'an empty register is taken for a new fleet, of which everything is free',
    file: 'next-fleet.ts',
    from: "phase: 'learning',\n    cap: 0,",
    to: "phase: 'open',\n    cap: 0,"
  },
  {
    story: 'a fleet opens although somebody is awaited',
    file: 'next-fleet.ts',
    from: "phase === 'learning' && Object.keys(awaited).length === 0",
    to: "phase === 'learning'",
    seed: 71
  },
  {
    story: 'what was claimed is forgotten while learning: everything is granted',
    file: 'next-fleet.ts',
    from: 'let free = grantableIn(state) - sumOfLeases(state.members)',
    to: 'let free = state.max - sumOfLeases(state.members)'
  },
  {
    story: 'a claim does not add to what there is',
    file: 'next-fleet.ts',
    from: 'gone.cap + lease',
    to: 'gone.cap'
  },
  {
    story: 'others take what a silent member has before it has closed',
    file: 'fleet-watch.ts',
    from: 'if (silenceMs >= lapsesMs) lapsed.push(inc)',
    to: 'if (silenceMs >= lapsesMs / 2) lapsed.push(inc)'
  },
  {
    story: 'an era counts as watched too early',
    file: 'fleet-watch.ts',
    from: 'now - this.#era.since >= this.#times.lapsesMs',
    to: 'now - this.#era.since >= this.#times.lapsesMs / 3',
    seed: 8
  },
  {
    story: 'beats that were seen in one era count for the next',
    file: 'fleet-watch.ts',
    from: 'this.#seen.clear()\n      this.#rival = null\n    }\n    if (phase',
    to: 'this.#rival = null\n    }\n    if (phase',
    scenario: 'counted anew'
  },
  {
    story: 'the watch over one era counts for the next',
    file: 'fleet-watch.ts',
    from: 'else if (this.#era?.era !== era) this.#era = { era, since: now }',
    to: 'else this.#era = { era, since: this.#era?.since ?? now }',
    seed: 104
  },
  {
    story: 'the lease counts from when the answer came',
    file: 'fleet-core.ts',
    from: 'this.#sentAt = sentAt',
    to: 'this.#sentAt = now',
    seed: 503
  },
  {
    story: 'a beat that was not kept renews the lease',
    file: 'fleet-core.ts',
    from: 'if (answer.isKept && answer.run === run &&',
    to: 'if (answer.run === run &&',
    seed: 281
  },
  {
    story: 'any answer of Valkey renews the lease',
    file: 'fleet-core.ts',
    from: 'this.#granted = entry.granted\n    this.#known',
    to: 'this.#granted = entry.granted\n    if (this.#sentAt !== null) this.#sentAt = now\n    this.#known',
    seed: 2099
  },
  {
    story: 'what was granted and never used is claimed',
    file: 'fleet-core.ts',
    from: 'if (this.#sentAt === null) this.#granted = this.#returned',
    to: '',
    scenario: 'back after no beat'
  },
  {
    story: 'closing counts as serving for ever',
    file: 'fleet-core.ts',
    from: 'return termStage(this.#options.times, this.#sentAt, now)',
    to: "return 'serving'"
  },
  {
    story: 'a name is a member: who comes with it takes the place of who had it',
    file: 'fleet-news.ts',
    from: 'const ended = self.isSole ?',
    to: 'const ended = self.name ?'
  },
  {
    story: 'another of our name that says nothing is taken for dead at once',
    file: 'fleet-core.ts',
    from: 'ended: this.#ended,',
    to: 'ended: Object.keys(this.#known).slice(-16),'
  },
  {
    story: 'leases that add up to more than there is are believed',
    file: 'fleet-register.ts',
    from: 'if (entry.granted > granted && sumOfLeases(state.members) > most) return true',
    to: '',
    scenario: 'more for each than there is'
  },
  {
    story: 'a maximum that was never told is believed',
    file: 'fleet-register.ts',
    from: 'if (entry.max > max) return true',
    to: '',
    scenario: 'a maximum that is not ours'
  },
  {
    story: 'a beat that goes back renews the lease',
    file: 'fleet-core.ts',
    from: 'if (this.#isCounted(answer.beats[inc])) this.#sentAt = sentAt',
    to: 'if (inc !== null) this.#sentAt = sentAt',
    scenario: 'beats that are set back'
  },
  {
    story: 'those who were seen before the loss are not told of',
    file: 'next-fleet.ts',
    from: '{ ...gone.awaited, ...event.known }',
    to: 'gone.awaited'
  }
]

/** Faults outside of what decides, and what finds them. */
export const WORLD_FAULTS: readonly {
  readonly fault: WorldFault
  readonly seed?: number
  readonly scenario?: ScenarioName
}[] = [
  { fault: 'returns before sockets are gone' },
  { fault: 'workers do not look at the lease on waking', seed: 923 },
  { fault: 'attests the death of a process that was stopped' },
  { fault: 'lapses without a look at the beats', scenario: 'a beat arrives at last' },
  { fault: 'an empty register has no number of its own', scenario: 'late founder' },
  { fault: 'a register that was read is written without a look at its number' },
  { fault: 'a beat that comes twice hides those between', scenario: 'a beat comes twice' }
]

/** The real rules with one fault. */
export async function mutateRules(mutant: Mutant): Promise<Machines> {
  return (await mutateFleet(mutant, ['fleet-core.ts'])) as Machines
}
