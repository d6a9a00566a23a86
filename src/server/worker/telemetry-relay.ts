import { MemoryBudget } from '../../admission/memory-budget.ts'
import type { Config } from '../../config/settings.ts'
import type { Logger } from '../../observe/logger.ts'
import type { Metrics } from '../../observe/metrics.ts'
import { codeOf, GatewayError } from '../../shared/errors.ts'
import { version } from '../../shared/version.ts'
import type { SideLane } from '../../upstream/call/side-lane.ts'

export interface TelemetryRelayOptions {
  readonly config: () => Pick<Config, 'clients' | 'traces'>
  /** Outside the upstream's budget of connections; at most MAX_CALLS at a time. */
  readonly lane: Pick<SideLane, 'call' | 'close'>
  /** Memory for bodies of all kinds. */
  readonly memory: Pick<MemoryBudget, 'isFreeFor' | 'grow'>
  readonly metrics: Pick<Metrics, 'clientTelemetry'>
  readonly log: Pick<Logger, 'warn'>
}

/** One export of a client, as it came. */
export interface TelemetryExport {
  /** `/v1/metrics`, `/v1/logs` or `/v1/traces`. */
  readonly path: string
  readonly contentType: string
  readonly contentEncoding: string | null
  /** The relay's own: the HTTP engine frees it. */
  readonly body: Uint8Array
}

export const MAX_EXPORT_BYTES = 1024 * 1024
export const MAX_CALLS = 2
const MAX_WAITING = 32
/** A collector that hangs must not keep the memory of waiting exports for minutes. */
const MOST_TIMEOUT_MS = 10_000
/** Interval of log lines about a collector that fails. */
const QUIET_MS = 60_000

/** Memory of exports that are read or wait, a part of the memory for bodies. */
const MOST_BYTES = 4 * MAX_EXPORT_BYTES

interface Admitted {
  readonly sent: TelemetryExport
  /** Its memory. */
  readonly room: Disposable
}

/**
 * Sends what clients measure of themselves to the operator's collector, for `CLIENT_TELEMETRY=forward`. Clients have
 * their answer already: what finds no room, or fails once, is dropped and counted.
 */
export class TelemetryRelay {
  readonly #options: TelemetryRelayOptions
  readonly #closing = new AbortController()
  readonly #own = new MemoryBudget(MOST_BYTES, 0)
  /** Bounded by MAX_WAITING. */
  readonly #waiting: Admitted[] = []
  #calls = 0
  #quietUntil = -Infinity

  constructor(options: TelemetryRelayOptions) {
    this.#options = options
  }

  /** Returns room for an export that a client is about to send; `null` if it is to be dropped, which is counted. */
  admit(bytes: number, key: string): Disposable | null {
    const { config, memory } = this.#options
    if (config().clients.telemetry !== 'forward') return null
    const isRoom =
      bytes <= MAX_EXPORT_BYTES &&
      this.#waiting.length < MAX_WAITING &&
      !this.#closing.signal.aborted &&
      this.#own.isFreeFor(bytes, key) &&
      memory.isFreeFor(bytes, key)
    if (!isRoom) return this.#drop()
    const room = new DisposableStack()
    room.use(this.#own.grow(bytes, key))
    room.use(memory.grow(bytes, key))
    return room
  }

  /** Takes the room, too. */
  forward(sent: TelemetryExport, room: Disposable): void {
    if (this.#waiting.length >= MAX_WAITING || this.#closing.signal.aborted) {
      room[Symbol.dispose]()
      this.#drop()
      return
    }
    this.#waiting.push({ sent, room })
    this.#next()
  }

  async close(): Promise<void> {
    this.#closing.abort(new GatewayError('GW_DRAINING'))
    for (const { room } of this.#waiting.splice(0)) room[Symbol.dispose]()
    await this.#options.lane.close()
  }

  #drop(): null {
    this.#options.metrics.clientTelemetry.inc({ outcome: 'dropped' })
    return null
  }

  #next(): void {
    while (this.#calls < MAX_CALLS) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#calls += 1
      void this.#send(next).finally(() => {
        this.#calls -= 1
        next.room[Symbol.dispose]()
        this.#next()
      })
    }
  }

  /** Never rejects. */
  async #send({ sent }: Admitted): Promise<void> {
    const { config, lane, metrics } = this.#options
    const { endpoint, headers, timeoutMs } = config().traces
    if (endpoint === null) return
    const { path, contentType, contentEncoding, body } = sent
    const request = {
      method: 'POST',
      url: endpoint.replace(/\/+$/, '') + path,
      // Of the client's headers none but these: its authorization is for this gateway.
      headers: {
        'user-agent': `kiro-gateway/${version}`,
        ...headers,
        'content-type': contentType,
        ...(contentEncoding !== null && { 'content-encoding': contentEncoding })
      },
      body,
      setting: 'OTEL_EXPORTER_OTLP_ENDPOINT',
      isOnce: true,
      timeoutMs: Math.min(timeoutMs, MOST_TIMEOUT_MS)
    } as const
    try {
      const { status } = await lane.call(request, this.#closing.signal)
      if (status < 200 || status >= 300) return this.#fail(`status ${status}`)
      metrics.clientTelemetry.inc({ outcome: 'forwarded' })
    } catch (cause) {
      if (!this.#closing.signal.aborted) this.#fail(codeOf(cause) || 'no answer')
    }
  }

  #fail(failure: string): void {
    const { metrics, log } = this.#options
    metrics.clientTelemetry.inc({ outcome: 'failed' })
    const now = performance.now()
    if (now < this.#quietUntil) return
    this.#quietUntil = now + QUIET_MS
    log.warn({ failure }, "clients' telemetry cannot be forwarded")
  }
}
