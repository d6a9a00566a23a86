import type { Config } from '../config/settings.ts'
import { exchangeJson, type JsonCall } from '../upstream/call/json-exchange.ts'
import { ConnectionPool } from '../upstream/connections/pool.ts'
import { upstreamNames } from '../upstream/names/host-names.ts'
import { chooseProxy } from '../upstream/proxy/proxy.ts'

const MAX_SOCKETS = 8
const KEEPALIVE_MS = 5_000

/** Calls like the gateway's (names, proxies, timeouts) for another program. */
export class UpstreamCalls implements AsyncDisposable {
  readonly #pool: ConnectionPool

  constructor({ proxy, names, upstream }: Pick<Config, 'proxy' | 'names' | 'upstream'>) {
    this.#pool = new ConnectionPool({
      limits: { maxSockets: () => MAX_SOCKETS, maxIdle: () => MAX_SOCKETS },
      chooseProxy: chooseProxy(proxy),
      names: upstreamNames(names.servers),
      connectTimeoutMs: upstream.connectTimeoutMs,
      keepaliveExpiryMs: KEEPALIVE_MS
    })
  }

  readonly call: JsonCall = (request, signal) => {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(request.timeoutMs)])
    return exchangeJson({ pool: this.#pool, request, signal: deadline, permit: NO_PERMIT })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close()
  }
}

const NO_PERMIT = { release: () => {} }
