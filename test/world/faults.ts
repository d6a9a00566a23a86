import { type Character, type FaultName } from './character.ts'
import { UPSTREAM_PORT, type WorldGateway } from './gateway.ts'
import type { Link, Network } from './network.ts'
import type { WorldUpstream } from './upstream.ts'
import type { World } from './world.ts'

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
  readonly upstream: WorldUpstream
}

const HOUR_MS = 3_600_000

/** What goes wrong around the gateway, at times that the seed draws. */
export class Faults {
  /** Virtual ms of the last one, and of the last end of one; -Infinity before. */
  lastAt = -Infinity
  /** Virtual ms at which a worker was last killed, or stood still for so long that it may be. */
  lastDeathAt = -Infinity
  /** Virtual ms at which a client's connection was last cut. */
  lastClientCutAt = -Infinity
  count = 0
  readonly #options: FaultOptions
  #isOver = false

  constructor(options: FaultOptions) {
    this.#options = options
    if (options.character.faults.length > 0) this.#next()
  }

  /** No more faults; those that last have ended by the time that this returns. */
  end(): void {
    this.#isOver = true
    const { gateway, reach, world, upstream } = this.#options
    for (const { actor } of gateway.workers()) actor.isPaused = false
    upstream.actor.isPaused = false
    reach.state = 'open'
    this.lastAt = world.now
  }

  #next(): void {
    const { world, character } = this.#options
    const waitMs = -Math.log(1 - world.random()) * character.faultMs
    world.after(
      waitMs,
      () => {
        if (this.#isOver) return
        this.#happen(world.pick(character.faults))
        this.#next()
      },
      { actor: world.nature }
    )
  }

  #happen(name: FaultName): void {
    const { world } = this.#options
    this.count += 1
    this.lastAt = world.now
    world.note(`fault: ${name}`)
    this.#acts[name]()
  }

  readonly #acts: Readonly<Record<FaultName, () => void>> = {
    cut: () => {
      const { world, network } = this.#options
      const links = [...network.links]
      if (links.length === 0) return
      const link = world.pick(links)
      if (link.port !== UPSTREAM_PORT) this.lastClientCutAt = world.now
      link.cut()
    },
    vanish: () => {
      const links = this.#upstreamLinks()
      if (links.length > 0) this.#options.world.pick(links).vanish()
    },
    kill: () => {
      const { world, gateway } = this.#options
      const workers = gateway.workers()
      if (workers.length === 0) return
      this.lastDeathAt = world.now
      world.pick(workers).kill()
    },
    pause: () => {
      const { world, gateway } = this.#options
      const workers = gateway.workers()
      if (workers.length === 0) return
      const { actor } = world.pick(workers)
      const pauseMs = world.pick([50, 500, 3_000, 40_000])
      actor.isPaused = true
      if (pauseMs > 3_000) this.lastDeathAt = world.now + pauseMs
      this.#later(pauseMs, () => (actor.isPaused = false))
    },
    slow: () => {
      const { world, upstream } = this.#options
      upstream.actor.isPaused = true
      this.#later(world.pick([30, 300, 3_000]), () => (upstream.actor.isPaused = false))
    },
    refuse: () => this.#unreachable('refused'),
    silence: () => this.#unreachable(null),
    resize: () => {
      const { world, gateway, character } = this.#options
      const most = Math.max(character.workers, world.pick([2, 3, 5, 8, 20]))
      gateway.reload({
        HTTP_MAX_CONNECTIONS: String(most),
        HTTP_MAX_KEEPALIVE_CONNECTIONS: String(Math.ceil(most / 2))
      })
    },
    restart: () => this.#options.gateway.restartWorkers(),
    clock: () => {
      const { world, gateway } = this.#options
      const actors = [gateway.primaryActor, ...gateway.workers().map(({ actor }) => actor)]
      world.pick(actors).wallOffsetMs = world.between(-HOUR_MS, HOUR_MS)
    }
  }

  #unreachable(state: 'refused' | null): void {
    const { world, reach } = this.#options
    reach.state = state
    this.#later(world.between(500, 20_000), () => (reach.state = 'open'))
  }

  #later(delayMs: number, end: () => void): void {
    const { world } = this.#options
    world.after(
      delayMs,
      () => {
        end()
        this.lastAt = Math.max(this.lastAt, world.now)
      },
      { actor: world.nature }
    )
  }

  #upstreamLinks(): readonly Link[] {
    return [...this.#options.network.links].filter(({ port }) => port === UPSTREAM_PORT)
  }
}
