import type { FleetCore } from '../../src/fleet/fleet-core.ts'
import type { FleetAnswer, FleetQuestion } from '../../src/fleet/fleet-store.ts'
import type { FleetEntry } from '../../src/fleet/fleet-state.ts'
import type { Instant } from '../../src/shared/elapsed.ts'
import { ModelEngine } from './world/model-engine.ts'
import { TICK_MS, TIMES, type WorldOptions } from './world/world-terms.ts'

/*
 * What a walk at random hardly ever comes upon: two members, a Valkey, and everything in an order of its own. Each returns
 * what was violated; `null` where nothing was.
 */

const MAX = 10

class Duel {
  readonly engine: ModelEngine
  readonly #options: WorldOptions
  #now = 0
  #incs = 0

  constructor(options: WorldOptions) {
    this.#options = options
    const { fault, tell } = options
    this.engine = new ModelEngine({
      random: () => 0.5,
      now: () => this.#now,
      onWritten: () => {},
      isResized: false,
      fault,
      tell
    })
  }

  create(name: string): FleetCore {
    return new this.#options.machines.FleetCore({
      name,
      max: MAX,
      replicas: 2,
      check: 'check',
      times: TIMES,
      createInc: () => `${name}${(this.#incs += 1)}`,
      ended: [],
      known: {},
      isSole: false
    })
  }

  get at(): Instant {
    return { mono: this.#now, wall: this.#now, up: this.#now }
  }

  wait(ticks: number): void {
    this.#now += ticks * TICK_MS
  }

  /** What it would ask now; it waits for the answer until it hears one. */
  ask(core: FleetCore): FleetQuestion | null {
    return core.next(this.at)
  }

  hear(core: FleetCore, answer: FleetAnswer): void {
    core.onAnswer(answer, this.at)
  }

  /** Asks until it has nothing to ask, with an answer each time; or until it asks such a thing, which nobody answers. */
  live(core: FleetCore, until: FleetQuestion['type'] | null = null): FleetQuestion | null {
    core.onNews(null)
    for (let asked = 0; asked < 20; asked += 1) {
      const question = this.ask(core)
      if (question === null || question.type === until) return question
      this.hear(core, this.engine.execute(question))
    }
    throw new Error('it never comes to rest')
  }

  judge(...cores: readonly FleetCore[]): void {
    const sum = cores.reduce((total, core) => total + core.size(this.at), 0)
    if (sum > MAX) throw new Error(`${sum} of ${MAX}`)
  }

  /** Both have their share. */
  open(): readonly [FleetCore, FleetCore] {
    const [a, b] = [this.create('a'), this.create('b')]
    for (const one of [a, b, a]) this.live(one)
    if (a.size(this.at) !== 5 || b.size(this.at) !== 5) throw new Error('they do not serve')
    return [a, b]
  }
}

/** A primary stands still with a beat on its way, which arrives when another has just found it silent for too long. */
function beatArrivesAtLast(duel: Duel): void {
  const [a, b] = duel.open()
  let beat: FleetQuestion | null = null
  let lapse: FleetQuestion | null = null
  for (let tick = 1; tick < 40 && lapse === null; tick += 1) {
    duel.wait(1)
    if (tick === 27) beat = duel.live(a, 'beat')
    const told = duel.live(b, tick < 30 ? null : 'cas')
    if (told?.type === 'cas') lapse = told
  }
  if (beat?.type !== 'beat' || lapse?.type !== 'cas') throw new Error('not what was meant')
  duel.hear(a, duel.engine.execute(beat))
  duel.hear(b, duel.engine.execute(lapse))
  b.setWant(MAX, 0)
  duel.wait(1)
  duel.live(b)
  duel.judge(a, b)
}

/** A member enters and falls silent before its first beat; it lapses, Valkey forgets, and it is back. */
function backAfterNoBeat(duel: Duel): void {
  const [a, b] = [duel.create('a'), duel.create('b')]
  duel.live(b)
  const beat = duel.live(a, 'beat')
  if (beat === null || a.held === 0) throw new Error('not what was meant')
  b.setWant(MAX, 0)
  for (let ticks = 0; ticks < 40; ticks += 1) {
    duel.wait(1)
    duel.live(b)
  }
  if (b.size(duel.at) !== MAX) throw new Error('it did not lapse')
  duel.engine.flush()
  a.onUnknown(duel.at)
  for (let ticks = 0; ticks < 3; ticks += 1) {
    duel.wait(1)
    for (const one of [b, a]) duel.live(one)
    duel.judge(a, b)
  }
}

/** Valkey forgets twice; what was to be written after the first time is written after the second. */
function lateFounder(duel: Duel): void {
  const [a, b] = duel.open()
  duel.engine.flush()
  const late = duel.live(a, 'cas')
  a.onUnknown(duel.at)
  duel.wait(1)
  for (const one of [b, a, b]) duel.live(one)
  a.setWant(MAX, 0)
  b.giveBack(4)
  duel.wait(1)
  for (const one of [a, b, a]) duel.live(one)
  if (late?.type !== 'cas' || a.size(duel.at) !== 9) throw new Error('not what was meant')
  duel.engine.flush()
  duel.engine.execute(late)
  b.setWant(MAX, 0)
  for (let ticks = 0; ticks < 3; ticks += 1) {
    duel.wait(1)
    duel.live(b)
    duel.judge(a, b)
  }
}

