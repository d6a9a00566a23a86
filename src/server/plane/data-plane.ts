import { join } from 'node:path'
import { Allowances } from '../../admission/allowances.ts'
import { CostQueue } from '../../admission/fair-queue.ts'
import { Lease } from '../../admission/lease.ts'
import { MemoryBudget } from '../../admission/memory-budget.ts'
import { RetryWaits } from '../../admission/retry-waits.ts'
import type { Config } from '../../config/settings.ts'
import type { ToPrimary } from '../../ipc/channel.ts'
import type { FleetTold } from '../../ipc/life-signs.ts'
import type { ClusterStatus, WorkerStart } from '../../ipc/messages.ts'
import { ConversationMemory } from '../../kiro/conversation/conversation-memory.ts'
import type { KeyBook } from '../../keys/key.ts'
import type { Catalogue } from '../../kiro/models/models.ts'
import { CONTENT_BUFFER_BYTES, DebugCapture } from '../../observe/debug-capture.ts'
import { RequestForms } from '../../kiro/wire/hosts.ts'
import { KeyRefusals } from '../../observe/key-refusals.ts'
import type { Logger } from '../../observe/logger.ts'
import { Metrics } from '../../observe/metrics.ts'
import { AnswerBudget } from '../../reply/answer-memory.ts'
import type { TurnTracer } from '../../tracing/turn-trace.ts'
import { TransformPool } from '../../transform/transform-pool.ts'
import { RetryBudget } from '../../upstream/call/retry.ts'
import { ConnectionPool } from '../../upstream/connections/pool.ts'
import { upstreamNames } from '../../upstream/names/host-names.ts'
import { createNameLookup } from '../../upstream/names/name-lookup.ts'
import { chooseProxy } from '../../upstream/proxy/proxy.ts'
import { Arrivals } from './arrivals.ts'
import { type CredentialLink, Credentials } from './credentials.ts'
import { ItemStore } from './item-store.ts'
import { isKiroKeyName } from './key-planes.ts'
import { KeyTrials } from './key-trials.ts'
import { KeyLimits, WorkerPrices } from './key-limits.ts'
import type { FleetLink } from './fleet-link.ts'
import type { OpenTurns } from './open-turns.ts'
import { AccountLink, RequestRecords, SharedCalibration } from './primary-links.ts'
import type { PrimaryPulse } from './primary-pulse.ts'
import { isPublicAddress } from './public-address.ts'
import { MeterReadings } from './meter-readings.ts'
import type { TurnRecorder } from './turn-capture.ts'
import { UrlFetcher } from './url-fetcher.ts'

/** Everything of a worker that serves requests. Settings and catalogue change in place. */
export interface DataPlane {
  /** From 1. */
  readonly slot: number
  readonly lease: Lease
  readonly limits: KeyLimits
  readonly prices: WorkerPrices
  readonly readings: MeterReadings
  readonly pool: ConnectionPool
  readonly memory: MemoryBudget
  /** For small bodies, while `memory` is in use. */
  readonly smallLane: MemoryBudget
  /** Counts what answers keep of both. */
  readonly kept: MemoryBudget
  readonly answers: AnswerBudget
  readonly transforms: TransformPool
  readonly credentials: CredentialLink
  readonly account: Pick<
    AccountLink,
    'problem' | 'problemOf' | 'planProblem' | 'hasOverageKeys' | 'check' | 'heed'
  >
  /** Fetches images and documents that requests name by URL. */
  readonly fetcher: UrlFetcher
  readonly retryBudget: RetryBudget
  /** For clients' own Kiro keys. */
  readonly keyTrials: KeyTrials
  readonly retryWaits: RetryWaits
  readonly conversations: ConversationMemory
  /** Hosts that were seen to close their answers. Bounded by the hosts that there are. */
  readonly closingHosts: Set<string>
  /** New events and reasons of the upstream that were logged. Bounded by `ask-upstream.ts`. */
  readonly strange: Set<string>
  readonly metrics: Metrics
  readonly debug: DebugCapture
  readonly refusals: KeyRefusals
  /** `null` unless the operator has turned it on. */
  recorder: TurnRecorder | null
  readonly items: ItemStore
  /** Learnt by all workers. */
  readonly calibration: SharedCalibration
  readonly forms: RequestForms
  readonly turns: OpenTurns
  /** Rows for the primary. */
  readonly records: RequestRecords
  readonly isSimulated: boolean
  /** `null` without traces. Set before the first request. */
  readonly tracing: { readonly tracer: TurnTracer | null }
  config(): Config
  catalogue(): Catalogue
  /** From the primary's last message; `null` outside a fleet. */
  fleet(): FleetTold | null
  /** Nothing new is served. */
  isDraining(): boolean
  /** Clients should reconnect: this connection ends soon, or other workers take new ones. */
  isLeaving(): boolean
}

