import { join } from 'node:path'
import { CostQueue } from '../admission/fair-queue.ts'
import { Lease } from '../admission/lease.ts'
import { MemoryBudget } from '../admission/memory-budget.ts'
import type { Config } from '../config/settings.ts'
import { Channel, type Endpoint } from '../ipc/channel.ts'
import type { ClusterStatus, FromWorker, ToWorker, WorkerStart } from '../ipc/messages.ts'
import type { Catalogue } from '../kiro/models/models.ts'
import type { AccountUsage } from '../kiro/wire/account-usage.ts'
import type { CredentialSnapshot } from '../kiro/wire/credential-snapshot.ts'
import { DebugCapture } from '../observe/debug-capture.ts'
import { createLogger, type Logger, type LogStream } from '../observe/logger.ts'
import { Metrics } from '../observe/metrics.ts'
import { RefusalLog } from '../observe/refusal-log.ts'
import { AnswerBudget } from '../reply/answer-memory.ts'
import { GatewayError } from '../shared/errors.ts'
import { TransformPool } from '../transform/transform-pool.ts'
import { RetryBudget } from '../upstream/call/retry.ts'
import { ConnectionPool } from '../upstream/connections/pool.ts'
import { upstreamNames } from '../upstream/names/host-names.ts'
import { createNameLookup } from '../upstream/names/name-lookup.ts'
import { chooseProxy } from '../upstream/proxy/proxy.ts'
import { describeBadRequest, refuseCrowd } from './http/app-errors.ts'
import { createApp } from './http/app.ts'
import { Authenticator } from './http/auth.ts'
import { ClientConnections } from './http/connections.ts'
import { Listener } from './http/listener.ts'
import type { DataPlane } from './plane/data-plane.ts'
import { ItemStore } from './plane/item-store.ts'
import { MetricsDesk } from './plane/metrics-desk.ts'
import { type DrainOptions, OpenTurns } from './plane/open-turns.ts'
import {
  Credentials,
  PrimaryPulse,
  SharedCalibration,
  UsageReports
} from './plane/primary-links.ts'
import { isPublicAddress, UrlFetcher } from './plane/url-fetcher.ts'

export type Incoming = ToWorker<Config, CredentialSnapshot, Catalogue, AccountUsage>
type Start = WorkerStart<Config, CredentialSnapshot, Catalogue>

/** How many bodies may wait for memory: their clients hold a socket each, and what its stream has taken in. */
const MAX_BODIES_WAITING = 500

/** How long clients may take to read why their answer was cut short by the drain. */
const LAST_WORDS_MS = 1_000

/**
 * The data plane of one worker: wires what serves requests, and drains it.
 *
 * ```
 *   waiting ──worker.start──▶ serving ──drain()──▶ draining ──▶ stopped
 *                                └───retire()──▶ retiring ──┘ the last client has left, or the last stream has ended
 * ```
 */
export class GatewayWorker {
  readonly #channel: Channel<Incoming, FromWorker>
  readonly #logStream: LogStream
  readonly #pulse: PrimaryPulse
  readonly #turns = new OpenTurns()
  readonly #stopped = Promise.withResolvers<void>()
  #parts: Parts | null = null
  #state: 'open' | 'retiring' | 'draining' = 'open'

