import { setTimeout as delay } from 'node:timers/promises'
import { ChaosGateway } from './chaos-gateway.ts'
import type { ClientFacts, ClientsQuestion } from './clients.ts'
import type { PoolView } from './gateway-probe.ts'
import { nextPoolSize, type PoolSize, reservedOf } from './pool-size.ts'
import { Random } from './random.ts'
import type { Findings } from './report.ts'
import { Subprocess } from './subprocess.ts'
import type { UpstreamFacts, UpstreamQuestion } from './upstream.ts'
import { WaitMonitor } from './wait-monitor.ts'

export interface ChaosOptions {
  readonly seconds: number
  readonly workers: number
  readonly clients: number
  readonly seed: number
  /** Hears one line every few seconds. */
  readonly onProgress: (line: string) => void
  /** Ends the run, and every process of it. */
  readonly signal: AbortSignal
}

type Clients = Subprocess<ClientsQuestion, ClientFacts>

const GLANCE_MS = 200
const PROGRESS_MS = 5000
/** For what idles too much after the last burst, on a busy machine. */
const SETTLE_MS = 1000
/** Rest is looked at with a budget of which few may idle, and those for long. */
const FINAL_SIZE: PoolSize = { connections: 40, idle: 10, expiryS: 60 }
/** Workers die for a while, then live long enough to be forgiven; else they would be replaced ever more slowly. */
const KILL_CYCLE_S = { killing: 25, peaceful: 35 }

/** Runs the whole chaos test: starts everything, lets it storm, waits for rest, ends everything. */
export async function runChaos(options: ChaosOptions): Promise<Findings> {
  const run = new ChaosRun(options)
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  options.signal.addEventListener('abort', () => reject(options.signal.reason), { once: true })
  try {
    return await Promise.race([run.run(), aborted])
  } finally {
    await run.close()
  }
}

class ChaosRun {
  readonly #options: ChaosOptions
  readonly #random: Random
  readonly #upstream: Subprocess<UpstreamQuestion, UpstreamFacts>
  readonly #waits = new WaitMonitor()
  #gateway: ChaosGateway | null = null
  #clients: Clients | null = null
  #size: PoolSize
  /** Permits that requests may have at the moment; the smaller figure while the budget is changed. */
  #usable: number
  #startedAt = 0
  #kills = 0
  #resizes = 0
  #longestSettleMs = 0
  #waiting = 0

  constructor(options: ChaosOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
    this.#size = nextPoolSize(this.#random)
    this.#usable = usableOf(this.#size)
    this.#upstream = new Subprocess('./upstream.ts', [String(options.seed)])
  }

