import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { RequestForm } from '../../src/kiro/wire/hosts.ts'
import type { AccountFigures } from '../../src/simulator/account.ts'
import { listen, type ListenOptions } from '../../src/simulator/simulator.ts'
import type { TrueTokens } from '../counts/true-tokens.ts'
import type { StrictAccount } from './account.ts'
import { ConnectionCensus, type SimulatorStats } from './connection-census.ts'
import { type RateLimit, type RateStats, RequestRate } from './request-rate.ts'
import { StrictUpstream } from './strict-upstream.ts'

export interface SimulatorOptions extends ListenOptions {
  /** Ms between events unless the prompt sets it. */
  readonly gapMs?: number
  readonly account?: Partial<AccountFigures>
  readonly now?: () => number
  /** A form of request to refuse. */
  readonly refusedForm?: RequestForm
  /** Requests that it takes in a time; more are refused with 429. */
  readonly rate?: RateLimit
  /** Seconds after which an access token that it issued is refused. */
  readonly tokenLifetimeS?: number
  /** Counts tokens in the place of the simulator's simple rule. */
  readonly tokens?: TrueTokens
  /** Hears the body of each request. */
  readonly onBody?: (text: string) => void
  /** Answers a request in its place; false for all others. */
  readonly answers?: (text: string, request: IncomingMessage, response: ServerResponse) => boolean
}

/** The simulator as tests use it. Several can run in one process. */
export class Simulator {
  readonly account: StrictAccount
  readonly #options: SimulatorOptions
  readonly #upstream: StrictUpstream
  readonly #census = new ConnectionCensus()
  readonly #rate: RequestRate
  #server: Server | null = null
  #closing: Promise<void> | null = null

  constructor(options: SimulatorOptions = {}) {
    this.#options = options
    this.#rate = new RequestRate(options.rate ?? null, options.now ?? Date.now)
    this.#upstream = new StrictUpstream(options, this.#census, this.#rate)
    this.account = this.#upstream.account
  }

  async start(): Promise<{ readonly url: string; readonly port: number }> {
    const { host = '127.0.0.1' } = this.#options
    const { server, port } = await listen(this.#upstream, this.#options)
    server.on('connection', (socket) => this.#census.accept(socket))
    this.#server = server
    return { url: `http://${host}:${port}`, port }
  }

  /** Cuts running answers, which may stall for ever on purpose. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#server?.listening !== true) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  stats(): SimulatorStats & { readonly rate?: RateStats } {
    return { ...this.#census.stats(), ...this.#rate.stats() }
  }

  resetStats(): void {
    this.#census.reset()
    this.#rate.reset()
  }
}
