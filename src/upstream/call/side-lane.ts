import type { Config } from '../../config/settings.ts'
import { type BytesCall, exchangeJson } from './json-exchange.ts'
import { ConnectionPool } from '../connections/pool.ts'
import { upstreamNames } from '../names/host-names.ts'
import { chooseProxy } from '../proxy/proxy.ts'

/** Connections to others than the upstream, outside its budget: to a webhook, to an identity provider. */
export class SideLane {
  readonly #config: Config
  readonly #maxCalls: number
  #pool: ConnectionPool | null = null

  /** The caller makes at most `maxCalls` at a time. */
  constructor(config: Config, maxCalls: number) {
    this.#config = config
    this.#maxCalls = maxCalls
  }

  readonly call: BytesCall = (request, signal) => {
    this.#pool ??= this.#createPool()
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(request.timeoutMs)])
    const permit = { release: () => {} } // the caller limits its calls
    return exchangeJson({ pool: this.#pool, request, signal: deadline, permit })
  }

  async close(): Promise<void> {
    await this.#pool?.close()
  }

  #createPool(): ConnectionPool {
    const { proxy, names, upstream } = this.#config
    return new ConnectionPool({
      limits: { maxSockets: () => 2 * this.#maxCalls, maxIdle: () => 0 }, // some may still be closing
      chooseProxy: chooseProxy(proxy),
      names: upstreamNames(names.servers),
      connectTimeoutMs: upstream.connectTimeoutMs,
      keepaliveExpiryMs: 0
    })
  }
}
