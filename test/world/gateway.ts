import { loadConfig } from '../../src/config/load.ts'
import { planMemory } from '../../src/config/memory-plan.ts'
import type { Config } from '../../src/config/settings.ts'
import { FleetControl, type FleetControlOptions } from '../../src/control/fleet/fleet-control.ts'
import { Primary } from '../../src/control/primary.ts'
import { createCredentialSource } from '../../src/credentials/sources.ts'
import { createLogger, type LogStream } from '../../src/observe/logger.ts'
import { GatewayWorker } from '../../src/server/worker.ts'
import type { Network } from './network.ts'
import { WorldProcess } from './processes.ts'
import { accountSettings, type SignInPlan } from './sign-in.ts'
import { type Actor, type World, Violation } from './world.ts'

/** Port of the first gateway; the next one has the next. */
export const GATEWAY_PORT = 8000
const MOST_GATEWAYS = 10
export const UPSTREAM_PORT = 9000
export const CLIENT_KEY = 'client-key-of-the-world'
/** Of the members of a fleet, by place. */
const NAMES = ['a', 'b']
const STACK = /,"stack":"(?:[^"\\]|\\.)*"/g
const MEMORY_BYTES = 512 * 2 ** 20

export interface GatewayOptions {
  readonly world: World
  readonly network: Network
  /** A folder of its own, which is removed at the end. */
  readonly stateDir: string
  readonly workers: number
  readonly env: Readonly<Record<string, string>>
  readonly signIn: SignInPlan | null
  /** Place in a fleet, from 0; `null` for one that is alone. */
  readonly place: number | null
}

export function isGatewayPort(port: number): boolean {
  return port >= GATEWAY_PORT && port < GATEWAY_PORT + MOST_GATEWAYS
}

/** The real primary and its real workers, each a process of the world. */
export class WorldGateway {
  readonly name: string
  readonly port: number
  primaryActor: Actor
  /** Whether it serves: it has started, and neither died nor been told to end. */
  isServing = false
  /** Virtual ms of its last start. */
  startedAt = 0
  starts = 0
  readonly #options: GatewayOptions
  #config: Config
  #primary: Primary | null = null
  #fleet: FleetControl | null = null
  /** From its start to its death, as what is left of a primary that is dead must not act. */
  #isAlive = false
  readonly #workers = new Set<WorldProcess>()
  /** Forks since the start. */
  forks = 0
  /** So much longer than usual a process takes to start now. */
  startsLateMs = 0
  /** Called for each worker that is killed. */
  onKilled: (worker: Actor) => void = () => {}
  /** Called when the primary has taken a report of the permits of a worker. */
  onReport: () => void = () => {}