  async run(): Promise<Findings> {
    const { seed, clients: count, workers, seconds, onProgress } = this.#options
    const { port } = await this.#upstream.ask({ type: 'listen' })
    await this.#setCeilings(this.#size)
    const gateway = await ChaosGateway.start(`http://127.0.0.1:${port}`, {
      size: this.#size,
      workers
    })
    this.#gateway = gateway
    const clients: Clients = new Subprocess('./clients.ts', [await gateway.ready(), String(seed)])
    this.#clients = clients
    await clients.ask({ type: 'start', clients: count })
    this.#startedAt = performance.now()
    await Promise.all([
      this.#repeat(() => this.#kill(gateway, clients)),
      this.#repeat(async () => {
        await delay(this.#random.between(1000, 5000))
        await this.#resize(gateway, nextPoolSize(this.#random))
      }),
      this.#repeat(() => this.#glance(gateway)),
      this.#repeat(() => this.#tell(clients))
    ])
    onProgress(`${seconds} s are over, waiting for rest`)
    return this.#conclude(gateway, clients)
  }

  /** Ends whatever still runs. */
  async close(): Promise<void> {
    await this.#gateway?.destroy()
    await this.#clients?.close()
    await this.#upstream.close()
  }

  async #repeat(act: () => Promise<void>): Promise<void> {
    while (this.#elapsedS() < this.#options.seconds && !this.#options.signal.aborted) await act()
  }

  #elapsedS(): number {
    return (performance.now() - this.#startedAt) / 1000
  }

  async #kill(gateway: ChaosGateway, clients: Clients): Promise<void> {
    await delay(this.#random.between(1500, 4500))
    const at = this.#elapsedS() % (KILL_CYCLE_S.killing + KILL_CYCLE_S.peaceful)
    const pid = this.#random.pick(gateway.workerPids)
    if (at > KILL_CYCLE_S.killing || pid === undefined) return
    await clients.ask({ type: 'killed' })
    try {
      process.kill(pid, 'SIGKILL')
      this.#kills += 1
    } catch {
      // It has ended already.
    }
  }

  /**
   * The upstream holds the larger of two budgets against the gateway from before the change until the gateway
   * itself says that its leases fit the new one, and the new one from then on.
   */
  async #resize(gateway: ChaosGateway, next: PoolSize): Promise<void> {
    const before = this.#size
    await this.#setCeilings({
      ...next,
      connections: Math.max(before.connections, next.connections),
      idle: Math.max(before.idle, next.idle)
    })
    this.#usable = Math.min(usableOf(before), usableOf(next))
    await gateway.resize(next)
    this.#size = next
    this.#resizes += 1
    const startedAt = performance.now()
    await gateway.until(({ leased }) => leased <= next.connections)
    this.#longestSettleMs = Math.max(this.#longestSettleMs, performance.now() - startedAt)
    await delay(100) // what idles too much has this long to go
    await this.#setCeilings(next)
    this.#usable = usableOf(next)
  }

  /** A permit counts as free if neither the upstream nor the gateway saw it used since the last glance. */
  async #glance(gateway: ChaosGateway): Promise<void> {
    await delay(GLANCE_MS)
    const usable = this.#usable
    const view = await gateway.view()
    const { recentlyUsed } = await this.#upstream.ask({ type: 'figures' })
    if (view === null) {
      this.#waits.note(null)
      return
    }
    const { waiting, leaving, permitsOut } = view
    this.#waiting = waiting
    const free = usable - leaving - Math.max(recentlyUsed, permitsOut)
    this.#waits.note({ at: performance.now(), waiting, free })
  }

  async #tell(clients: Clients): Promise<void> {
    await delay(PROGRESS_MS)
    const { requests, outcomes, violations } = await clients.ask({ type: 'figures' })
    const { open, maxOpen, overBudget, overIdle } = await this.#upstream.ask({ type: 'peek' })
    const bad = violations.length + overBudget.length + overIdle.length
    this.#options.onProgress(
      `${Math.round(this.#elapsedS())} s: ${requests} requests, ${outcomes['complete'] ?? 0} complete, ` +
        `${open} connections (max ${maxOpen}, budget ${this.#size.connections}), ` +
        `${this.#waiting} waiting, ${this.#kills} kills, ${this.#resizes} resizes, ${bad} violations`
    )
  }

  async #conclude(gateway: ChaosGateway, clients: Clients): Promise<Findings> {
    const { seed, workers, clients: count } = this.#options
    const { connections: budget, idle: maxKeepalive } = FINAL_SIZE
    const seconds = Math.round(this.#elapsedS())
    const storm = await clients.ask({ type: 'stop' })
    await this.#upstream.ask({ type: 'calm' })
    await this.#resize(gateway, FINAL_SIZE)
    const isAtRest = ({ permitsOut, waiting, leased }: PoolView) =>
      permitsOut === 0 && waiting === 0 && leased === budget
    const rest = await gateway.until(isAtRest)
    const closeWait = await gateway.closeWait()
    const burstSize = budget * 3
    const burst = await clients.ask({ type: 'burst', count: burstSize })
    await gateway.until(isAtRest)
    await delay(SETTLE_MS)
    const { open: openAtRest } = await this.#upstream.ask({ type: 'peek' })
    const exitCode = await gateway.stop()
    await delay(100) // the last sockets' ends are on their way
    const upstream = await this.#upstream.ask({ type: 'peek' })
    return {
      seed,
      seconds,
      workers,
      clients: count,
      kills: this.#kills,
      resizes: this.#resizes,
      budget,
      maxKeepalive,
      upstream,
      storm,
      burst,
      burstSize,
      rest,
      closeWait,
      openAtRest,
      openAfterExit: upstream.open,
      exitCode,
      longestSettleMs: this.#longestSettleMs,
      longestWaitWhileFreeMs: this.#waits.longestMs,
      gatewayErrors: [gateway.stderr, ...gateway.errors.map((line) => JSON.stringify(line))].filter(
        (text) => text !== ''
      )
    }
  }

  #setCeilings({ connections, idle }: PoolSize): Promise<UpstreamFacts> {
    return this.#upstream.ask({ type: 'ceilings', ceilings: { connections, idle } })
  }
}

function usableOf(size: PoolSize): number {
  return size.connections - reservedOf(size)
}
