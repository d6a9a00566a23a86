import type { Config } from '../config/settings.ts'
import { isOnThisMachine } from '../shared/loopback.ts'
import { exchangeJson, type JsonCall } from '../upstream/call/json-exchange.ts'
import { classifyFailure } from '../upstream/classify.ts'
import { ConnectionPool } from '../upstream/connections/pool.ts'
import { upstreamNames } from '../upstream/names/host-names.ts'
import { chooseProxy } from '../upstream/proxy/proxy.ts'

const MAX_SOCKETS = 32
const KEEPALIVE_MS = 5_000

export type NetworkSettings = Pick<Config, 'proxy' | 'names' | 'upstream'>

export interface NetworkLimits {
  readonly connectTimeoutMs?: number
  /** `null`: connections stay open. */
  readonly keepaliveExpiryMs?: number | null
}

/** The gateway's way to the upstream (names, proxies, timeouts) without the budget, since a gateway may run beside it. */
export class Network implements AsyncDisposable {
  readonly pool: ConnectionPool

  constructor(
    { proxy, names, upstream }: NetworkSettings,
    { connectTimeoutMs = Infinity, keepaliveExpiryMs = KEEPALIVE_MS }: NetworkLimits = {}
  ) {
    this.pool = new ConnectionPool({
      limits: { maxSockets: () => MAX_SOCKETS, maxIdle: () => MAX_SOCKETS },
      chooseProxy: chooseProxy(proxy),
      names: upstreamNames(names.servers),
      connectTimeoutMs: Math.min(upstream.connectTimeoutMs, connectTimeoutMs),
      keepaliveExpiryMs
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

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

const DIRECT = { url: null, httpsUrl: null, exceptions: null } as const

/** The way to another gateway: through the configured proxy, except to this machine, where a tunnel may end. */
export function networkTo(url: string, config: NetworkSettings): Network {
  const isHere = isOnThisMachine(new URL(url).hostname)
  return new Network(isHere ? { ...config, proxy: DIRECT } : config)
}

export const NO_PERMIT = { release: () => {} }
