import type { Config } from '../../config/settings.ts'
import { exchangeJson, type JsonCall } from '../../upstream/call/json-exchange.ts'
import { ConnectionPool } from '../../upstream/connections/pool.ts'
import { upstreamNames } from '../../upstream/names/host-names.ts'
import { chooseProxy } from '../../upstream/proxy/proxy.ts'

/** One connection to the webhook at a time, outside the upstream's budget. */
export class AlertLane {
  readonly #config: Config
  #pool: ConnectionPool | null = null

  constructor(config: Config) {
    this.#config = config
  }

  readonly call: JsonCall = (request, signal) => {
    this.#pool ??= this.#createPool()
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(request.timeoutMs)])
    const permit = { release: () => {} } // there is one call at a time
    return exchangeJson({ pool: this.#pool, request, signal: deadline, permit })
  }

  async close(): Promise<void> {
    await this.#pool?.close()
  }

  #createPool(): ConnectionPool {
    const { proxy, names, upstream } = this.#config
    return new ConnectionPool({
      limits: { maxSockets: () => 2, maxIdle: () => 0 }, // one may still be closing
      chooseProxy: chooseProxy(proxy),
      names: upstreamNames(names.servers),
      connectTimeoutMs: upstream.connectTimeoutMs,
      keepaliveExpiryMs: 0
    })
  }
}