/** A beat arrives once more after a later one, which another has not seen: that must not look as if there had been none. */
function beatComesTwice(duel: Duel): void {
  const [a, b] = duel.open()
  duel.wait(2)
  const beat = duel.live(a, 'beat')
  if (beat?.type !== 'beat') throw new Error('not what was meant')
  duel.hear(a, duel.engine.execute(beat))
  duel.live(b)
  duel.wait(10)
  duel.live(a)
  duel.engine.execute(beat)
  b.setWant(MAX, 0)
  for (let ticks = 0; ticks < 30; ticks += 1) {
    duel.live(b)
    duel.judge(a, b)
    duel.wait(1)
  }
}

/** Valkey forgets, and counts as many beats as it had; who saw nothing of that must not take them for the same. */
function countedAnew(duel: Duel): void {
  const [a, b] = duel.open()
  const countOf = (): number => {
    const { beats, state } = duel.engine.register
    const inc = Object.keys(state?.members ?? {}).find((one) => one.startsWith('a')) ?? ''
    return Number(beats[inc] ?? -1)
  }
  duel.live(b)
  const seen = countOf()
  duel.engine.flush()
  duel.wait(10)
  duel.live(a)
  if (countOf() !== seen) throw new Error('not what was meant')
  for (let ticks = 0; ticks < 30; ticks += 1) {
    b.setWant(MAX, 0)
    duel.live(b)
    duel.judge(a, b)
    duel.wait(1)
  }
}

/** Somebody writes that each member has more than there is. */
function moreForEach(duel: Duel): void {
  const [a, b] = duel.open()
  lieOfMembers(duel, ({ granted }) => ({ granted: granted + 1_000 }))
  for (const one of [a, b, a]) {
    duel.live(one)
    duel.judge(a, b)
  }
  rest(duel, a, b)
}

/** Somebody writes a larger maximum, and a word of an operator has that granted. */
function anotherMaximum(duel: Duel): void {
  const [a, b] = duel.open()
  a.setWant(MAX, 0)
  duel.wait(1)
  duel.live(a)
  lieOfMembers(duel, () => ({ max: 10_000 }))
  duel.engine.command({ type: 'forget', name: 'nobody' })
  for (const one of [a, b, a]) {
    duel.live(one)
    duel.judge(a, b)
  }
  rest(duel, a, b)
}

/** Somebody sets the beats of a member back after each of them: others must not take it for silent while it is sure of its lease. */
function beatsSetBack(duel: Duel): void {
  const [a, b] = duel.open()
  b.setWant(MAX, 0)
  for (let ticks = 0; ticks < 60; ticks += 1) {
    duel.wait(1)
    duel.live(a)
    duel.engine.lie(({ beats }) => ({
      beats: Object.fromEntries(
        Object.entries(beats).map(([inc, beat]) => [inc, inc.startsWith('a') ? '0' : beat])
      )
    }))
    duel.live(b)
    duel.judge(a, b)
  }
}

function lieOfMembers(duel: Duel, change: (entry: FleetEntry) => Partial<FleetEntry>): void {
  duel.engine.lie(({ state }) => {
    if (state === null) return {}
    const members = Object.fromEntries(
      Object.entries(state.members).map(([inc, entry]) => [inc, { ...entry, ...change(entry) }])
    )
    const max = Math.min(...Object.values(members).map((entry) => entry.max))
    const rev = state.rev + 1
    return { rev, state: { ...state, rev, max, members } }
  })
}

/** It ends in an era of its own, in which both have what is theirs. */
function rest(duel: Duel, a: FleetCore, b: FleetCore): void {
  for (let ticks = 0; ticks < 4; ticks += 1) {
    duel.wait(1)
    for (const one of [a, b]) duel.live(one)
    duel.judge(a, b)
  }
  const { state } = duel.engine
  const sum = a.size(duel.at) + b.size(duel.at)
  if (state?.phase !== 'open' || sum !== MAX) throw new Error(`${sum} of ${MAX} in the end`)
}

const SCENARIOS = {
  'a beat arrives at last': beatArrivesAtLast,
  'a maximum that is not ours': anotherMaximum,
  'beats that are set back': beatsSetBack,
  'more for each than there is': moreForEach,
  'a beat comes twice': beatComesTwice,
  'back after no beat': backAfterNoBeat,
  'counted anew': countedAnew,
  'late founder': lateFounder
} as const
export type ScenarioName = keyof typeof SCENARIOS
export const SCENARIO_NAMES = Object.keys(SCENARIOS) as ScenarioName[]

export function playScenario(name: ScenarioName, options: WorldOptions): string | null {
  const duel = new Duel(options)
  try {
    SCENARIOS[name](duel)
    return null
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause)
  }
}