/** Plane of the gateway's own sign-in. */
export interface OwnPlane extends DataPlane {
  readonly credentials: Credentials
  readonly account: AccountLink
  readonly allowances: Allowances
  readonly arrivals: Arrivals
  readonly tracing: { tracer: TurnTracer | null }
  onFleet(told: FleetTold): void
}

export interface Surroundings {
  readonly channel: ToPrimary
  readonly log: Logger
  readonly pulse: PrimaryPulse
  readonly turns: OpenTurns
  readonly current: {
    readonly config: Config
    readonly catalogue: Catalogue
    readonly book: KeyBook
    readonly status: ClusterStatus
  }
  readonly life: WorkerLife
}

/** Changes in place. */
export interface WorkerLife {
  readonly state: 'open' | 'retiring' | 'draining'
  readonly isAccepting: boolean
}

/** Each holds a socket and the bytes in its stream. */
const MAX_BODIES_WAITING = 500
const AUTO_WORKERS_MAX = 2
const DEBUG_FILES_MAX = 200
/** Then an idle thread ends and frees its memory. */
const THREAD_IDLE_MS = 30_000
/**
 * Extra memory, as a fraction of the body budget, for bodies that have begun to arrive while their request
 * waits for a stream of its key.
 */
const UNREAD_PART = 4
const FLEET_LENDING_MS = 300
/** All requests are over by then, and results of threads unwanted. */
const THREAD_CLOSE_MS = 2_000

