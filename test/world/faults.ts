import { Chance } from './chance.ts'
import type { Character, FaultName } from './character.ts'
import type { WorldEngine } from './engine.ts'
import type { WorldFleet } from './fleet.ts'
import { ENGINE_PORT } from './fleet-plan.ts'
import { UPSTREAM_PORT, type WorldGateway } from './gateway.ts'
import type { Disk } from './files.ts'
import type { Link, Network } from './network.ts'
import type { PlannedFault } from './plan.ts'
import type { WorldSignIn } from './sign-in.ts'
import type { Touches } from './touches.ts'
import type { WorldUpstream } from './upstream.ts'
import type { Actor, World } from './world.ts'

/** What can be reached. */
export interface Reach {
  /** The upstream. */
  state: 'open' | 'refused' | null
  /** Processes that do not reach Valkey, nor hear of it. */
  readonly cutOff: Set<Actor>
}

export interface FaultOptions {
  readonly world: World
  readonly network: Network
  readonly gateways: readonly WorldGateway[]
  /** `null` where the gateway is alone. */
  readonly engine: WorldEngine | null
  readonly fleet: WorldFleet | null
  readonly character: Character
  readonly reach: Reach
  readonly disk: Disk
  readonly upstream: WorldUpstream
  readonly signIn: WorldSignIn
  readonly touches: Touches
  /** Those of the plan that shall happen. */
  readonly plan: readonly PlannedFault[]
}

const HOUR_MS = 3_600_000
/** Part of the workers that are killed while the upstream stands still. */
const BESIDE_STANDSTILL = 0.3
/** Longest time without Valkey, as a part of what an access token is still good for. */
const AWAY_PART = 0.3
/** Between two faults of Valkey, or of a whole gateway, so that sign-ins can be renewed. Virtual ms. */
const CALM_MS = 20_000
const RESTART_MS = 3_000
/** A machine that comes back. */
const DOWN_MS = { from: 500, to: 30_000 }

