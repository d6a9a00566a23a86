import { elapsedMs, type FleetTimes, type Instant } from '../../src/shared/elapsed.ts'
import type { FleetAnswer, FleetQuestion, FleetReading } from '../../src/fleet/fleet-engine.ts'
import type { FleetCore } from '../../src/fleet/fleet-core.ts'
import {
  type FleetState,
  permitsOf,
  grantableIn,
  sumOfLeases
} from '../../src/fleet/fleet-state.ts'

/** What a world is made of: the real core, or one with a fault. */
export interface Machines {
  readonly FleetCore: typeof FleetCore
}

/** A fault outside of the core: in what keeps the sockets, or in the engine's scripts. */
export type WorldFault =
  | 'returns before sockets are gone'
  | 'workers do not look at the lease on waking'
  | 'attests the death of a process that was stopped'
  | 'beats count in any era'
  | 'lapses without a look at the beats'

export interface WorldOptions {
  readonly machines: Machines
  readonly random: () => number
  readonly fault?: WorldFault | undefined
}

const TICK_MS = 1_000
/** In ticks; see `fleetTimes()`. */
export const TIMES: FleetTimes = {
  beatMs: 2 * TICK_MS,
  closesMs: 24 * TICK_MS,
  cutsMs: 28 * TICK_MS,
  lapsesMs: 33 * TICK_MS,
  contactMs: 10 * TICK_MS
}
const LEASE_MS = 30 * TICK_MS
const TIMEOUT_MS = 3 * TICK_MS
const MAX_PROCESSES = 6

/** A folder that outlives its processes, and what the lock in it knows. */
interface Folder {
  readonly name: string
  readonly incs: string[]
  known: Readonly<Record<string, string>>
}

interface Process {
  readonly folder: Folder
  readonly core: FleetCore
  /** Connections as the upstream counts them: open, and on their way out until a tick. */
  open: number
  closing: { count: number; readonly goneAt: number }[]
  lending: number
  want: number
  life: 'running' | 'core stopped' | 'all stopped'
  hasNetwork: boolean
  /** What was taken from it comes back then. */
  mendsAt: number
  /** From which the workers count. */
  term: Instant | null
  asked: {
    readonly question: FleetQuestion
    readonly at: number
    answer: FleetAnswer | null
  } | null
}

/** A fleet, its engine and its upstream, in which everything may go wrong that may go wrong. */
export class FleetWorld {
  readonly #options: WorldOptions
  readonly #random: () => number
  readonly max: number
  readonly replicas: number
  readonly isSole: boolean
  #now = 0
  #incs = 0
  #runs = 1
  #processes: Process[] = []
  readonly #folders: Folder[]
  /** Of processes that were killed. */
  #orphans: { readonly folder: Folder; readonly count: number; readonly goneAt: number }[] = []
  /** Writes that nobody waits for any more, and that happen all the same. */
  #late: FleetQuestion[] = []
  #upAt = 0
  readonly #unrest: number
  /**
   * Machines that are lost, and others that are given their names. Where the engine forgets, too, nobody may be left who
   * knows of the first: what no lease can keep.
   */
  readonly #hasTwins: boolean
  #register: { run: string; rev: number; state: FleetState | null; beats: Record<string, string> }
  #snapshots: FleetState[] = []

