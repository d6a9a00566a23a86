import { setTimeout as delay } from 'node:timers/promises'
import { BudgetChanges } from './budget-changes.ts'
import { CertificateFiles } from './certificate-files.ts'
import { ChaosGateway } from './chaos-gateway.ts'
import type { ClientFacts, ClientsQuestion } from './clients.ts'
import { conclude } from './conclude.ts'
import type { Findings } from './findings.ts'
import { GatewayClock } from './gateway-clock.ts'
import { nextPoolSize } from './pool-size.ts'
import { Random } from './random.ts'
import { Subprocess } from '../helper/subprocess.ts'
import type { UpstreamFacts, UpstreamQuestion } from './upstream.ts'
import { WaitMonitor } from './wait-monitor.ts'
import { WorkerKiller } from './worker-killer.ts'

export interface ChaosOptions {
  readonly seconds: number
  readonly workers: number
  readonly clients: number
  readonly seed: number
  /** Whether the upstream speaks TLS. */
  readonly tls: boolean
  /** Hears one line every few seconds. */
  readonly onProgress: (line: string) => void
  /** Ends the run, and every process of it. */
  readonly signal: AbortSignal
}

type Clients = Subprocess<ClientsQuestion, ClientFacts>

const GLANCE_MS = 200
const PROGRESS_MS = 5000
/** At the end workers live this long at least: what they have lost is not forgotten with them. */
const LAST_S = 8

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
  readonly #certificate: CertificateFiles | null
  readonly #upstream: Subprocess<UpstreamQuestion, UpstreamFacts>
  readonly #budget: BudgetChanges
  readonly #clock = new GatewayClock()
  readonly #waits = new WaitMonitor()
  readonly #losses = new WaitMonitor()
  #gateway: ChaosGateway | null = null
  #clients: Clients | null = null
  #startedAt = 0
  #killer: WorkerKiller | null = null
  #waiting = 0

  constructor(options: ChaosOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
    this.#certificate = options.tls ? new CertificateFiles() : null
    const files =
      this.#certificate === null ? [] : [this.#certificate.keyFile, this.#certificate.certFile]
    this.#upstream = new Subprocess(new URL('./upstream.ts', import.meta.url), [
      String(options.seed),
      ...files
    ])
    this.#budget = new BudgetChanges(this.#upstream, nextPoolSize(this.#random))
  }

  async run(): Promise<Findings> {
    const { seed, clients: count, workers, seconds, onProgress } = this.#options
    const { port } = await this.#upstream.ask({ type: 'listen' })
    await this.#budget.promise()
    const scheme = this.#certificate === null ? 'http' : 'https'
    const gateway = await ChaosGateway.start(`${scheme}://127.0.0.1:${port}`, {
      size: this.#budget.size,
      workers,
      certFile: this.#certificate?.certFile ?? null
    })
    this.#gateway = gateway
    const clients: Clients = new Subprocess(new URL('./clients.ts', import.meta.url), [
      await gateway.ready(),
      String(seed)
    ])
    this.#clients = clients
    await clients.ask({ type: 'start', clients: count })
    const killer = new WorkerKiller(this.#random, () => clients.ask({ type: 'bereft' }))
    this.#killer = killer
    this.#startedAt = performance.now()
    await Promise.all([
      this.#repeat(() => killer.act(gateway, () => this.#elapsedS()), LAST_S),
      this.#repeat(async () => {
        await this.#pause(this.#random.between(1000, 5000))
        await this.#budget.change(gateway, nextPoolSize(this.#random))
      }),
      this.#repeat(async () => {
        await this.#pause(this.#random.between(5000, 10_000))
        gateway.restartWorkers()
      }, LAST_S),
      this.#repeat(() => this.#glance(gateway, clients)),
      this.#repeat(() => this.#tell(clients))
    ])
    onProgress(`${seconds} s are over, waiting for rest`)
    return this.#findings(gateway, clients)
  }

  /** Ends whatever still runs. */
  async close(): Promise<void> {
    await this.#gateway?.destroy()
    await this.#clients?.close()
    await this.#upstream.close()
    this.#certificate?.remove()
  }

  async #repeat(act: () => Promise<void>, beforeEndS = 0): Promise<void> {
    const { seconds, signal } = this.#options
    while (this.#elapsedS() < seconds - beforeEndS && !signal.aborted) await act()
  }

  /** No longer than the storm. */
  async #pause(ms: number): Promise<void> {
    const leftMs = 1000 * (this.#options.seconds - this.#elapsedS())
    await delay(Math.max(0, Math.min(ms, leftMs)))
  }

  #elapsedS(): number {
    return (performance.now() - this.#startedAt) / 1000
  }

  /** A permit counts as free if neither the upstream nor the gateway saw it used since the last glance. */
  async #glance(gateway: ChaosGateway, clients: Clients): Promise<void> {
    await delay(GLANCE_MS)
    const isBereft = gateway.workerPids.length < this.#options.workers
    if (isBereft) await clients.ask({ type: 'bereft' })
    const { usable } = this.#budget
    const view = await gateway.view()
    const { recentlyUsed } = await this.#upstream.ask({ type: 'figures' })
    if (view === null) {
      this.#waits.note(null)
      this.#losses.note(null)
      return
    }
    const { waiting, leaving, permitsOut } = view
    this.#waiting = waiting
    const free = usable - leaving - Math.max(recentlyUsed, permitsOut)
    const at = this.#clock.read(gateway.pids)
    this.#waits.note({ at, waiting, free })
    this.#losses.note({ at, waiting: permitsOut, free: permitsOut - recentlyUsed })
  }

  async #tell(clients: Clients): Promise<void> {
    await this.#pause(PROGRESS_MS)
    const { requests, outcomes, violations } = await clients.ask({ type: 'figures' })
    const { open, maxOpen, overBudget } = await this.#upstream.ask({ type: 'peek' })
    const bad = violations.length + overBudget.length
    this.#options.onProgress(
      `${Math.round(this.#elapsedS())} s: ${requests} requests, ${outcomes['complete'] ?? 0} complete, ` +
        `${open} connections (max ${maxOpen}, budget ${this.#budget.size.connections}), ` +
        `${this.#waiting} waiting, ${this.#killer?.kills} kills, ${this.#budget.count} resizes, ` +
        `${this.#gateway?.rollingRestarts} rolling restarts, ${bad} violations`
    )
  }

  async #findings(gateway: ChaosGateway, clients: Clients): Promise<Findings> {
    const { seed, workers, clients: count, tls } = this.#options
    const seconds = Math.round(this.#elapsedS())
    const upstream = this.#upstream
    const ending = await conclude({ gateway, clients, upstream, budget: this.#budget })
    return {
      ...ending,
      seed,
      seconds,
      workers,
      clients: count,
      tls,
      kills: this.#killer?.kills ?? 0,
      resizes: this.#budget.count,
      longestSettleMs: this.#budget.longestMs,
      longestWaitWhileFreeMs: this.#waits.longestMs,
      longestLossMs: this.#losses.longestMs,
      gatewayErrors: [gateway.stderr, ...gateway.errors.map((line) => JSON.stringify(line))].filter(
        (text) => text !== ''
      )
    }
  }
}
