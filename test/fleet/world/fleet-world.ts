import { permitsOf } from '../../../src/fleet/fleet-state.ts'
import { seededRandom } from '../../helper/seeded-random.ts'
import { Disturbances, type Harm, type Turn } from './disturbances.ts'
import { ModelEngine } from './model-engine.ts'
import { ModelProcess } from './model-process.ts'
import {
  below,
  createFolder,
  type Folder,
  pick,
  TICK_MS,
  TIMES,
  type WorldOptions,
  type WorldPorts
} from './world-terms.ts'

const MAX_PROCESSES = 6
const SETTLING_TICKS = 160

/** Sockets of processes that were killed. */
interface Orphan {
  readonly folder: Folder
  readonly inc: string
  readonly count: number
  readonly goneAt: number
}

/**
 * A fleet, its engine and its upstream, in which everything may go wrong that may go wrong. All of it follows from the seed
 * of the world and the seeds of its steps.
 */
export class FleetWorld {
  readonly #options: WorldOptions
  readonly #ports: WorldPorts
  readonly #engine: ModelEngine
  readonly #folders: readonly Folder[]
  readonly #disturbances: Disturbances
  /** `FLEET_IDENTITY=statefulset` */
  readonly #isSole: boolean
  /** The upstream never sees more. */
  #limit: number
  /** The limit is changed in this world. */
  readonly #isResized: boolean
  #random: () => number
  #now = 0
  #incs = 0
  #processes: ModelProcess[] = []
  #orphans: Orphan[] = []

  constructor(options: WorldOptions, seed: number) {
    this.#options = options
    this.#random = seededRandom(seed)
    const random = (): number => this.#random()
    const { fault, tell } = options
    this.#ports = { random, now: () => this.#now, fault, tell }
    const count = 2 + below(random, 3)
    this.#limit = 3 + below(random, 14)
    this.#isSole = random() < 0.2
    this.#isResized = random() < 0.2
    this.#disturbances = new Disturbances(random)
    this.#folders = Array.from({ length: count }, (_, at) => createFolder(`m${at}`, this.#limit))
    this.#engine = new ModelEngine({
      ...this.#ports,
      isResized: this.#isResized,
      onWritten: (rev) => {
        for (const one of this.#processes)
          if (random() < 0.9) one.hear(random() < 0.05 ? null : rev)
      }
    })
    for (const folder of this.#folders) if (random() < 0.8) this.#start(folder)
  }