/** Carries out what goes wrong around the gateway, as planned. */
export class Faults {
  /** Numbers of those that have happened. */
  readonly happened: number[] = []
  /** A full disk may lack what was written last. */
  hadFullDisk = false
  readonly #options: FaultOptions
  /** Virtual ms. */
  readonly #pausedUntil = new Map<Actor, number>()
  /** When a primary was stopped last: it counts its beats, and may not miss a worker that stands still meanwhile. */
  #primaryPausedAt = -Infinity
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
    const { gateways, engine, fleet, reach, disk, upstream } = this.#options
    for (const gateway of gateways) {
      for (const { actor } of gateway.workers()) actor.isPaused = false
      gateway.primaryActor.isPaused = false
      gateway.startsLateMs = 0
      fleet?.onBack(gateway)
    }
    reach.cutOff.clear()
    engine?.beginNow()
    if (engine !== null) engine.actor.isPaused = false
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
      const { touches } = this.#options
      const workers = this.#workers()
      if (workers.length === 0) return
      const worker = chance.pick(workers)
      touches.onKill(worker.actor)
      worker.kill()
      // An upstream that stands still keeps the connections of the dead.
      if (chance.isTrue(BESIDE_STANDSTILL)) this.#pause(this.#options.upstream.actor, 3_000)
    },
    pause: (chance) => {
      const workers = this.#workers()
      if (workers.length === 0) return
      const { actor } = chance.pick(workers)
      const pauseMs = chance.pick([50, 500, 3_000, 40_000])
      this.#pause(actor, pauseMs)
    },
    'pause primary': (chance) => {
      const gateway = this.#pickGateway(chance)
      const { fleet, world } = this.#options
      const pauseMs = chance.pick([50, 500, 3_000])
      this.#primaryPausedAt = world.now
      fleet?.onTrouble(gateway)
      this.#later(pauseMs, () => fleet?.onTrouble(gateway))
      this.#pause(gateway.primaryActor, pauseMs)
    },
    slow: (chance) => this.#pause(this.#options.upstream.actor, chance.pick([30, 300, 3_000])),
    refuse: (chance) => this.#unreachable('refused', chance),
    silence: (chance) => this.#unreachable(null, chance),
    resize: (chance) => {
      const { gateways, character } = this.#options
      const now = gateways[0]?.config.pool.maxConnections ?? character.maxConnections
      const least = Math.max(character.workers, gateways.length)
      const most = Math.max(least, chance.pick([2, 3, 5, 8, 20, now - 1, now - 2]))
      for (const gateway of gateways)
        gateway.reload({
          HTTP_MAX_CONNECTIONS: String(most),
          HTTP_MAX_KEEPALIVE_CONNECTIONS: String(Math.ceil(most / 2))
        })
    },
    restart: (chance) => {
      const gateway = this.#pickGateway(chance)
      if (gateway.isServing) gateway.restartWorkers()
    },
    'late start': (chance) => {
      const gateway = this.#pickGateway(chance)
      gateway.startsLateMs = chance.pick([1_000, 8_000])
      this.#later(60_000, () => (gateway.startsLateMs = 0))
    },
    clock: (chance) => {
      const { gateways } = this.#options
      const primaries = gateways.map(({ primaryActor }) => primaryActor)
      const actors = [...primaries, ...this.#workers().map(({ actor }) => actor)]
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
    },
    'valkey restart': (chance) => {
      const { engine, fleet, gateways } = this.#options
      if (engine === null || fleet === null || !fleet.isCalm(CALM_MS)) return
      const kept = chance.pick(['all', 'older', 'nothing'] as const)
      if (kept !== 'all') fleet.losses += 1
      const downMs = this.#awayMs(chance)
      for (const gateway of gateways) fleet.onAway(gateway)
      engine.restart(kept, downMs, chance)
      this.#later(downMs, () => gateways.forEach((one) => fleet.onBack(one)))
    },
    'valkey flush': () => {
      const { engine, fleet, gateways } = this.#options
      if (engine === null || fleet === null || !fleet.isCalm(CALM_MS)) return
      fleet.losses += 1
      for (const gateway of gateways) fleet.onTrouble(gateway)
      engine.flush()
    },
    'valkey away': (chance) => {
      const { gateways, fleet } = this.#options
      if (fleet === null || !fleet.isCalm(CALM_MS)) return
      const cutOff = chance.isTrue(0.3) ? gateways : [this.#pickGateway(chance)]
      const awayMs = this.#awayMs(chance)
      for (const gateway of cutOff) this.#cutFromEngine(gateway, awayMs)
    },
    'valkey slow': (chance) => {
      const { engine, fleet, gateways } = this.#options
      if (engine === null || fleet === null || !fleet.isCalm(CALM_MS)) return
      const slowMs = chance.pick([200, 1_500, 10_000])
      for (const gateway of gateways) fleet.onAway(gateway)
      engine.actor.isPaused = true
      this.#later(slowMs, () => {
        engine.actor.isPaused = false
        for (const gateway of gateways) fleet.onBack(gateway)
      })
    },
    'power loss': (chance) => {
      const { world, signIn, disk } = this.#options
      const gateway = this.#pickGateway(chance)
      // A token that was used up, and what it brought, would be lost.
      if (signIn.isRenewing || this.hadFullDisk || !this.#crash(gateway, chance)) return
      const lost = disk.unsynced.lose(gateway.stateDir, chance)
      world.note(`${lost} files are not as they were`)
    },
    'gateway crash': (chance) => void this.#crash(this.#pickGateway(chance), chance)
  }

  /** All processes of a gateway at once, which come back after a while. False if it has to be spared. */
  #crash(gateway: WorldGateway, chance: Chance): boolean {
    const { fleet, touches } = this.#options
    if (!gateway.isServing || fleet?.isCalm(CALM_MS) === false) return false
    for (const { actor } of gateway.workers()) touches.onKill(actor)
    fleet?.onCrash(gateway)
    gateway.crash()
    this.#later(chance.between(DOWN_MS.from, DOWN_MS.to), () => this.#startAgain(gateway))
    return true
  }

  /** As a container does: one that cannot start is started once more. */
  #startAgain(gateway: WorldGateway): void {
    const { world, fleet, disk } = this.#options
    gateway.start().then(
      () => fleet?.onTrouble(gateway),
      (error: Error) => {
        if (!disk.isFull && codeOf(error) !== 'ENOSPC') return world.fail(error)
        gateway.crash()
        this.#later(RESTART_MS, () => this.#startAgain(gateway))
      }
    )
  }

  #workers() {
    return this.#options.gateways.flatMap((gateway) => gateway.workers())
  }

  /** The only one without drawing, as there was once no other. */
  #pickGateway(chance: Chance): WorldGateway {
    const { gateways } = this.#options
    const [first] = gateways
    if (first === undefined) throw new Error('there is no gateway')
    return gateways.length === 1 ? first : chance.pick(gateways)
  }

  /** Sometimes longer than a lease, unless a sign-in would end meanwhile: nobody renews it without Valkey. */
  #awayMs(chance: Chance): number {
    const { signIn, fleet } = this.#options.character
    const most =
      signIn === null ? ((fleet?.leaseS ?? 0) + 30) * 1e3 : signIn.lifetimeS * 1e3 * AWAY_PART
    return Math.min(most, chance.pick([500, 5_000, 30_000, 330_000]))
  }

  /** Packets between a gateway and Valkey are lost. */
  #cutFromEngine(gateway: WorldGateway, awayMs: number): void {
    const { network, reach, fleet } = this.#options
    const { primaryActor } = gateway
    fleet?.onAway(gateway)
    reach.cutOff.add(primaryActor)
    for (const link of network.links)
      if (link.port === ENGINE_PORT && link.client.actor === primaryActor) link.vanish()
    this.#later(awayMs, () => {
      reach.cutOff.delete(primaryActor)
      fleet?.onBack(gateway)
    })
  }

  /** A pause that begins within another one ends with the longer of them. */
  #pause(actor: Actor, pauseMs: number): void {
    const { world, touches } = this.#options
    touches.onPause(actor, pauseMs)
    const begunAt = world.now
    const until = Math.max(this.#pausedUntil.get(actor) ?? 0, begunAt + pauseMs)
    this.#pausedUntil.set(actor, until)
    actor.isPaused = true
    this.#later(pauseMs, () => {
      if ((this.#pausedUntil.get(actor) ?? 0) > world.now) return
      if (actor.isPaused && this.#primaryPausedAt < begunAt) touches.onResume(actor, pauseMs)
      actor.isPaused = false
    })
  }

  /** Any connection, or one to this port; `null` if there is none. A renewal is spared: its token would be lost. */
  #pickLink(chance: Chance, to?: number): Link | null {
    const links = [...this.#options.network.links].filter(
      ({ port, client }) =>
        (to === undefined ? port !== ENGINE_PORT : port === to) && !client.carriesRenewal
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

function codeOf(error: Error): unknown {
  return Reflect.get(error, 'code')
}
