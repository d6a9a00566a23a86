import { setTimeout as delay } from 'node:timers/promises'
import type { Config } from '../config/settings.ts'
import { isTracing } from '../config/trace-settings.ts'
import { Channel, type Endpoint } from '../ipc/channel.ts'
import type { ClusterStatus, FromWorker, ToWorker, WorkerStart } from '../ipc/messages.ts'
import type { KnownKeys } from '../keys/key.ts'
import type { Logger, LogStream } from '../observe/logger.ts'
import { codeOf, GatewayError } from '../shared/errors.ts'
import { withinTime } from '../shared/within-time.ts'
import type { TurnTracer } from '../tracing/tracer.ts'
import { hasKey } from './http/auth.ts'
import type { Listener } from './http/listener.ts'
import { PrimaryPulse } from './primary/primary-pulse.ts'
import { authenticatorOf, closeParts, createParts, type Parts } from './worker-parts.ts'
import type { OwnPlane, WorkerLife } from './worker/data-plane.ts'
import { KeyExpiry } from './worker/key-expiry.ts'
import { type DrainOptions, OpenTurns } from './worker/open-turns.ts'

/** Time for clients to read why the drain cut their answer. */
const LAST_WORDS_MS = 1_000
/** A client that waited for the gateway to start comes before the rehearsal. */
const REST_MS = 200
/** Time without a turn after which a worker rests. */
const LONG_REST_MS = 3000
/** Collections of a gateway's processes follow each other, so that a core stays free. */
const STAGGER_MS = 500
const MAX_RESTS = 20

/**
 * The data plane of one worker: wires what serves requests, and drains it.
 *
 *   waiting ──worker.start──▶ serving ──drain()──▶ draining ──▶ stopped
 *                                └───retire()──▶ retiring ──┘ the last client has left, or the last stream has ended
 */
