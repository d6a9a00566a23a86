import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../helper/free-port.ts'
import { GatewayProcess, type LogLine } from '../helper/gateway-process.ts'
import { KEYS } from './client-keys.ts'
import { countPool, type PoolCounts, type PoolView, viewPool } from './gateway-probe.ts'
import { countCloseWait } from './gateway-sockets.ts'
import { type PoolSize, toEnvFile } from './pool-size.ts'

/** Longest time for a smaller budget to be kept, for rest and for an end: streams last for seconds here. */
const PATIENCE_MS = 60_000

/** Lines of single requests, of which there are too many to keep. */
const REQUEST_LINES = [
  'request completed',
  'request refused',
  'request failed',
  'PoolTimeout',
  'retrying upstream',
  'retrying upstream with a changed request'
]

/** Lines of deaths, which are errors unless it was us. */
const DEATH_LINES = [
  'worker died',
  'the new worker died during start-up, the old one stays',
  'rolling restart stopped: the new worker did not start'
]

export interface ChaosGatewayOptions {
  readonly size: PoolSize
  readonly workers: number
  /** The upstream's certificate, if it speaks TLS. */
  readonly certFile: string | null
}

/** The gateway that is put under stress, with short timeouts so that every fault has its end within seconds. */
export class ChaosGateway {
  readonly #process: GatewayProcess

  private constructor(process: GatewayProcess) {
    this.#process = process
  }

  /** Resolves when it runs, not yet when it serves: whoever has it can end it. */
  static async start(
    upstreamUrl: string,
    { size, workers, certFile }: ChaosGatewayOptions
  ): Promise<ChaosGateway> {
    const port = await freePort()
    const gateway = new GatewayProcess({
      upstreamUrl,
      tokenLifeMs: 610_000, // due for renewal in ten seconds
      envFile: toEnvFile(size),
      env: {
        SERVER_PORT: String(port), // when all workers are dead at once, the next come back to it
        MEMORY_LIMIT: '1G', // enough for four workers, whatever the machine has
        WORKERS: String(workers),
        PROXY_API_KEY: KEYS.join(','),
        KIRO_AUTH_URL: upstreamUrl,
        FIRST_TOKEN_MAX_RETRIES: '2',
        FAKE_REASONING: 'false',
        ...(certFile === null ? {} : { NODE_EXTRA_CA_CERTS: certFile })
      },
      keeps: ({ msg }) => !REQUEST_LINES.includes(String(msg))
    })
    return new ChaosGateway(gateway)
  }

  /** Resolves with its base URL when it serves; fails if it does not in time. */
  async ready(): Promise<string> {
    const gateway = await Promise.race([
      this.#process.ready(),
      delay(PATIENCE_MS, null, { ref: false })
    ])
    if (gateway === null) throw new Error(`the gateway does not start:\n${this.#lastWords()}`)
    return gateway.url
  }

  get url(): string {
    return this.#process.url
  }

  /** Of the workers that serve. */
  get workerPids(): readonly number[] {
    return this.#process.workerPids()
  }

  /** Of all workers, those that start and those that leave as well. */
  get childPids(): readonly number[] {
    const { pid } = this.#process.child
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    return children
      .split(' ')
      .map(Number)
      .filter((child) => child > 0)
  }

  /** Of the primary and all its workers. */
  get pids(): readonly number[] {
    return [this.#process.child.pid ?? 0, ...this.childPids]
  }

  /** Rolling restarts that came to their end. */
  get rollingRestarts(): number {
    return this.#process.lines.filter(({ msg }) => msg === 'rolling restart complete').length
  }

  /** Log lines that somebody would have to look at. Workers may die here, but only because they are killed. */
  get errors(): readonly LogLine[] {
    return this.#process.lines.filter(
      ({ level, msg, reason }) =>
        level === 'error' &&
        !(DEATH_LINES.includes(String(msg)) && String(reason).includes('SIGKILL'))
    )
  }

  get stderr(): string {
    return this.#process.stderr
  }

  /** Begins a rolling restart. */
  restartWorkers(): void {
    this.#process.child.kill('SIGUSR2')
  }

  /** Resolves when a rolling restart has come to its end, or patience to its. */
  async replaceWorkers(): Promise<void> {
    const before = this.rollingRestarts
    const deadline = performance.now() + PATIENCE_MS
    this.restartWorkers()
    while (this.rollingRestarts === before && performance.now() < deadline) await delay(50)
  }

  resize(size: PoolSize): Promise<void> {
    return this.#process.reload(toEnvFile(size))
  }

  view(): Promise<PoolView | null> {
    return viewPool(this.#process.url, KEYS[0])
  }

  /** What it counted; nothing if it does not answer. */
  async counts(): Promise<PoolCounts> {
    const counts = await countPool(this.#process.url, KEYS[0])
    return counts ?? { opened: 0, reused: 0, closed: {} }
  }

  /** The last view, which fits unless patience ran out. */
  async until(fits: (view: PoolView) => boolean): Promise<PoolView> {
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      const view = await this.view()
      const isOver = performance.now() > deadline
      if (view !== null && (isOver || fits(view))) return view
      if (isOver) throw new Error(`the gateway does not answer any more:\n${this.#lastWords()}`)
      await delay(50)
    }
  }

  /** Its half-closed sockets that stay: one that closes at this moment is no leak. */
  async closeWait(): Promise<number> {
    const { pids } = this
    let count = countCloseWait(pids)
    for (let i = 0; i < 20 && count > 0; i++) {
      await delay(50)
      count = countCloseWait(pids)
    }
    return count
  }

  /** Its exit code; `null` if it did not end. */
  stop(): Promise<number | null> {
    return Promise.race([this.#process.stop(), delay(PATIENCE_MS, null, { ref: false })])
  }

  destroy(): Promise<void> {
    return this.#process.destroy()
  }

  #lastWords(): string {
    const { stderr, lines } = this.#process
    return [stderr, ...lines.slice(-20).map((line) => JSON.stringify(line))].join('\n')
  }
}