  /** One thing happens. */
  step(seed: number): void {
    this.#random = seededRandom(seed)
    const random = this.#random
    const dice = random()
    const one = pick(random, this.#processes)
    if (dice < 0.2) this.#tick()
    else if (dice < 0.75) one?.live(this.#limit)
    else if (dice < 0.9) one?.progress()
    else if (dice < 0.93) this.#engine.runLate()
    else if (random() < this.#disturbances.rate) {
      const what = this.#disturbances.next(random)
      if ('turn' in what) this.#turn(what.turn)
      else if (one !== undefined) this.#harm(what.harm, one)
    }
    this.#judge()
  }

  /** Everything is mended; then all permits must be where they are wanted. */
  settle(seed: number): void {
    this.#random = seededRandom(seed)
    this.#engine.upAt = 0
    const names = new Set<string>()
    for (const one of this.#processes.toReversed()) {
      one.mend()
      one.hasNetwork = true
      one.mendsAt = Infinity
      if (names.has(one.folder.name)) this.#kill(one, 0)
      names.add(one.folder.name)
    }
    for (let ticks = 0; ticks < SETTLING_TICKS; ticks += 1) {
      this.#tick()
      for (const folder of this.#folders) {
        if (this.#processes.every((one) => one.folder.name !== folder.name)) this.#start(folder)
      }
      for (let rounds = 0; rounds < 12; rounds += 1) this.#settleSome()
      this.#judge()
    }
    this.#judgeRest()
  }

  #settleSome(): void {
    this.#engine.runLate()
    for (const one of this.#processes) {
      one.want = one === this.#processes[0] ? this.#limit : 0
      one.progress()
      one.useSockets(0.3)
      one.useSockets(0.8)
    }
  }

  #judgeRest(): void {
    const { state } = this.#engine
    if (state === null || state.phase !== 'open') throw new Error(`not open: ${this.#describe()}`)
    if (Object.keys(state.members).length !== this.#processes.length) {
      throw new Error(`strangers are left: ${this.#describe()}`)
    }
    const max = Math.min(...this.#processes.map(({ folder }) => folder.max))
    const [first, ...others] = this.#processes
    const held = others.reduce((sum, one) => sum + one.core.size(one.instant()), 0)
    const size = first?.core.size(first.instant()) ?? 0
    if (size < max - others.length || size + held > max) {
      throw new Error(`not lent: ${this.#describe()}`)
    }
  }

  #tick(): void {
    this.#now += TICK_MS
    this.#options.tell?.(`at ${this.#now / TICK_MS}`)
    const machines = new Set(this.#processes.map(({ folder }) => folder.machine))
    for (const machine of machines) if (machine.isAsleep) machine.monoOffset -= TICK_MS
    this.#orphans = this.#orphans.filter(({ goneAt }) => goneAt > this.#now)
    for (const one of this.#processes) one.tick()
  }

  #turn(what: Turn): void {
    const random = this.#random
    this.#options.tell?.(what)
    switch (what) {
      case 'start':
        this.#startAny()
        break
      case 'start a twin':
        this.#startTwin()
        break
      case 'Valkey restarts':
        if (this.#isRemembered()) this.#engine.restart()
        break
      case 'Valkey is flushed':
        if (this.#isRemembered()) this.#engine.flush()
        break
      case 'Valkey is away':
        this.#engine.upAt = this.#later()
        break
      case 'resize':
        if (this.#isResized) this.#resize()
        break
      case 'forget':
        this.#forget(pick(random, this.#folders)?.name ?? '')
        break
      case 'open':
        if (this.#areAllListed()) this.#engine.command({ type: 'open' })
        break
    }
  }

  #harm(what: Harm, one: ModelProcess): void {
    this.#options.tell?.(`${what}: ${one.folder.name}/${one.core.inc}`)
    switch (what) {
      case 'kill':
        this.#kill(one, 1 + below(this.#random, 2))
        return
      case 'kill the primary of stopped workers':
        this.#kill(one, (one.keepsUntil - this.#now) / TICK_MS)
        return
      case 'leave':
        one.leave()
        return
      case 'set the clock':
        one.folder.machine.wallOffset += (below(this.#random, 81) - 40) * TICK_MS
        return
      case 'stop the primary':
        one.life = 'core stopped'
        break
      case 'stop all':
        one.life = 'all stopped'
        break
      case 'sleep':
        one.life = 'all stopped'
        one.folder.machine.isAsleep = true
        break
      case 'cut the network':
        one.hasNetwork = false
        break
    }
    one.mendsAt = this.#later()
  }

  #later(): number {
    return this.#now + this.#disturbances.length(this.#random) * TICK_MS
  }

  #startAny(): void {
    const folder = pick(this.#random, this.#folders)
    if (folder !== undefined && this.#processes.length < MAX_PROCESSES) this.#start(folder)
  }

  /** A machine is lost, and another is given its name; only the first of them ever is. */
  #startTwin(): void {
    const [folder] = this.#folders
    if (folder === undefined || this.#isSole || this.#processes.length >= MAX_PROCESSES) return
    this.#start(createFolder(folder.name, folder.max))
  }

  #start(folder: Folder): void {
    const isBlind = this.#options.fault === 'attests the death of a process that was stopped'
    const holder = this.#processes.find((one) => one.folder === folder)
    if (holder !== undefined && !(isBlind && holder.life !== 'running')) return
    if (this.#orphans.some((one) => one.folder === folder)) return
    const isTaken = this.#processes.some((one) => one.folder.name === folder.name)
    if (this.#isSole && isTaken && !isBlind) return
    const core = new this.#options.machines.FleetCore({
      name: folder.name,
      max: folder.max,
      replicas: this.#folders.length,
      check: 'check',
      times: TIMES,
      createInc: () => `i${(this.#incs += 1)}`,
      ended: folder.incs,
      known: folder.known,
      isSole: this.#isSole
    })
    const onEnd = (): void => this.#kill(one, 1)
    const one = new ModelProcess({ ...this.#ports, folder, core, engine: this.#engine, onEnd })
    this.#processes.push(one)
  }

  #kill(one: ModelProcess, ticks: number): void {
    if (!this.#processes.includes(one)) return
    this.#processes = this.#processes.filter((other) => other !== one)
    const { sockets: count, folder, core, unanswered } = one
    folder.machine.isAsleep = false
    const goneAt = this.#now + ticks * TICK_MS
    if (count > 0 && ticks > 0) this.#orphans.push({ folder, inc: core.inc, count, goneAt })
    if (unanswered !== null && this.#random() < 0.5) this.#engine.abandon(unanswered)
  }

  #resize(): void {
    const max = 3 + below(this.#random, 14)
    this.#limit = Math.max(this.#limit, max)
    const chosen = pick(this.#random, this.#folders)
    for (const folder of this.#folders) {
      if (this.#random() < 0.5 && folder !== chosen) continue
      folder.max = max
      for (const one of this.#processes) {
        if (one.folder === folder) one.core.setSize(max, this.#folders.length)
      }
    }
  }

  /** What no lease can keep: of whoever has something, somebody knows who has a name of its own. */
  #isRemembered(): boolean {
    const [first, ...others] = this.#folders
    const isSafe = (name: string, inc: string): boolean =>
      name !== first?.name || others.some(({ known }) => inc in known)
    const members = Object.entries(this.#engine.state?.members ?? {})
    return (
      // What was granted a moment ago may not have been heard.
      members.every(([inc, entry]) => permitsOf(entry) === 0 || isSafe(entry.name, inc)) &&
      this.#processes.every(
        ({ folder, reach, core }) => reach === 0 || isSafe(folder.name, core.inc)
      ) &&
      this.#orphans.every(({ folder, inc }) => isSafe(folder.name, inc))
    )
  }

  #forget(name: string): void {
    const isAlive = this.#processes.some(({ folder }) => folder.name === name)
    const isLeft = this.#orphans.some(({ folder }) => folder.name === name)
    if (!isAlive && !isLeft) this.#engine.command({ type: 'forget', name })
  }

  #areAllListed(): boolean {
    const { members = {} } = this.#engine.state ?? {}
    return (
      this.#orphans.length === 0 &&
      this.#processes.every(
        ({ reach, core, life }) => core.inc in members || (reach === 0 && life === 'running')
      )
    )
  }

  #judge(): void {
    let sum = 0
    for (const { reach } of this.#processes) sum += reach
    for (const { count } of this.#orphans) sum += count
    if (sum > this.#limit) throw new Error(`${sum} of ${this.#limit}: ${this.#describe()}`)
  }

  #describe(): string {
    const processes = this.#processes.map((one) => ({
      name: one.folder.name,
      inc: one.core.inc,
      max: one.folder.max,
      stage: one.core.stage(one.instant()),
      size: one.core.size(one.instant()),
      sockets: one.sockets,
      life: one.life,
      hasNetwork: one.hasNetwork,
      refusal: one.core.refusal
    }))
    const orphans = this.#orphans.map(({ folder, ...one }) => ({ name: folder.name, ...one }))
    const replicas = this.#folders.length
    const facts = { at: this.#now, replicas, isSole: this.#isSole, isUp: this.#engine.isUp }
    return JSON.stringify(
      { ...facts, processes, orphans, register: this.#engine.register },
      null,
      1
    )
  }
}
