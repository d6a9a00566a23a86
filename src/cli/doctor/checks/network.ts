import type { Config } from '../../../config/settings.ts'
import { exchangeJson, type JsonCall } from '../../../upstream/call/json-exchange.ts'
import { classifyFailure } from '../../../upstream/classify.ts'
import { ConnectionPool } from '../../../upstream/connections/pool.ts'
import { upstreamNames } from '../../../upstream/names/host-names.ts'
import { chooseProxy } from '../../../upstream/proxy/proxy.ts'

/** Name servers fail after 5 s: they must be named as the cause, not the connection. */
const CONNECT_TIMEOUT_MS = 7_000
const MAX_SOCKETS = 32

/** The gateway's way to the upstream, without the budget, since a gateway may run beside it. */
export class Network {
  readonly pool: ConnectionPool

  constructor(config: Config) {
    this.pool = new ConnectionPool({
      limits: { maxSockets: () => MAX_SOCKETS, maxIdle: () => MAX_SOCKETS },
      chooseProxy: chooseProxy(config.proxy),
      names: upstreamNames(config.names.servers),
      connectTimeoutMs: Math.min(config.upstream.connectTimeoutMs, CONNECT_TIMEOUT_MS),
      keepaliveExpiryMs: null
    })
  }

  /** @throws {GatewayError} without an answer: the failure by kind. */
  readonly call: JsonCall = async (request, signal) => {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(request.timeoutMs)])
    const { url, setting } = request
    if (deadline.aborted)
      throw classifyFailure(deadline.reason, { url, setting, phase: 'connecting' })
    return exchangeJson({ pool: this.pool, request, signal: deadline, permit: NO_PERMIT })
  }

  close(): Promise<void> {
    return this.pool.close()
  }
}

export const NO_PERMIT = { release: () => {} }