export function createDataPlane(start: WorkerStart, surroundings: Surroundings): OwnPlane {
  const { channel, log, pulse, turns, current, life } = surroundings
  const { config, memory } = start
  const counts = new Metrics(String(start.workerId))
  const pool = new ConnectionPool({
    limits: {
      maxSockets: () => lease.state().size,
      maxIdle: () => lease.state().keepAlive,
      // Connections that must not be used are not kept ready: others may hold them by now.
      minIdle: () => (lease.bar === null ? current.config.pool.minIdle : 0)
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
    onMissing: (permits) => readings.giveWay(permits),
    poolTimeoutMs: config.pool.poolTimeoutMs,
    maxWaiting: config.pool.maxWaiting,
    ...(config.fleet.url !== null && { lendingMs: FLEET_LENDING_MS })
  })
  const readings = new MeterReadings({
    missing: () => lease.missing,
    connections: () => lease.state().budget ?? Infinity
  })
  let fleet: Promise<FleetLink> | null = null
  let fleetTold: FleetTold | null = null
  const retryWaits = new RetryWaits()
  const allowances = new Allowances({
    send: (reports) => channel.send({ type: 'allowance.reports', reports }),
    silence: () => pulse.silence
  })
  const prices = new WorkerPrices((lessons) => channel.send({ type: 'price.lessons', lessons }))
  const credentials = new Credentials({
    channel,
    news: start.news,
    pulse,
    waitTimeoutMs: () => current.config.credentials.waitTimeoutMs
  })
  const calibration = new SharedCalibration(channel)
  const arrivals = new Arrivals((waitedMs) => counts.acceptSeconds.observe(waitedMs / 1000))
  const transforms = new TransformPool({
    threads: memory.threads,
    inlineMaxBytes: config.transform.inlineMaxBytes,
    maxQueue: config.transform.maxQueue,
    timeoutMs: config.transform.timeoutMs,
    createQueue: () => new CostQueue(),
    isCrowded: () => arrivals.areWaiting,
    threadHeapMb: memory.thread.oldSpaceMb,
    pdfHeapMb: memory.pdfThread.oldSpaceMb,
    pdfBufferBytes: memory.pdfBufferBytes,
    threadSemiSpaceMb: memory.thread.semiSpaceMb,
    idleTimeoutMs: THREAD_IDLE_MS,
    closeTimeoutMs: THREAD_CLOSE_MS
  })
  const contentBytes = config.observe.keepsContent ? CONTENT_BUFFER_BYTES : 0
  const bodyMemory = new MemoryBudget(memory.bodyBytesPerWorker - contentBytes, {
    maxWaiting: MAX_BODIES_WAITING,
    maxUnreadBytes: memory.bodyBytesPerWorker
  })
  const items = new ItemStore({
    folder: join(config.credentials.stateDir, 'responses'),
    writers: config.cluster.workers ?? AUTO_WORKERS_MAX,
    limits: () => {
      const { storeMaxBytes: maxBytes, storeMaxAgeMs: maxAgeMs } = current.config.responses
      return { maxBytes, maxAgeMs }
    },
    ...(config.fleet.url !== null && {
      elsewhere: import('./items-elsewhere.ts').then(
        (room) => new room.ItemsElsewhere({ endpoint: process, silence: () => pulse.silence })
      )
    }),
    log
  })
  const fetcher = new UrlFetcher({
    limits: () => current.config.fetch,
    isAllowedAddress: isPublicAddress,
    lookUp: createNameLookup({ servers: config.names.servers }),
    chooseProxy: chooseProxy(config.proxy)
  })
  return {
    slot: start.workerId,
    lease,
    allowances,
    arrivals,
    prices,
    readings,
    limits: new KeyLimits({
      allowances,
      prices,
      pool: () => current.config.pool,
      models: () => current.catalogue.models,
      unread: new MemoryBudget(memory.bodyBytesPerWorker / UNREAD_PART, 0)
    }),
    pool,
    memory: bodyMemory,
    smallLane: new MemoryBudget(memory.smallLaneBytesPerWorker, 0),
    kept: new MemoryBudget(memory.bodyBytesPerWorker, 0),
    answers: new AnswerBudget({
      budget: bodyMemory,
      lane: new MemoryBudget(memory.answerLaneBytesPerWorker, 0)
    }),
    transforms,
    credentials,
    account: new AccountLink({
      channel,
      standing: start.standing,
      pause: (ms) => lease.pause(ms),
      planBar: start.planBar,
      overageKeys: overageKeysOf(() => current.book),
      refuseWaiting: (error, isMeant) => {
        const isOurs = (key: string): boolean => hasNoKiroKey(key) && isMeant(key)
        lease.refuseWaiting(error, isOurs)
        retryWaits.refuse(error, isOurs)
      }
    }),
    calibration,
    forms: new RequestForms(
      () => current.config.upstream.requestForm,
      (learnt) => channel.send({ type: 'form.lesson', ...learnt })
    ),
    fetcher,
    retryBudget: new RetryBudget(config.upstream.retryBudgetPercent, memory.workers),
    retryWaits,
    keyTrials: new KeyTrials({ channel, pulse }),
    conversations: new ConversationMemory((learnt) =>
      channel.send({ type: 'conversation.lesson', ...learnt })
    ),
    closingHosts: new Set(),
    strange: new Set(),
    metrics: counts,
    refusals: new KeyRefusals(log),
    debug: new DebugCapture({
      folder: config.observe.debugDir,
      maxFiles: DEBUG_FILES_MAX,
      log
    }),
    recorder: null,
    items,
    turns,
    records: new RequestRecords({
      channel,
      allowances,
      prices,
      isPrimarySilent: () => pulse.isSilent
    }),
    fleet: () => fleetTold,
    onFleet: (told) => {
      fleetTold = told
      fleet ??= import('./fleet-link.ts').then(
        (room) =>
          new room.FleetLink({
            stateDir: config.credentials.stateDir,
            lease,
            pool,
            turns,
            readings,
            log
          })
      )
      void fleet.then((link) => link.onTold(told)) // rejects only by a bug
    },
    isSimulated: start.isSimulated,
    tracing: { tracer: null },
    config: () => current.config,
    catalogue: () => current.catalogue,
    isDraining: () => life.state === 'draining',
    isLeaving: () => life.state !== 'open' || !life.isAccepting || current.status.isEnding
  }
}

/** False for clients with a Kiro key of their own. */
function hasNoKiroKey(name: string): boolean {
  return !isKiroKeyName(name)
}

/** Caches the keys that may cost extra: all keys are searched once after each change. */
function overageKeysOf(book: () => KeyBook): () => ReadonlySet<string> {
  let known: KeyBook | null = null
  let ids: ReadonlySet<string> = new Set()
  return () => {
    if (known !== book()) {
      known = book()
      const keys = known.keys.filter(
        ({ mayOverage, revokedAt }) => mayOverage && revokedAt === null
      )
      ids = new Set(keys.map(({ id }) => id))
    }
    return ids
  }
}
