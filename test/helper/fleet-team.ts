import { setTimeout as delay } from 'node:timers/promises'
import { Simulator, type SimulatorOptions } from '../strict-simulator/simulator.ts'
import { EngineProcess, type EngineProgram, TEST_ENGINE } from './engine-process.ts'
import { GatewayProcess, type LogLine } from './gateway-process.ts'

export interface FleetTeamOptions {
  readonly names: readonly string[]
  readonly max: number
  readonly env?: Readonly<Record<string, string>>
  /** By default `TEST_ENGINE`. */
  readonly program?: EngineProgram
  /** Lines of Valkey's configuration. */
  readonly engineConfig?: readonly string[]
  /** Which log lines are kept; by default all. */
  readonly keeps?: (line: LogLine) => boolean
  /** For coverage, which is counted of the sources. */
  readonly fromSources?: boolean
  /** Of the upstream; its requests a minute are counted where they are limited. */
  readonly upstream?: SimulatorOptions
}

/** A test, or whatever else ends what was started for it. */
export interface Teardowns {
  teardown(end: () => unknown): void
}

export const FLEET_TEST_SECRET = 'secret-of-the-fleet-for-all-tests'

/** Real gateways with one worker each, a real Valkey, and the simulator as their upstream. */
export class FleetTeam {
  readonly engine: EngineProcess
  readonly simulator: Simulator
  /** Those that are asked by name. */
  readonly gateways = new Map<string, GatewayProcess>()
  /** All that were ever started: one may have taken another's name. */
  readonly #started: GatewayProcess[] = []
  readonly #options: FleetTeamOptions
  /** Of the simulator. */
  readonly upstreamUrl: string

  private constructor(
    engine: EngineProcess,
    simulator: Simulator,
    upstreamUrl: string,
    options: FleetTeamOptions
  ) {
    this.engine = engine
    this.simulator = simulator
    this.upstreamUrl = upstreamUrl
    this.#options = options
  }

  static async start(t: Teardowns, options: FleetTeamOptions): Promise<FleetTeam> {
    const { program = TEST_ENGINE } = options
    const engine = await EngineProcess.start(program, options.engineConfig)
    t.teardown(() => engine.destroy())
    const simulator = new Simulator({ gapMs: 20, ...options.upstream })
    const { url } = await simulator.start()
    t.teardown(() => simulator.close())
    const team = new FleetTeam(engine, simulator, url, options)
    t.teardown(() => Promise.all(team.#started.map((one) => one.destroy())))
    for (const name of options.names) team.add(name)
    await Promise.all([...team.gateways.values()].map((one) => one.ready()))
    return team
  }

  /**
   * Starts a gateway; `env` may say more, such as where an earlier one of the name had its folder. With `max` it has that
   * limit, in a file that can be read again.
   */
  add(name: string, env: Readonly<Record<string, string>> = {}, max?: number): GatewayProcess {
    const { keeps, fromSources = false } = this.#options
    const gateway = new GatewayProcess({
      upstreamUrl: this.upstreamUrl,
      fromSources,
      ...(keeps !== undefined && { keeps }),
      ...(max !== undefined && { envFile: sizeFile(max) }),
      env: {
        WORKERS: '1',
        ...(max === undefined && sizeFile(this.#options.max)),
        FLEET_URL: this.engine.url,
        FLEET_REPLICAS: String(this.#options.names.length),
        FLEET_MEMBER: name,
        FLEET_SECRET: FLEET_TEST_SECRET,
        FLEET_LEASE: '12',
        DRAIN_TIMEOUT: '5',
        ...this.#options.env,
        ...env
      }
    })
    this.gateways.set(name, gateway)
    this.#started.push(gateway)
    return gateway
  }

  get(name: string): GatewayProcess {
    const gateway = this.gateways.get(name)
    if (gateway === undefined) throw new Error(`no gateway ${name}`)
    return gateway
  }

  /** Resolves when all of them serve. */
  async allServe(): Promise<void> {
    for (const gateway of this.gateways.values()) await until(() => isReady(gateway))
  }

  /** The most connections that the upstream has seen at once. */
  get census(): number {
    return this.simulator.stats().connections.max
  }
}

/** What a file of settings says of the limit. */
export function sizeFile(max: number): Record<string, string> {
  return { HTTP_MAX_CONNECTIONS: String(max) }
}

export async function isReady(gateway: GatewayProcess): Promise<boolean> {
  const answer = await fetch(`${gateway.url}/readyz`).catch(() => null)
  await answer?.body?.cancel()
  return answer?.status === 200
}

/** Why it does not serve, as it says. */
export async function problemsOf(gateway: GatewayProcess): Promise<string> {
  return (await fetch(`${gateway.url}/readyz`)).text()
}

export function isMessage(message: string): (line: LogLine) => boolean {
  return ({ msg }) => msg === message
}

/** Waits for a condition; the test's time ends it otherwise. Returns how long that took. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<number> {
  const began = performance.now()
  while (!(await isSo())) await delay(10)
  return performance.now() - began
}
