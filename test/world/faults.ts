import { Chance } from './chance.ts'
import type { Character, FaultName } from './character.ts'
import { UPSTREAM_PORT, type WorldGateway } from './gateway.ts'
import type { Disk } from './files.ts'
import type { Link, Network } from './network.ts'
import type { PlannedFault } from './plan.ts'
import type { Touches } from './touches.ts'
import type { WorldUpstream } from './upstream.ts'
import type { Actor, World } from './world.ts'

/** Whether the upstream can be reached. */
export interface Reach {
  state: 'open' | 'refused' | null
}

export interface FaultOptions {
  readonly world: World
  readonly network: Network
  readonly gateway: WorldGateway
  readonly character: Character
  readonly reach: Reach
  readonly disk: Disk
  readonly upstream: WorldUpstream
  readonly touches: Touches
  /** Those of the plan that shall happen. */
  readonly plan: readonly PlannedFault[]
}

const HOUR_MS = 3_600_000
/** Part of the workers that are killed while the upstream stands still. */
const BESIDE_STANDSTILL = 0.3

/** Carries out what goes wrong around the gateway, as planned. */
export class Faults {
  /** Numbers of those that have happened. */
  readonly happened: number[] = []
  /** A full disk may lack what was written last. */
  hadFullDisk = false
  readonly #options: FaultOptions
  /** Virtual ms. */
  readonly #pausedUntil = new Map<Actor, number>()
  #isOver = false

  constructor(options: FaultOptions) {
    this.#options = options
    const { world, plan } = options
    for (const fault of plan)
      world.after(fault.at, () => this.#happen(fault), { actor: world.nature })
  }

  /** No more faults; those that last have ended by the time that this returns. */
  end(): void {
    this.#isOver = true
    const { gateway, reach, disk, upstream } = this.#options
    for (const { actor } of gateway.workers()) actor.isPaused = false
    gateway.primaryActor.isPaused = false
    gateway.startsLateMs = 0
    upstream.actor.isPaused = false
    reach.state = 'open'
    disk.isFull = false
    disk.slowness = 1
  }

  #happen({ number, name, seed }: PlannedFault): void {
    if (this.#isOver) return
    this.happened.push(number)
    this.#options.world.note(`fault ${number}: ${name}`)
    this.#acts[name](new Chance(seed))
  }

  readonly #acts: Readonly<Record<FaultName, (chance: Chance) => void>> = {
    cut: (chance) => {
      const link = this.#pickLink(chance)
      if (link === null) return
      this.#options.touches.onLink(link, 'a connection of it was cut')
      link.cut()
    },
    halve: (chance) => {
      const link = this.#pickLink(chance, UPSTREAM_PORT)
      if (link === null) return
      this.#options.touches.onLink(link, 'the upstream lost its connection')
      link.halve()
    },
    vanish: (chance) => {
      const link = this.#pickLink(chance, UPSTREAM_PORT)
      if (link === null) return
      this.#options.touches.onLink(link, 'its connection vanished')
      link.vanish()
    },
    kill: (chance) => {
      const { gateway, touches } = this.#options
      const workers = gateway.workers()
      if (workers.length === 0) return
      const worker = chance.pick(workers)
      touches.onKill(worker.actor)
      worker.kill()
      // An upstream that stands still keeps the connections of the dead.
      if (chance.isTrue(BESIDE_STANDSTILL)) this.#pause(this.#options.upstream.actor, 3_000)
    },
    pause: (chance) => {
      const { gateway } = this.#options
      const workers = gateway.workers()
      if (workers.length === 0) return
      const { actor } = chance.pick(workers)
      const pauseMs = chance.pick([50, 500, 3_000, 40_000])
      this.#pause(actor, pauseMs)
    },
    'pause primary': (chance) => {
      this.#pause(this.#options.gateway.primaryActor, chance.pick([50, 500, 3_000]))
    },
    slow: (chance) => this.#pause(this.#options.upstream.actor, chance.pick([30, 300, 3_000])),
    refuse: (chance) => this.#unreachable('refused', chance),
    silence: (chance) => this.#unreachable(null, chance),
    resize: (chance) => {
      const { gateway, character } = this.#options
      const now = gateway.config.pool.maxConnections ?? character.maxConnections
      const most = Math.max(character.workers, chance.pick([2, 3, 5, 8, 20, now - 1, now - 2]))
      gateway.reload({
        HTTP_MAX_CONNECTIONS: String(most),
        HTTP_MAX_KEEPALIVE_CONNECTIONS: String(Math.ceil(most / 2))
      })
    },
    restart: () => this.#options.gateway.restartWorkers(),
    'late start': (chance) => {
      const { gateway } = this.#options
      gateway.startsLateMs = chance.pick([1_000, 8_000])
      this.#later(60_000, () => (gateway.startsLateMs = 0))
    },
    clock: (chance) => {
      const { gateway } = this.#options
      const actors = [gateway.primaryActor, ...gateway.workers().map(({ actor }) => actor)]
      chance.pick(actors).wallOffsetMs = chance.between(-HOUR_MS, HOUR_MS)
    },
    'full disk': (chance) => {
      const { disk } = this.#options
      this.hadFullDisk = true
      disk.isFull = true
      this.#later(chance.between(500, 60_000), () => (disk.isFull = false))
    },
    'slow disk': (chance) => {
      const { disk } = this.#options
      disk.slowness = chance.pick([10, 100])
      this.#later(chance.between(500, 60_000), () => (disk.slowness = 1))
    }
  }

  /** A pause that begins within another one ends with the longer of them. */
  #pause(actor: Actor, pauseMs: number): void {
    const { world, touches } = this.#options
    touches.onPause(actor, pauseMs)
    const until = Math.max(this.#pausedUntil.get(actor) ?? 0, world.now + pauseMs)
    this.#pausedUntil.set(actor, until)
    actor.isPaused = true
    this.#later(pauseMs, () => {
      if ((this.#pausedUntil.get(actor) ?? 0) <= world.now) actor.isPaused = false
    })
  }

  /** Any connection, or one to this port; `null` if there is none. A renewal is spared: its token would be lost. */
  #pickLink(chance: Chance, to?: number): Link | null {
    const links = [...this.#options.network.links].filter(
      ({ port, client }) => (to === undefined || port === to) && !client.carriesRenewal
    )
    return links.length === 0 ? null : chance.pick(links)
  }

  #unreachable(state: 'refused' | null, chance: Chance): void {
    const { reach } = this.#options
    reach.state = state
    this.#later(chance.between(500, 20_000), () => (reach.state = 'open'))
  }

  #later(delayMs: number, end: () => void): void {
    const { world } = this.#options
    world.after(delayMs, end, { actor: world.nature })
  }
}
