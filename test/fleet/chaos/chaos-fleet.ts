import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { EngineProgram } from '../../helper/engine-process.ts'
import { FleetTeam, sizeFile, type Teardowns } from '../../helper/fleet-team.ts'
import type { GatewayProcess, LogLine } from '../../helper/gateway-process.ts'
import { PausableProxy } from './pausable-proxy.ts'

const NAMES = ['a', 'b', 'c'] as const
const KEPT_LINES = ['gateway ready', 'worker changed state', 'worker died', 'settings reloaded']

const isKept = ({ msg }: LogLine): boolean => KEPT_LINES.includes(String(msg))

/** What outlives the processes of a gateway. */
interface Site {
  readonly proxy: PausableProxy
  readonly folder: string
  clockMs: number
}

/** Three gateways, each with a way to Valkey and a clock of its own, and what can be done to them. */
export class ChaosFleet {
  readonly names: readonly string[] = NAMES
  readonly team: FleetTeam
  /** Ends that nobody caused. */
  readonly surprises: string[] = []
  readonly #sites = new Map<string, Site>()
  readonly #folder: string
  readonly #expectedEnds = new Set<GatewayProcess>()
  max: number
  #isOver = false

  private constructor(team: FleetTeam, folder: string, max: number) {
    this.team = team
    this.#folder = folder
    this.max = max
  }

  static async start(t: Teardowns, program: EngineProgram, max: number): Promise<ChaosFleet> {
    const folder = mkdtempSync(join(tmpdir(), 'fleet-chaos-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
    const team = await FleetTeam.start(t, { program, names: [], max, keeps: isKept })
    const fleet = new ChaosFleet(team, folder, max)
    for (const name of NAMES) {
      const proxy = await PausableProxy.start(team.engine.port)
      t.teardown(() => proxy.close())
      mkdirSync(join(folder, name))
      fleet.#sites.set(name, { proxy, folder: join(folder, name), clockMs: 0 })
      fleet.startGateway(name)
    }
    t.teardown(() => fleet.#end())
    return fleet
  }

  urlOf(name: string): string {
    return this.team.gateways.get(name)?.url ?? ''
  }

  proxyOf(name: string): PausableProxy {
    return this.#site(name).proxy
  }

  startGateway(name: string): void {
    const { proxy, folder, clockMs } = this.#site(name)
    const clock = join(folder, 'clock')
    writeFileSync(clock, String(clockMs))
    const env = {
      FLEET_URL: `redis://127.0.0.1:${proxy.port}`,
      FLEET_REPLICAS: String(NAMES.length),
      STATE_DIR: join(folder, 'state'),
      DRAIN_TIMEOUT: '10',
      NODE_OPTIONS: `--import=${shiftedClock(clock)}`
    }
    const gateway = this.team.add(name, env, this.max)
    gateway.ready().catch(() => {})
    void this.#watch(name, gateway)
  }

  /** Sends a signal to some processes of a gateway, which is returned. */
  signal(
    name: string,
    whom: 'worker' | 'primary' | 'tree',
    signal: NodeJS.Signals
  ): GatewayProcess {
    const gateway = this.team.get(name)
    const primary = gateway.child.pid ?? 0
    const workers = gateway.workerPids()
    const pids = { worker: workers, primary: [primary], tree: [primary, ...workers] }[whom]
    if (whom !== 'worker' && (signal === 'SIGKILL' || signal === 'SIGTERM')) {
      this.#expectedEnds.add(gateway)
    }
    for (const pid of pids) trySignal(pid, signal)
    return gateway
  }

  async stopFor(name: string, whom: 'worker' | 'primary' | 'tree', ms: number): Promise<void> {
    this.signal(name, whom, 'SIGSTOP')
    await delay(ms)
    this.signal(name, 'tree', 'SIGCONT')
  }

  /** Resolves when the processes of this one have ended, and starts the next, unless another trouble has done so. */
  async replace(name: string, gateway: GatewayProcess): Promise<void> {
    await gateway.exited
    if (this.team.get(name) === gateway) this.startGateway(name)
    void gateway.destroy() // clears its folder when its workers are gone, too
  }

  setClock(name: string, byMs: number): void {
    const site = this.#site(name)
    site.clockMs += byMs
    writeFileSync(join(site.folder, 'clock'), String(site.clockMs))
  }

  /** Each has the new limit as soon as it can read. */
  resize(max: number): void {
    this.max = max
    for (const gateway of this.team.gateways.values()) {
      gateway.reload(sizeFile(max)).catch(() => {}) // it may end before it has read that
    }
  }

  async wipe(): Promise<void> {
    await this.#ask((engine) => engine.flushall())
  }

  /** Remembers what Valkey knows now. */
  async takeSnapshot(): Promise<void> {
    await this.#ask((engine) => engine.save())
    const { folder } = this.team.engine
    copyFileSync(join(folder, 'dump.rdb'), join(this.#folder, 'snapshot.rdb'))
  }

  async restartEngine(withState: 'none' | 'present' | 'old'): Promise<void> {
    const { engine } = this.team
    const dump = join(engine.folder, 'dump.rdb')
    const snapshot = join(this.#folder, 'snapshot.rdb')
    if (withState === 'present') await this.#ask((client) => client.save())
    await engine.stop('SIGKILL')
    if (withState === 'none') rmSync(dump, { force: true })
    if (withState === 'old' && existsSync(snapshot)) copyFileSync(snapshot, dump)
    await engine.start()
  }

  /** All that must get a CPU for the fleet to go on. */
  get pids(): readonly number[] {
    const gateways = [...this.team.gateways.values()]
    const trees = gateways.flatMap((one) => [one.child.pid ?? 0, ...one.workerPids()])
    return [this.team.engine.pid, ...trees]
  }

  /** Everything goes on again. */
  mend(): void {
    this.team.engine.goOn()
    for (const name of this.team.gateways.keys()) this.signal(name, 'tree', 'SIGCONT')
  }

  #end(): void {
    this.#isOver = true
    this.mend()
  }

  async #watch(name: string, gateway: GatewayProcess): Promise<void> {
    const code = await gateway.exited
    if (this.#expectedEnds.has(gateway) || this.#isOver) return
    this.surprises.push(`${name} ended with ${code}: ${gateway.stderr.slice(-500)}`)
    if (this.team.get(name) === gateway) this.startGateway(name)
  }

  #site(name: string): Site {
    const site = this.#sites.get(name)
    if (site === undefined) throw new Error(`no gateway ${name}`)
    return site
  }

  /** Valkey may be away, or stand still: then it is not done. */
  async #ask(act: (engine: Redis) => Promise<unknown>): Promise<void> {
    const engine = new Redis(this.team.engine.url, {
      maxRetriesPerRequest: 1,
      commandTimeout: 5_000
    })
    engine.on('error', () => {})
    await act(engine).catch(() => {})
    engine.disconnect()
  }
}

/** A module that adds to the wall's clock what a file says. */
function shiftedClock(path: string): string {
  const source = `import{readFileSync}from'node:fs';const real=Date.now;let at=-1e9,by=0;Date.now=()=>{const now=performance.now();if(now-at>50){at=now;try{by=Number(readFileSync(${JSON.stringify(path)},'utf8'))||0}catch{}}return real()+by}`
  return `data:text/javascript,${encodeURIComponent(source)}`
}

function trySignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It is gone.
  }
}