export class GatewayWorker {
  readonly #channel: Channel<ToWorker, FromWorker>
  readonly #logStream: LogStream
  readonly #pulse: PrimaryPulse
  readonly #turns = new OpenTurns()
  readonly #stopped = Promise.withResolvers<void>()
  readonly #life: { -readonly [Name in keyof WorkerLife]: WorkerLife[Name] } = {
    state: 'open',
    isAccepting: true,
    isLeaving: false
  }
  readonly #keyExpiry = new KeyExpiry(() => {
    if (this.#parts !== null) checkKeys(this.#parts)
  })
  #parts: Parts | null = null
  /** For the rehearsal, until it begins. */
  #start: WorkerStart | null = null

  readonly #onRest: () => void

  /** Serves as soon as the primary has said how. `onRest` is called once, when the worker rests soon after its start. */
  constructor(endpoint: Endpoint, logStream: LogStream, onRest: () => void = () => {}) {
    this.#logStream = logStream
    this.#onRest = onRest
    const channel = new Channel<ToWorker, FromWorker>(endpoint)
    this.#channel = channel
    this.#pulse = new PrimaryPulse(channel)
    channel.onMessage((message) => this.#onMessage(message))
    channel.send({ type: 'worker.hello' })
  }

  /** Resolves when the process may end. */
  get stopped(): Promise<void> {
    return this.#stopped.promise
  }

  /** Accepts nothing new, lets streams end within `DRAIN_TIMEOUT`, closes. Idempotent. */
  drain(): void {
    this.#end(this.#parts?.current.config.cluster.drainTimeoutMs ?? 0)
  }

  /**
   * Serves open connections a last time, when a successor serves. After `DRAIN_TIMEOUT` it waits for
   * streams only, and cuts them after `patienceMs` more.
   */
  retire(patienceMs: number): void {
    if (this.#life.state !== 'open') return
    if (this.#parts === null) return this.drain()
    this.#enter({ state: 'retiring' })
    void this.#retire(this.#parts, patienceMs) // cannot reject
  }

  async #retire({ listener, current, pages, sockets }: Parts, patienceMs: number): Promise<void> {
    pages.close()
    sockets.end()
    await withinTime(listener.close(), current.config.cluster.drainTimeoutMs)
    if (this.#life.state !== 'retiring') return
    await this.#turns.drain({ timeoutMs: patienceMs, ...lastWords() })
    this.#end(0)
  }

  #end(timeoutMs: number): void {
    if (this.#life.state === 'draining') return
    this.#enter({ state: 'draining' })
    this.#close(timeoutMs).then(this.#stopped.resolve, this.#stopped.reject)
  }

  /** Follows each change of what `isLeaving` is made of; requests only read it. */
  #enter(change: Partial<Pick<WorkerLife, 'state' | 'isAccepting'>>): void {
    const life = Object.assign(this.#life, change)
    const isEnding = this.#parts?.current.status.isEnding === true
    life.isLeaving = life.state !== 'open' || !life.isAccepting || isEnding
  }

  #onMessage(message: ToWorker): void {
    this.#pulse.heard()
    const parts = this.#parts
    switch (message.type) {
      case 'primary.alive':
        return // has been heard
      case 'answered':
        return this.#pulse.onAnswer(message)
      case 'worker.start':
        if (this.#life.state === 'open') this.#serve(message)
        return
      case 'worker.retire':
        return this.retire(message.patienceMs)
      case 'worker.drain':
        return this.drain()
      case 'lease.grant':
        return parts?.plane.lease.onMessage(message)
      case 'allowance.grants':
        return parts?.plane.allowances.onGrants(message.grants)
      case 'credential.changed':
        return parts?.plane.credentials.onNews(message.news)
      case 'account.status':
        return parts?.plane.account.onStatus(message.status)
      case 'plan.status':
        return parts?.plane.account.onPlan(message.bar)
      case 'plan.standing':
        return parts?.plane.account.onPlanStanding(message.standing)
      case 'catalogue.changed':
        if (parts !== null) parts.current.catalogue = message.catalogue
        return
      case 'keys.changed':
        if (parts !== null) this.#changeKeys(parts, message.knownKeys)
        return
      case 'devices.changed':
        return parts?.current.devices.onNews(message.devices)
      case 'calibration.learnt':
        return parts?.plane.calibration.onLearnt(message)
      case 'price.learnt':
        return parts?.plane.prices.onLearnt(message)
      case 'form.learnt':
        return parts?.plane.forms.onLearnt(message)
      case 'conversation.learnt':
        return parts?.plane.conversations.onLearnt(message)
      case 'kiro-key.learnt':
        return parts?.plane.keyTrials.onVerdict(message)
      case 'config.changed':
        if (parts !== null) changeConfig(parts, message.config)
        return
      case 'metrics.collect':
        parts?.plane.records.flush()
        return void parts?.metrics.push() // cannot reject
      case 'dashboard.news':
        return parts?.pages.onNews(message.news)
      case 'told.mark':
        return this.#channel.send({ type: 'told.marked', mark: message.mark })
      case 'session.ended':
        return parts?.sessions.ended.add(message.ended)
      case 'cluster.status':
        if (parts !== null) this.#onStatus(parts, message.status)
        return
      case 'fleet.told':
        return parts?.plane.onFleet(message)
      case 'clients.accept':
        if (parts !== null && this.#life.state === 'open') {
          void this.#setDoor(parts.listener, message.isAccepting) // cannot reject
        }
    }
  }

  #changeKeys(parts: Parts, knownKeys: KnownKeys): void {
    const { current, plane } = parts
    current.knownKeys = knownKeys
    current.authenticator = authenticatorOf(current)
    plane.account.refuseOthers()
    this.#keyExpiry.watch(knownKeys.keys) // first, or a key that expires meanwhile would be missed
    checkKeys(parts)
  }

  #onStatus({ current, log }: Parts, status: ClusterStatus): void {
    current.status = status
    this.#enter({})
    const start = this.#start
    if (start === null || !status.workers.every(({ state }) => state === 'ready')) return
    this.#start = null
    void this.#rehearse(start, log) // cannot reject
  }

  /** Waits until the whole gateway has started, and longer for a first client. */
  async #rehearse(start: WorkerStart, log: Logger): Promise<void> {
    const isResting = (): boolean => this.#life.state === 'open' && this.#turns.size === 0
    try {
      await delay(REST_MS, undefined, { ref: false })
      if (isResting()) {
        const { rehearse } = await import('./rehearsal.ts')
        const answers = await rehearse(start, isResting)
        log.debug({ answers }, 'rehearsed')
      }
    } catch (err) {
      log.info({ err }, 'rehearsal failed: the first answers take longer')
    }
    await delay(start.workerId * STAGGER_MS, undefined, { ref: false })
    if (!(await this.#rests())) return
    this.#onRest()
    log.debug('memory of the start returned')
  }

  /** False if no time passed without a turn. Later the memory of the start has been put to use. */
  async #rests(): Promise<boolean> {
    for (let tried = 0; tried < MAX_RESTS; tried++) {
      const { added } = this.#turns
      await delay(LONG_REST_MS, undefined, { ref: false })
      if (this.#life.state !== 'open') return false
      if (this.#turns.size === 0 && this.#turns.added === added) return true
    }
    return false
  }

  #serve(start: WorkerStart): void {
    const parts = createParts(start, {
      channel: this.#channel,
      logStream: this.#logStream,
      pulse: this.#pulse,
      turns: this.#turns,
      life: this.#life
    })
    this.#parts = parts
    this.#enter({})
    this.#start = start
    this.#keyExpiry.watch(start.knownKeys.keys)
    void this.#listen(parts, start) // reports its own failure
  }

  async #setDoor(listener: Listener, isAccepting: boolean): Promise<void> {
    this.#enter({ isAccepting })
    if (!isAccepting) listener.hold()
    else if (!(await listener.reopen())) return
    this.#channel.send({ type: 'clients.accepting', isAccepting })
  }

  async #listen({ listener, plane, log }: Parts, start: WorkerStart): Promise<void> {
    const { host, port } = start.config.server
    try {
      await addWatchers(plane, start, log)
      this.#channel.send({ type: 'worker.ready', port: await listener.open() })
    } catch (cause) {
      this.#channel.send({ type: 'worker.failed', message: listenProblem(cause, host, port) })
      this.drain()
    }
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#keyExpiry.close()
    if (this.#parts === null) return
    await closeParts(this.#parts, () => this.#turns.drain({ timeoutMs, ...lastWords() }))
  }
}

function lastWords(): Pick<DrainOptions, 'graceMs' | 'error'> {
  return { graceMs: LAST_WORDS_MS, error: new GatewayError('GW_DRAINING') }
}

/** Ends requests that wait, and connections, whose key is good no more. */
function checkKeys({
  current,
  plane,
  sockets
}: Pick<Parts, 'current' | 'plane' | 'sockets'>): void {
  sockets.checkKeys()
  plane.turns.checkKeys((headers) => {
    // A page has a session in place of a key.
    const isPage = headers['x-csrf-token'] !== undefined && !hasKey(headers)
    return isPage ? null : current.authenticator.problemOf(headers)
  })
}

/** Applies reloaded settings; streams go on unchanged. */
function changeConfig({ plane, log, current, sockets }: Parts, config: Config): void {
  current.config = config
  current.authenticator = authenticatorOf(current)
  checkKeys({ current, plane, sockets })
  log.level = config.observe.level
  plane.pool.setKeepaliveExpiry(config.pool.keepaliveExpiryMs)
  plane.lease.setLimits(config.pool)
}

function listenProblem(cause: unknown, host: string, port: number): string {
  const code = codeOf(cause) || 'unknown'
  const why =
    code === 'EADDRINUSE'
      ? 'the port is already in use. Stop the other program, or choose another SERVER_PORT (or --port).'
      : code === 'EACCES'
        ? 'permission denied. Ports below 1024 need special rights; choose another SERVER_PORT.'
        : 'SERVER_HOST must be an address of this machine.'
  return `cannot listen on ${host}:${port} (${code}): ${why}`
}

/**
 * Loads the recorder and the tracer only if DEBUG_CONTENT or OTEL_EXPORTER_OTLP_ENDPOINT is set. Precedes
 * requests.
 */
async function addWatchers(plane: OwnPlane, start: WorkerStart, log: Logger): Promise<void> {
  const { config, memory } = start
  if (config.observe.keepsContent) {
    const { createTurnRecorder } = await import('./worker/turn-capture.ts')
    plane.recorder = createTurnRecorder(plane, { log, workers: memory.workers })
  }
  plane.tracing.tracer = await loadTracer(plane, start, log)
}

/** If it cannot be loaded, requests are served without. */
async function loadTracer(
  { metrics }: OwnPlane,
  { config, workerId }: WorkerStart,
  log: Logger
): Promise<TurnTracer | null> {
  const settings = config.traces
  const { endpoint } = settings
  if (endpoint === null || !isTracing(config)) return null
  try {
    const { createTurnTracer } = await import('../tracing/tracer.ts')
    return createTurnTracer({ settings, endpoint, workerId, log, metrics })
  } catch (err) {
    log.error({ err }, 'requests are not traced: the tracing libraries cannot be loaded')
    return null
  }
}