  constructor(options: WorldOptions) {
    this.#options = options
    this.#random = options.random
    const names = 2 + this.#below(3)
    this.max = 3 + this.#below(14)
    this.replicas = names
    this.isSole = this.#random() < 0.2
    this.#hasTwins = !this.isSole && this.#random() < 0.3
    this.#unrest = [0.1, 0.3, 1][this.#below(3)] ?? 1
    this.#folders = Array.from({ length: names }, (_, at) => ({
      name: `m${at}`,
      incs: [],
      known: {}
    }))
    this.#register = { run: 'run1', rev: 0, state: null, beats: {} }
    for (const folder of this.#folders) if (this.#random() < 0.8) this.#start(folder)
  }

  /** One thing happens. */
  step(): void {
    const dice = this.#random()
    if (dice < 0.2) this.#tick()
    else if (dice < 0.75) this.#live(this.#pick(this.#processes))
    else if (dice < 0.9) this.#progress()
    else if (dice < 0.93) this.#runLate()
    else if (this.#random() < this.#unrest) this.#disturb()
    this.#check()
  }

  /** A process goes on for a while as if nothing were wrong. */
  #live(one: Process | undefined): void {
    if (one === undefined) return
    const dice = this.#random()
    if (dice < 0.15) one.want = dice < 0.08 ? this.max : this.#below(this.max + 1)
    else if (dice < 0.18) one.want = 0
    for (let rounds = this.#below(4); rounds >= 0; rounds -= 1) {
      this.#progressOf(one)
      if (this.#random() < 0.5) this.#useSockets(one, this.#random())
    }
  }

  /** Everything is mended; then all permits must be where they are wanted. */
  settle(): void {
    this.#upAt = 0
    for (const one of this.#processes) {
      one.hasNetwork = true
      one.mendsAt = Infinity
      one.life = 'running'
      this.#wake(one)
    }
    const names = new Set<string>()
    for (const one of this.#processes.toReversed()) {
      if (names.has(one.folder.name)) this.#kill(one)
      names.add(one.folder.name)
    }
    for (let ticks = 0; ticks < 160; ticks += 1) {
      this.#tick()
      for (const folder of this.#folders) {
        if (this.#processes.every((one) => one.folder.name !== folder.name)) this.#start(folder)
      }
      for (let rounds = 0; rounds < 12; rounds += 1) {
        this.#runLate()
        for (const one of this.#processes) {
          one.want = one === this.#processes[0] ? this.max : 0
          this.#progressOf(one)
          this.#useSockets(one, 0.3)
          this.#useSockets(one, 0.8)
        }
      }
      this.#check()
    }
    this.#judgeRest()
  }

  #judgeRest(): void {
    const { state } = this.#register
    if (state === null || state.phase !== 'open') throw new Error(`not open: ${this.#describe()}`)
    if (Object.keys(state.members).length !== this.#processes.length) {
      throw new Error(`strangers are left: ${this.#describe()}`)
    }
    const [first, ...others] = this.#processes
    const held = others.reduce((sum, { core }) => sum + core.size(this.#instant()), 0)
    const wanted = this.max - others.length
    const size = first?.core.size(this.#instant()) ?? 0
    if (size < wanted || size + held > this.max) throw new Error(`not lent: ${this.#describe()}`)
  }

  #tick(): void {
    this.#now += TICK_MS
    const now = this.#instant()
    this.#orphans = this.#orphans.filter(({ goneAt }) => goneAt > this.#now)
    for (const one of this.#processes) {
      one.closing = one.closing.filter(({ goneAt }) => goneAt > this.#now)
      // What no lease can keep: a process tree that was stopped for longer.
      if (one.life === 'all stopped' && one.term !== null && elapsedMs(one.term, now) >= LEASE_MS) {
        one.life = 'running'
        this.#wake(one)
      }
      if (this.#now >= one.mendsAt) this.#mend(one)
      if (one.life !== 'all stopped') this.#workersLook(one)
      const { asked } = one
      if (one.life === 'running' && asked !== null && this.#now - asked.at >= TIMEOUT_MS) {
        if (asked.answer === null && this.#random() < 0.6) this.#late.push(asked.question)
        one.asked = null
        one.core.onUnknown(now)
      }
      this.#pump(one)
    }
  }

  #mend(one: Process): void {
    one.mendsAt = Infinity
    if (this.#random() < 0.7) one.hasNetwork = true
    else one.mendsAt = this.#later()
    if (one.life === 'running') return
    one.life = 'running'
    this.#wake(one)
    this.#pump(one)
  }

  /** Within anything that may matter to a lease. */
  #later(): number {
    return this.#now + (1 + this.#below(this.#random() < 0.5 ? 6 : 45)) * TICK_MS
  }

  #wake(one: Process): void {
    const fault = this.#options.fault === 'workers do not look at the lease on waking'
    if (!fault) this.#workersLook(one)
  }

  /** Workers reset everything by themselves when the time has come. */
  #workersLook(one: Process): void {
    if (one.term === null || elapsedMs(one.term, this.#instant()) < TIMES.cutsMs) return
    if (this.#options.fault === 'workers do not look at the lease on waking') {
      if (one.life === 'running' && this.#random() < 0.9) return
    }
    this.#cut(one)
  }

  #cut(one: Process): void {
    this.#close(one, one.open)
    one.term = null
  }

  #close(one: Process, wanted: number): void {
    const count = Math.min(wanted, one.open)
    if (count <= 0) return
    one.open -= count
    one.closing.push({ count, goneAt: this.#now + this.#below(3) * TICK_MS })
  }

  /** Opens, closes and lends; nothing of it while the process is stopped. */
  #useSockets(one: Process, dice: number): void {
    if (one.life === 'all stopped') return
    const now = this.#instant()
    this.#workersLook(one)
    if (one.life === 'core stopped') {
      if (dice > 0.9) this.#close(one, this.#below(one.open + 1))
      return
    }
    const { core } = one
    this.#pump(one)
    if (core.stage(now) === 'cut') {
      this.#cut(one)
      one.lending = 0
      if (socketsOf(one) === 0) {
        core.onAllGone()
        one.folder.incs.push(core.inc)
        this.#pump(one)
      }
      return
    }
    const size = core.size(now)
    const room = size - one.lending - socketsOf(one)
    if (dice < 0.7 && room > 0 && one.want > 0) {
      const count = 1 + this.#below(Math.min(room, one.want))
      one.open += count
      one.want -= count
    } else if (dice > 0.85) this.#close(one, this.#below(one.open + 1))
    this.#lend(one, size)
    core.setWant(Math.max(0, one.want - Math.max(0, room)), this.#below(5) * TICK_MS)
    this.#pump(one)
  }

  #lend(one: Process, size: number): void {
    const { core } = one
    if (one.lending === 0) {
      const { permits, urgent } = core.demand(this.#instant())
      const busy = Math.min(one.open, this.#below(one.open + 1))
      const idle = Math.max(0, size - busy - one.want)
      one.lending = Math.min(size, Math.max(urgent, Math.min(permits, idle)))
      this.#close(one, socketsOf(one) - (size - one.lending))
    }
    const isGone = socketsOf(one) <= size - one.lending
    const isEarly = this.#options.fault === 'returns before sockets are gone'
    if (one.lending > 0 && size > 0 && (isGone || isEarly)) {
      core.giveBack(one.lending)
      one.lending = 0
    }
  }

  get #isUp(): boolean {
    return this.#now >= this.#upAt
  }

  #progress(): void {
    const one = this.#pick(this.#processes)
    if (one !== undefined) this.#progressOf(one)
  }

  /** The question arrives, or the answer does. */
  #progressOf(one: Process): void {
    const { asked } = one
    if (asked === null) {
      this.#pump(one)
      return
    }
    if (asked.answer === null) {
      if (this.#isUp && one.hasNetwork) asked.answer = this.#execute(asked.question)
      return
    }
    if (one.life !== 'running' || !one.hasNetwork) return
    one.asked = null
    one.core.onAnswer(asked.answer, this.#instant())
    this.#pump(one)
  }

  #runLate(): void {
    if (!this.#isUp || this.#late.length === 0) return
    const [question] = this.#late.splice(this.#below(this.#late.length), 1)
    if (question === undefined) return
    this.#execute(question)
    if (this.#late.length < 20 && this.#random() < 0.1) this.#late.push(question) // doubled
  }

  #execute(question: FleetQuestion): FleetAnswer {
    const register = this.#register
    switch (question.type) {
      case 'read':
        return { type: 'read', reading: this.#reading() }
      case 'beat': {
        const { run, era, inc, n } = question.beat
        const { state, beats } = register
        const isEra = state?.era === era || this.#options.fault === 'beats count in any era'
        const isKept = run === register.run && isEra && beats[inc] !== undefined
        if (isKept) register.beats = { ...beats, [inc]: String(n) }
        const answer = { run: register.run, rev: register.rev, beats: register.beats, isKept }
        return { type: 'beat', answer }
      }
      case 'cas': {
        const { run, rev, next, expects } = question.proposal
        const isBlind = this.#options.fault === 'lapses without a look at the beats'
        const isExpected =
          isBlind || Object.entries(expects).every(([inc, beat]) => register.beats[inc] === beat)
        const isWritten = run === register.run && rev === register.rev && isExpected
        if (isWritten) this.#write(next)
        return { type: 'cas', answer: { isWritten, reading: this.#reading() } }
      }
    }
  }

  #write(next: FleetState): void {
    const { state, beats, run } = this.#register
    const isEra = state?.era === next.era
    const kept: Record<string, string> = {}
    for (const inc in next.members) kept[inc] = (isEra ? beats[inc] : undefined) ?? '0'
    this.#register = { run, rev: next.rev, state: next, beats: kept }
    if (this.#random() < 0.1) this.#snapshots = [...this.#snapshots.slice(-3), next]
    for (const one of this.#processes) if (one.hasNetwork) one.core.onNews(next.rev)
  }

  #reading(): FleetReading {
    const { run, rev, state, beats } = this.#register
    return {
      run,
      rev,
      beats,
      reading: state === null ? { type: 'none' } : { type: 'state', state }
    }
  }

  #disturb(): void {
    const one = this.#pick(this.#processes)
    const dice = this.#random()
    if (dice < 0.08 && this.#hasTwins) return
    if (dice < 0.05) this.#restartEngine()
    else if (dice < 0.08) this.#register = { ...this.#register, rev: 0, state: null, beats: {} }
    else if (dice < 0.12) this.#upAt = this.#later()
    else if (dice < 0.4) this.#startAny()
    else if (one === undefined) return
    else if (dice < 0.48) this.#kill(one)
    else {
      one.mendsAt = this.#later()
      if (dice < 0.68) one.life = this.#random() < 0.5 ? 'core stopped' : 'all stopped'
      else one.hasNetwork = false
    }
  }

  /** What comes back is as it was, older, or nothing. */
  #restartEngine(): void {
    this.#runs += 1
    const run = `run${this.#runs}`
    const state = this.#random() < 0.4 ? this.#register.state : this.#pick(this.#snapshots)
    if (state === undefined || state === null || this.#random() < 0.3) {
      this.#register = { run, rev: 0, state: null, beats: {} }
      return
    }
    const beats = Object.fromEntries(Object.keys(state.members).map((inc) => [inc, '0']))
    this.#register = { run, rev: state.rev, state, beats }
  }

  #startAny(): void {
    const folder = this.#pick(this.#folders)
    if (folder === undefined || this.#processes.length >= MAX_PROCESSES) return
    if (this.#hasTwins && this.#random() < 0.15) {
      this.#start({ name: folder.name, incs: [], known: {} })
    } else this.#start(folder)
  }

  #start(folder: Folder): boolean {
    const holder = this.#processes.find((one) => one.folder === folder)
    const isBlind = this.#options.fault === 'attests the death of a process that was stopped'
    if (holder !== undefined && !(isBlind && holder.life !== 'running')) return false
    if (this.#orphans.some((one) => one.folder === folder)) return false
    const isTaken = this.#processes.some((one) => one.folder.name === folder.name)
    if (this.isSole && isTaken && !isBlind) return false
    const core = new this.#options.machines.FleetCore({
      name: folder.name,
      max: this.max,
      replicas: this.replicas,
      check: 'check',
      times: TIMES,
      createInc: () => `i${(this.#incs += 1)}`,
      ended: folder.incs,
      known: folder.known,
      isSole: this.isSole
    })
    folder.incs.push(core.inc)
    this.#processes.push({
      folder,
      core,
      open: 0,
      closing: [],
      lending: 0,
      want: 0,
      life: 'running',
      hasNetwork: true,
      mendsAt: Infinity,
      term: null,
      asked: null
    })
    return true
  }

  #kill(one: Process): void {
    if (!this.#processes.includes(one)) return
    this.#processes = this.#processes.filter((other) => other !== one)
    const count = socketsOf(one)
    const goneAt = this.#now + (1 + this.#below(2)) * TICK_MS
    if (count > 0) this.#orphans.push({ folder: one.folder, count, goneAt })
    if (one.asked?.answer === null && this.#random() < 0.5) this.#late.push(one.asked.question)
  }

  #pump(one: Process): void {
    if (one.life !== 'running') return
    const now = this.#instant()
    const question = one.core.next(now)
    if (question !== null) one.asked = { question, at: this.#now, answer: null }
    one.folder.known = one.core.known
    if (one.core.sentAt !== null) one.term = one.core.sentAt
    if (one.core.refusal === 'name') this.#kill(one)
  }

  #check(): void {
    const { state } = this.#register
    if (state !== null) {
      const sum = sumOfLeases(state.members)
      if (sum > grantableIn(state))
        throw new Error(`more is leased than there is: ${this.#describe()}`)
      for (const entry of Object.values(state.members)) {
        if (permitsOf(entry) < 0) throw new Error(`a lease below nothing: ${this.#describe()}`)
      }
    }
    let sockets = 0
    for (const one of this.#processes) sockets += socketsOf(one)
    for (const { count } of this.#orphans) sockets += count
    if (sockets > this.max) throw new Error(`${sockets} sockets: ${this.#describe()}`)
  }

  #describe(): string {
    const processes = this.#processes.map((one) => ({
      name: one.folder.name,
      inc: one.core.inc,
      stage: one.core.stage(this.#instant()),
      size: one.core.size(this.#instant()),
      sockets: socketsOf(one),
      life: one.life,
      hasNetwork: one.hasNetwork,
      lending: one.lending,
      refusal: one.core.refusal
    }))
    const { max, replicas, isSole } = this
    const facts = { at: this.#now, max, replicas, isSole, isUp: this.#isUp, processes }
    return JSON.stringify({ ...facts, register: this.#register }, null, 1)
  }

  #instant(): Instant {
    return { mono: this.#now, wall: this.#now, up: this.#now }
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count)
  }

  #pick<T>(from: readonly T[]): T | undefined {
    return from[this.#below(from.length)]
  }
}

function socketsOf({ open, closing }: Process): number {
  return closing.reduce((sum, { count }) => sum + count, open)
}
