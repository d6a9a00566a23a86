import { monotonicNow } from '../../admission/clock.ts'
import { Lease } from '../../admission/lease.ts'
import type { Config } from '../../config/settings.ts'
import type { LeaseGrant } from '../../ipc/messages.ts'
import type { Metrics } from '../../observe/metrics.ts'
import {
  exchangeJson,
  type JsonRequest,
  type JsonResponse
} from '../../upstream/call/json-exchange.ts'
import { classifyFailure } from '../../upstream/classify.ts'
import { poolMeter } from '../../upstream/connections/pool-metrics.ts'
import { ConnectionPool } from '../../upstream/connections/pool.ts'
import { upstreamNames } from '../../upstream/names/host-names.ts'
import { chooseProxy } from '../../upstream/proxy/proxy.ts'
import type { Budget } from './budget.ts'
import { MAX_CALLS_WAITING } from './ledger-grants.ts'

export const CONTROL = 'control'

/** Reserved connections for the primary's own calls (token, models, usage), which streams must never delay. */
export class ControlLane {
  readonly noteMetrics: () => void
  readonly #lease: Lease
  readonly #pool: ConnectionPool

  constructor(budget: Budget, config: Config, metrics: Metrics) {
    this.#pool = new ConnectionPool({
      limits: {
        maxSockets: () => this.#lease.state().size,
        maxIdle: () => this.#lease.state().keepAlive
      },
      chooseProxy: chooseProxy(config.proxy),
      names: upstreamNames(config.names.servers),
      connectTimeoutMs: config.upstream.connectTimeoutMs,
      keepaliveExpiryMs: config.pool.keepaliveExpiryMs,
      onConnectionClosed: (seconds) => metrics.connectionSeconds.observe(seconds)
    })
    this.noteMetrics = poolMeter(this.#pool, metrics, CONTROL)
    this.#lease = new Lease({
      send: (report) => budget.record({ type: 'report', member: CONTROL, report }),
      trimSockets: (max) => this.#pool.trim(max),
      onKeepAlive: () => this.#pool.trimIdle(),
      poolTimeoutMs: null, // each call has a timeout of its own, waiting included
      maxWaiting: MAX_CALLS_WAITING
    })
    budget.record({ type: 'join', member: CONTROL, slot: 'control' })
  }

  /** @throws {GatewayError} without an answer: the failure by kind. */
  readonly call = async (request: JsonRequest, signal: AbortSignal): Promise<JsonResponse> => {
    const { unlessSent, timeoutMs } = request
    const unsent = new AbortController()
    const giveUp = (): void => unsent.abort(unlessSent?.reason)
    if (unlessSent?.aborted === true) giveUp()
    unlessSent?.addEventListener('abort', giveUp, { once: true })
    const deadline = AbortSignal.any([signal, unsent.signal, AbortSignal.timeout(timeoutMs)])
    const onSent = (): void => {
      unlessSent?.removeEventListener('abort', giveUp)
      request.onSent?.()
    }
    try {
      const waiter = { key: CONTROL, arrivedAt: monotonicNow() }
      const permit = await this.#lease.acquire(waiter, deadline).catch((cause: unknown) => {
        signal.throwIfAborted()
        const { url, setting } = request
        throw classifyFailure(deadline.reason ?? cause, { url, setting, phase: 'connecting' })
      })
      return await exchangeJson({ pool: this.#pool, request, signal: deadline, permit, onSent })
    } finally {
      unlessSent?.removeEventListener('abort', giveUp)
    }
  }

  onGrant(grant: LeaseGrant): void {
    this.#lease.onMessage(grant)
  }

  onConfig(config: Config): void {
    this.#pool.setKeepaliveExpiry(config.pool.keepaliveExpiryMs)
  }

  async close(): Promise<void> {
    this.#lease.drain()
    await this.#pool.close()
  }
}
