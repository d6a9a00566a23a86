import { rmSync } from 'node:fs'
import { loadConfig } from '../../src/config/load.ts'
import { planMemory } from '../../src/config/memory-plan.ts'
import type { Config } from '../../src/config/settings.ts'
import { Primary } from '../../src/control/primary.ts'
import { createCredentialSource } from '../../src/credentials/sources.ts'
import { createLogger, type LogStream } from '../../src/observe/logger.ts'
import { GatewayWorker } from '../../src/server/worker.ts'
import type { Network } from './network.ts'
import { WorldProcess } from './processes.ts'
import { accountSettings, type SignInPlan } from './sign-in.ts'
import { type Actor, type World, Violation } from './world.ts'

export const GATEWAY_PORT = 8000
export const UPSTREAM_PORT = 9000
export const CLIENT_KEY = 'client-key-of-the-world'
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
}

/** The real primary and its real workers, each a process of the world. */
export class WorldGateway {
  readonly primaryActor: Actor
  readonly #options: GatewayOptions
  #config: Config
  #primary: Primary | null = null
  readonly #workers = new Set<WorldProcess>()
  /** Forks since the start. */
  forks = 0
  /** So much longer than usual a process takes to start now. */
  startsLateMs = 0
  /** Called for each worker that is killed. */
  onKilled: (worker: Actor) => void = () => {}

  constructor(options: GatewayOptions) {
    this.#options = options
    this.primaryActor = options.world.spawn('primary')
    this.#config = this.#configOf({})
  }

  get primary(): Primary {
    if (this.#primary === null) throw new Error('the gateway was not started')
    return this.#primary
  }

  get config(): Config {
    return this.#config
  }

  /** Those that live, oldest first. */
  workers(): readonly WorldProcess[] {
    return [...this.#workers]
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    const { world, workers } = this.#options
    await world.as(this.primaryActor, async () => {
      const log = createLogger(this.#config.observe.level, { worker: 'primary' }, this.#stream())
      const primary = new Primary({
        config: this.#config,
        source: createCredentialSource(this.#config.credentials, log),
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
      await primary.start()
    })
  }

  /** Called by the primary. */
  fork(): WorldProcess {
    const { world } = this.#options
    this.forks += 1
    const birth = { name: `worker ${this.forks}`, lateMs: this.startsLateMs }
    const child = new WorldProcess(world, birth, ({ endpoint, exit }) => {
      // What `main.ts` does in a worker.
      const worker = new GatewayWorker(endpoint, this.#stream())
      endpoint.once('disconnect', () => worker.drain())
      void worker.stopped.then(() => exit(0))
    })
    this.#workers.add(child)
    child.actor.onGone.add(() => this.#workers.delete(child))
    child.onKilled = () => this.onKilled(child.actor)
    return child
  }

  /** As SIGHUP with other settings. */
  reload(env: Readonly<Record<string, string>>): void {
    const { world } = this.#options
    const next = this.#configOf(env)
    world.as(this.primaryActor, () => this.primary.reload(next))
    this.#config = next
  }

  restartWorkers(): void {
    void this.#options.world.as(this.primaryActor, () => this.primary.restartWorkers())
  }

  drain(): Promise<void> {
    return this.#options.world.as(this.primaryActor, () => this.primary.drain())
  }

  removeFiles(): void {
    rmSync(this.#options.stateDir, { recursive: true, force: true })
  }

  #configOf(env: Readonly<Record<string, string>>): Config {
    const { stateDir, workers, signIn } = this.#options
    const upstreamUrl = `http://127.0.0.1:${UPSTREAM_PORT}`
    const settings = {
      SERVER_HOST: '127.0.0.1',
      SERVER_PORT: String(GATEWAY_PORT),
      PROXY_API_KEY: CLIENT_KEY,
      ...accountSettings(signIn, upstreamUrl),
      KIRO_API_URL: upstreamUrl,
      WORKERS: String(workers),
      STATE_DIR: stateDir,
      DASHBOARD: 'off',
      LOG_LEVEL: 'info',
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