  constructor(options: GatewayOptions) {
    this.#options = options
    this.name = NAMES[options.place ?? 0] ?? ''
    this.port = GATEWAY_PORT + (options.place ?? 0)
    this.primaryActor = options.world.spawn(this.#nameOf('primary'))
    this.#config = this.#configOf({})
  }

  get primary(): Primary {
    if (this.#primary === null) throw new Error('the gateway was not started')
    return this.#primary
  }

  /** Permits that its workers have. */
  get leased(): number {
    return this.#isAlive ? this.primary.budget.leased : 0
  }

  get config(): Config {
    return this.#config
  }

  get stateDir(): string {
    return this.#options.stateDir
  }

  get isInFleet(): boolean {
    return this.#options.place !== null
  }

  #nameOf(what: string): string {
    return (this.#options.place ?? 0) === 0 ? what : `${what} ${this.name}`
  }

  /** Those that live, oldest first. */
  workers(): readonly WorldProcess[] {
    return [...this.#workers]
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    const { world, workers } = this.#options
    this.startedAt = world.now
    this.starts += 1
    await world.as(this.primaryActor, async () => {
      const log = createLogger(this.#config.observe.level, { worker: 'primary' }, this.#stream())
      const source = createCredentialSource(this.#config.credentials, log)
      const primary = new Primary({
        config: this.#config,
        source,
        memory: {
          ...planMemory(MEMORY_BYTES, { workers, threads: 1 }),
          workers,
          connectionsPerWorker: 1_000
        },
        isSimulated: false,
        workerEntry: 'none',
        log,
        forkLog: { fd: 1, args: [] },
        onStderr: () => {},
        onFatal: (cause) => world.fail(new Violation('the primary gives up', { cause }))
      })
      this.#primary = primary
      this.#isAlive = true
      this.#fleet = this.isInFleet ? this.#join(primary, { source, log }) : null
      await this.#fleet?.start()
      await primary.start()
      this.isServing = true
    })
  }

  /** What `main.ts` does with `FLEET_URL`. */
  #join(
    primary: Primary,
    { source, log }: Pick<FleetControlOptions, 'source' | 'log'>
  ): FleetControl {
    const { world } = this.#options
    const fleet = new FleetControl({
      config: this.#config,
      budget: primary.budget,
      keys: primary.keys,
      devices: primary.devices,
      sessions: primary.sessions,
      knows: primary,
      tell: (message) => primary.broadcast(message),
      source,
      shareSignIn: (signIn) => primary.account.credentials.shareSignIn(signIn),
      log,
      onRefused: (cause) => world.fail(new Violation('a gateway leaves the fleet', { cause }))
    })
    primary.figures.showFleet(fleet.figures)
    return fleet
  }

  /** As when its machine is gone: all its processes at once, with all that they had open. */
  crash(): void {
    const { world } = this.#options
    this.isServing = false
    this.#isAlive = false
    for (const { actor } of this.workers()) {
      this.onKilled(actor)
      world.note('is gone with its machine', actor)
      world.end(actor)
    }
    world.note('is gone with its machine', this.primaryActor)
    world.end(this.primaryActor)
    this.primaryActor = world.spawn(this.#nameOf('primary'))
  }

  /** Called by the primary. */
  fork(): WorldProcess {
    const { world } = this.#options
    this.forks += 1
    const birth = { name: this.#nameOf(`worker ${this.forks}`), lateMs: this.startsLateMs }
    const child = new WorldProcess(world, birth, ({ endpoint, exit }) => {
      // What `main.ts` does in a worker.
      const worker = new GatewayWorker(endpoint, this.#stream())
      endpoint.once('disconnect', () => worker.drain())
      void worker.stopped.then(() => exit(0))
    })
    this.#workers.add(child)
    child.actor.onGone.add(() => this.#workers.delete(child))
    child.onKilled = () => this.onKilled(child.actor)
    child.onHeard = (type) => {
      if (type === 'lease.report') this.onReport()
    }
    return child
  }

  /** As SIGHUP with other settings. */
  reload(env: Readonly<Record<string, string>>): void {
    const { world } = this.#options
    const next = this.#configOf(env)
    if (this.#isAlive) world.as(this.primaryActor, () => this.primary.reload(next))
    this.#config = next
  }

  restartWorkers(): void {
    void this.#options.world.as(this.primaryActor, () => this.primary.restartWorkers())
  }

  drain(): Promise<void> {
    this.isServing = false
    const drain = (): Promise<void> => this.primary.drain()
    return this.#options.world.as(this.primaryActor, () =>
      this.#fleet === null ? drain() : this.#fleet.drain(drain)
    )
  }

  #configOf(env: Readonly<Record<string, string>>): Config {
    const { stateDir, workers, signIn } = this.#options
    const upstreamUrl = `http://127.0.0.1:${UPSTREAM_PORT}`
    const settings = {
      SERVER_HOST: '127.0.0.1',
      SERVER_PORT: String(this.port),
      PROXY_API_KEY: CLIENT_KEY,
      ...accountSettings(signIn, upstreamUrl),
      KIRO_API_URL: upstreamUrl,
      WORKERS: String(workers),
      STATE_DIR: stateDir,
      DASHBOARD: 'off',
      LOG_LEVEL: 'info',
      ...(this.isInFleet && { FLEET_MEMBER: this.name }),
      ...this.#options.env,
      ...env
    }
    const loaded = loadConfig(settings, [])
    if (loaded.name !== 'config') throw new Error('there is no config')
    return loaded.config
  }

  /** Log lines are events of the world, but for what is not the same on each machine: the folder's name, and stacks. */
  #stream(): LogStream {
    const { world, stateDir } = this.#options
    return {
      write: (line: string) =>
        world.note(line.trimEnd().replaceAll(stateDir, 'STATE_DIR').replaceAll(STACK, ''))
    }
  }
}
