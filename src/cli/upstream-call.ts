import type { Config } from '../config/settings.ts'
import { exchangeJson, type JsonCall } from '../upstream/call/json-exchange.ts'
import { ConnectionPool } from '../upstream/connections/pool.ts'
import { upstreamNames } from '../upstream/names/host-names.ts'
import { chooseProxy } from '../upstream/proxy/proxy.ts'

/** Commands ask one thing after the other, or a few at once. */
const MAX_SOCKETS = 8
/** For answers between two questions of a command. */
const KEEPALIVE_MS = 5_000

/** Calls as the gateway makes them, by the same names, proxies and timeouts, for a program of its own. */
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

/** Permit for connections that are not shared. */
const NO_PERMIT = { release: () => {} }