  /** Says hello at once and serves as soon as the primary has said how. */
  constructor(endpoint: Endpoint, logStream: LogStream) {
    this.#logStream = logStream
    const channel = new Channel<Incoming, FromWorker>(endpoint)
    this.#channel = channel
    this.#pulse = new PrimaryPulse(channel)
    channel.onMessage((message) => this.#onMessage(message))
    channel.send({ type: 'worker.hello' })
  }

  /** Resolves when everything is closed and the process may end. */
  get stopped(): Promise<void> {
    return this.#stopped.promise
  }

  /** Accepts nothing new, lets running streams end within `DRAIN_TIMEOUT`, closes. Further calls do nothing. */
  drain(): void {
    this.#end(this.#parts?.config.cluster.drainTimeoutMs ?? 0)
  }

  /**
   * For a worker whose successor serves: takes no new connections, and serves those that are open a last time. Ends
   * when they are closed. After `DRAIN_TIMEOUT` it waits for streams alone, which are cut after `patienceMs` more.
   */
  retire(patienceMs: number): void {
    if (this.#state !== 'open') return
    if (this.#parts === null) return this.drain()
    this.#state = 'retiring'
    void this.#retire(this.#parts, patienceMs) // cannot reject
  }

  async #retire({ listener, config }: Parts, patienceMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, config.cluster.drainTimeoutMs)
    void listener.close().then(resolve)
    await promise
    clearTimeout(timer)
    if (this.#state !== 'retiring') return
    await this.#turns.drain({ timeoutMs: patienceMs, ...lastWords() })
    this.#end(0)
  }

  /** Streams may take so much longer. */
  #end(timeoutMs: number): void {
    if (this.#state === 'draining') return
    this.#state = 'draining'
    this.#close(timeoutMs).then(this.#stopped.resolve, this.#stopped.reject)
  }

  #onMessage(message: Incoming): void {
    this.#pulse.heard()
    switch (message.type) {
      case 'worker.start':
        if (this.#state === 'open') this.#serve(message)
        break
      case 'primary.alive':
        break // has been heard
      case 'lease.terms':
        this.#parts?.lease.onMessage(message)
        break
      case 'credential.changed':
        this.#parts?.credentials.onNews(message.news)
        break
      case 'credential.renewed':
        this.#parts?.credentials.onRenewed(message.requestId)
        break
      case 'catalogue.changed':
        if (this.#parts !== null) this.#parts.catalogue = message.catalogue
        break
      case 'calibration.learnt':
        this.#parts?.calibration.onLearnt(message)
        break
      case 'config.changed':
        if (this.#parts !== null) changeConfig(this.#parts, message.config)
        break
      case 'metrics.collect':
        void this.#parts?.metrics.push() // cannot reject
        break
      case 'metrics.text':
        this.#parts?.metrics.onText(message.requestId, message.text)
        break
      case 'usage.told':
        this.#parts?.usage.onTold(message.requestId, message.news)
        break
      case 'cluster.status':
        if (this.#parts !== null) this.#parts.status = message.status
        break
      case 'clients.accept':
        if (this.#parts !== null && this.#state === 'open') {
          void this.#setDoor(this.#parts.listener, message.isAccepting) // cannot reject
        }
        break
      case 'worker.retire':
        this.retire(message.patienceMs)
        break
      case 'worker.drain':
        this.drain()
        break
    }
  }

  #serve(start: Start): void {
    const parts = createParts(start, {
      channel: this.#channel,
      logStream: this.#logStream,
      pulse: this.#pulse,
      turns: this.#turns,
      isDraining: () => this.#state === 'draining',
      isLeaving: () => this.#state !== 'open'
    })
    this.#parts = parts
    void this.#listen(parts, start.config.server) // reports its own failure
  }

  async #setDoor(listener: Listener, isAccepting: boolean): Promise<void> {
    if (!isAccepting) void listener.close()
    else if (!(await listener.reopen())) return
    this.#channel.send({ type: 'clients.accepting', isAccepting })
  }

  async #listen({ listener }: Parts, { host, port }: Config['server']): Promise<void> {
    try {
      this.#channel.send({ type: 'worker.ready', port: await listener.open() })
    } catch (cause) {
      this.#channel.send({ type: 'worker.failed', message: listenProblem(cause, host, port) })
      this.drain()
    }
  }

  async #close(timeoutMs: number): Promise<void> {
    const parts = this.#parts
    if (parts === null) return
    void parts.listener.close()
    parts.lease.drain()
    parts.memory.drain()
    await this.#turns.drain({ timeoutMs, ...lastWords() })
    parts.connections.closeIdle()
    parts.fetcher.close()
    await Promise.all([parts.pool.close(), parts.transforms.close()])
    await parts.metrics.push()
    parts.connections.destroy()
    parts.metrics.close()
    parts.refusals.close()
    parts.items.close()
  }
}

function lastWords(): Pick<DrainOptions, 'graceMs' | 'error'> {
  return { graceMs: LAST_WORDS_MS, error: new GatewayError('GW_DRAINING') }
}

interface Surroundings {
  readonly channel: Channel<Incoming, FromWorker>
  readonly logStream: LogStream
  readonly pulse: PrimaryPulse
  readonly turns: OpenTurns
  readonly isDraining: () => boolean
  readonly isLeaving: () => boolean
}

interface Parts {
  readonly listener: Listener
  readonly connections: ClientConnections
  readonly lease: Lease
  readonly memory: MemoryBudget
  readonly pool: ConnectionPool
  readonly transforms: TransformPool
  readonly fetcher: UrlFetcher
  readonly credentials: Credentials
  readonly calibration: SharedCalibration
  readonly items: ItemStore
  readonly metrics: MetricsDesk
  readonly usage: UsageReports
  readonly log: Logger
  readonly refusals: RefusalLog
  config: Config
  authenticator: Authenticator
  catalogue: Catalogue
  status: ClusterStatus
}

/** Takes settings that were read again into use; streams go on as they are. */
function changeConfig(parts: Parts, config: Config): void {
  parts.config = config
  parts.authenticator = new Authenticator(config.server.apiKeys, config.server.host)
  parts.log.level = config.observe.level
  parts.pool.setKeepaliveExpiry(config.pool.keepaliveExpiryMs)
  parts.lease.setLimits(config.pool)
}

function createParts(start: Start, surroundings: Surroundings): Parts {
  const { channel, logStream, pulse, turns, isDraining, isLeaving } = surroundings
  const { config, memory, workerId, catalogue, status } = start
  const log = createLogger(config.observe.level, { worker: workerId }, logStream)
  const counts = new Metrics()
  const pool = new ConnectionPool({
    limits: {
      maxSockets: () => lease.state().size,
      maxIdle: () => lease.state().keepAlive
    },
    chooseProxy: chooseProxy(config.proxy),
    names: upstreamNames(config.names.servers),
    connectTimeoutMs: config.upstream.connectTimeoutMs,
    keepaliveExpiryMs: config.pool.keepaliveExpiryMs,
    onConnectionClosed: (seconds) => counts.connectionSeconds.observe(seconds)
  })
  const lease = new Lease({
    send: (report) => channel.send(report),
    trimSockets: (max) => pool.trim(max),
    onKeepAlive: () => pool.trimIdle(),
    poolTimeoutMs: config.pool.poolTimeoutMs,
    maxWaiting: config.pool.maxWaiting
  })
  const credentials = new Credentials(channel, start.news, pulse)
  const calibration = new SharedCalibration({ channel, now: () => performance.now() })
  const transforms = new TransformPool({
    threads: memory.threads,
    inlineMaxBytes: config.transform.inlineMaxBytes,
    maxQueue: config.transform.maxQueue,
    timeoutMs: config.transform.timeoutMs,
    createQueue: () => new CostQueue(),
    threadHeapMb: memory.threadOldSpaceMb,
    pdfHeapMb: memory.pdfOldSpaceMb,
    threadSemiSpaceMb: memory.threadSemiSpaceMb,
    idleTimeoutMs: THREAD_IDLE_MS,
    closeTimeoutMs: THREAD_CLOSE_MS
  })
  const bodyMemory = new MemoryBudget(memory.bodyBytes, {
    maxWaiting: MAX_BODIES_WAITING,
    maxUnreadBytes: memory.bodyBytes / 2
  })
  const items = new ItemStore({
    folder: join(config.credentials.stateDir, 'responses'),
    writers: config.cluster.workers ?? AUTO_WORKERS_MAX,
    limits: () => {
      const { storeMaxBytes: maxBytes, storeMaxAgeMs: maxAgeMs } = parts.config.responses
      return { maxBytes, maxAgeMs }
    },
    log
  })
  const fetcher = new UrlFetcher({
    limits: () => parts.config.fetch,
    isAllowedAddress: isPublicAddress,
    lookUp: createNameLookup({ servers: config.names.servers }),
    chooseProxy: chooseProxy(config.proxy)
  })
  const plane: DataPlane = {
    lease,
    pool,
    memory: bodyMemory,
    smallLane: new MemoryBudget(memory.smallLaneBytes, 0),
    kept: new MemoryBudget(memory.bodyBytes, 0),
    answers: new AnswerBudget({
      budget: bodyMemory,
      lane: new MemoryBudget(memory.answerLaneBytes, 0)
    }),
    transforms,
    credentials,
    calibration,
    fetcher,
    retryBudget: new RetryBudget({
      percent: config.upstream.retryBudgetPercent,
      now: () => performance.now()
    }),
    metrics: counts,
    debug: new DebugCapture({
      mode: () => parts.config.observe.debugMode,
      folder: config.observe.debugDir,
      maxFiles: DEBUG_FILES_MAX,
      log
    }),
    items,
    turns,
    isSimulated: start.isSimulated,
    config: () => parts.config,
    catalogue: () => parts.catalogue,
    isDraining,
    isLeaving
  }
  const metrics = new MetricsDesk({ channel, plane, workerId, pulse, logStream })
  const usage = new UsageReports(channel, pulse)
  const refusals = new RefusalLog(log)
  const connections = new ClientConnections({
    maxConnections: memory.maxConnections,
    stallTimeoutMs: () => parts.config.server.clientStallTimeoutMs,
    headersTimeoutMs: Math.min(HEADERS_TIMEOUT_MS, config.server.bodyTimeoutMs),
    describeError: (error) => describeBadRequest(refusals, error),
    refuse: refuseCrowd,
    onFull: (isFull) => channel.send({ type: 'clients.full', isFull }),
    onDropped: (dropped) => log.warn({ ...dropped }, 'client connections dropped')
  })
  const app = createApp({
    plane,
    log,
    refusals,
    connections,
    authenticator: () => parts.authenticator,
    clusterStatus: () => parts.status,
    isPrimarySilent: () => pulse.isSilent,
    metricsText: () => metrics.clusterText(),
    accountUsage: () => usage.current()
  })
  const listener = new Listener({
    host: config.server.host,
    port: config.server.port,
    boundPort: start.boundPort,
    createServer: () => connections.createServer(app)
  })
  const authenticator = new Authenticator(config.server.apiKeys, config.server.host)
  const parts: Parts = {
    listener,
    connections,
    lease,
    memory: bodyMemory,
    pool,
    transforms,
    fetcher,
    credentials,
    calibration,
    items,
    metrics,
    usage,
    log,
    refusals,
    config,
    authenticator,
    catalogue,
    status
  }
  return parts
}

/** Workers at most where the settings leave it open. */
const AUTO_WORKERS_MAX = 2
/** Clients send the headers of a request at once; only its body may take its time. */
const HEADERS_TIMEOUT_MS = 20_000
/** Debug files that are kept. */
const DEBUG_FILES_MAX = 200
/** An idle thread is let go after this time, and its memory with it. */
const THREAD_IDLE_MS = 30_000
/** All requests are over by then; what still runs in a thread runs for nobody. */
const THREAD_CLOSE_MS = 2_000

function listenProblem(cause: unknown, host: string, port: number): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown'
  const why =
    code === 'EADDRINUSE'
      ? 'another program listens there. Stop it, or choose another SERVER_PORT (or --port).'
      : code === 'EACCES'
        ? 'the system does not allow it. Ports below 1024 need rights; choose another SERVER_PORT.'
        : 'see the code. SERVER_HOST must be an address of this machine.'
  return `cannot listen on ${host}:${port} (${code}): ${why}`
}
