import { join } from 'node:path'
import { Allowances } from '../../admission/allowances.ts'
import { Lease } from '../../admission/lease.ts'
import { MemoryBudget } from '../../admission/memory-budget.ts'
import { RetryWaits } from '../../admission/retry-waits.ts'
import type { Config } from '../../config/settings.ts'
import type { ToPrimary } from '../../ipc/channel.ts'
import type { FleetTold } from '../../ipc/life-signs.ts'
import type { ClusterStatus, WorkerStart } from '../../ipc/messages.ts'
import { ConversationMemory } from '../../kiro/conversation/conversation-memory.ts'
import type { KnownKeys } from '../../keys/key.ts'
import type { Catalogue } from '../../kiro/models/models.ts'
import { CONTENT_BUFFER_BYTES, DebugCapture } from '../../observe/debug-capture.ts'
import { type TokenGauges, SharedCalibration } from '../../kiro/tokens/token-gauge.ts'
import { RequestForms } from '../../kiro/wire/hosts.ts'
import { KeyRefusals } from '../../observe/key-refusals.ts'
import type { Logger } from '../../observe/logger.ts'
import { Metrics } from '../../observe/metrics.ts'
import { AnswerBudget } from '../../reply/answer-memory.ts'
import type { TurnTracer } from '../../tracing/tracer.ts'
import { TransformPool } from '../../transform/transform-pool.ts'
import { SideLane } from '../../upstream/call/side-lane.ts'
import { RetryBudget } from '../../upstream/call/retry.ts'
import { ConnectionPool } from '../../upstream/connections/pool.ts'
import { upstreamNames } from '../../upstream/names/host-names.ts'
import { createNameLookup } from '../../upstream/names/name-lookup.ts'
import { chooseProxy } from '../../upstream/proxy/proxy.ts'
import { Arrivals } from './load-watch.ts'
import { ItemStore } from '../items/item-store.ts'
import { isKiroKeyName, KeyTrials } from '../primary/key-trials.ts'
import type { KeyLimits } from '../primary/key-limits.ts'
import type { FleetContact } from './fleet-contact.ts'
import type { OpenTurns } from './open-turns.ts'
import { AccountClient, type CredentialClient, Credentials } from '../primary/account-access.ts'
import { WorkerPrices } from '../../keys/prices.ts'
import type { PrimaryPulse } from '../primary/primary-pulse.ts'
import { isPublicAddress } from '../body/public-address.ts'
import { MeterReadings } from './meter-readings.ts'
import { MAX_CALLS, TelemetryRelay } from './telemetry-relay.ts'
import type { TurnRecorder } from './turn-capture.ts'
import { RequestRecords } from './turn-record.ts'
import { UrlFetcher } from '../body/url-fetcher.ts'

/** Connections to the upstream, and what decides who may use them. */
export type UpstreamAccess = ReturnType<typeof createUpstream>

/** Memory for requests and answers. */
export type MemoryShares = ReturnType<typeof createMemoryShares>

/** Sign-in that answers are asked with, and what the upstream has said about its account. */
export interface AccountAccess {
  readonly credentials: CredentialClient
  readonly account: AccountClient
  /** For clients' own Kiro keys. */
  readonly keyTrials: KeyTrials
}

/** Everything that answers of the upstream have taught. */
export interface UpstreamLessons {
  readonly conversations: ConversationMemory
  readonly forms: RequestForms
  readonly calibration: TokenGauges
  readonly prices: WorkerPrices
  /** Hosts that were seen to close their answers. Bounded by the hosts that there are. */
  readonly closingHosts: Set<string>
  /** New events and reasons of the upstream that were logged. Bounded by `ask-upstream.ts`. */
  readonly strange: Set<string>
}

/** Metrics, logs and rows of usage about requests that were served. */
export interface Records {
  readonly metrics: Metrics
  readonly debug: DebugCapture
  readonly refusals: KeyRefusals
  /** `null` unless the operator has turned it on. */
  recorder: TurnRecorder | null
  readonly turns: OpenTurns
  readonly records: RequestRecords
  /** `null` without traces. Set before the first request. */
  readonly tracing: { readonly tracer: TurnTracer | null }
}

/** Everything of a worker that serves requests. Settings and catalogue change in place. */
export interface DataPlane
  extends UpstreamAccess,
    MemoryShares,
    AccountAccess,
    UpstreamLessons,
    Records {
  /** From 1. */
  readonly slot: number
  /** Keys of compacted conversations, hexadecimal. */
  readonly compactionKeys: readonly string[]
  readonly limits: KeyLimits
  readonly transforms: TransformPool
  /** Fetches images and documents that requests name by URL. */
  readonly fetcher: UrlFetcher
  readonly items: ItemStore
  readonly relay: TelemetryRelay
  readonly isSimulated: boolean
  /** The settings in force: do not keep them. */
  readonly current: Pick<Surroundings['current'], 'config'>
  /** The models of the sign-in. */
  readonly models: Pick<Surroundings['current'], 'catalogue'>
  readonly life: WorkerLife
  /** State in the primary's last message; `null` outside a fleet. */
  fleet(): FleetTold | null
}

export interface OwnPlane extends DataPlane {
  readonly credentials: Credentials
  readonly calibration: SharedCalibration
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
    readonly knownKeys: KnownKeys
    readonly status: ClusterStatus
  }
  readonly life: WorkerLife
}

/** Changes in place. */
export interface WorkerLife {
  readonly state: 'open' | 'retiring' | 'draining'
  readonly isAccepting: boolean
  /** Clients should reconnect: their connection ends soon, or other workers take new ones. */
  readonly isLeaving: boolean
}

/** Waiting bodies hold a socket and the bytes in its stream. */
const MAX_BODIES_WAITING = 500
const AUTO_WORKERS_MAX = 2
const DEBUG_FILES_MAX = 200
const THREAD_IDLE_MS = 30_000
/** Extra memory, as a fraction of the body budget, for bodies whose request waits for a stream of its key. */
const UNREAD_PART = 4
const FLEET_LENDING_MS = 300
/** All requests are over by then, and results of threads unwanted. */
const THREAD_CLOSE_MS = 2_000

export function createDataPlane(start: WorkerStart, surroundings: Surroundings): OwnPlane {
  const { channel, log, pulse, turns, current, life } = surroundings
  const { config, memory } = start
  const metrics = new Metrics(String(start.workerId))
  const upstream = createUpstream(start, surroundings, metrics)
  const shares = createMemoryShares(start)
  const arrivals = new Arrivals((waitedMs) => metrics.acceptSeconds.observe(waitedMs / 1000))
  const allowances = new Allowances({
    send: (reports) => channel.send({ type: 'allowance.reports', reports }),
    silence: () => pulse.silence
  })
  const lessons = createLessons(surroundings)
  const { prices } = lessons
  return {
    slot: start.workerId,
    compactionKeys: start.compactionKeys,
    isSimulated: start.isSimulated,
    ...upstream,
    ...shares,
    ...createAccount(start, surroundings, upstream),
    ...lessons,
    ...createFleet(start, surroundings, upstream),
    allowances,
    arrivals,
    limits: {
      allowances,
      prices,
      pool: () => current.config.pool,
      models: () => current.catalogue.models,
      unread: new MemoryBudget(memory.bodyBytesPerWorker / UNREAD_PART, 0)
    },
    transforms: createTransforms(start, arrivals),
    fetcher: new UrlFetcher({
      limits: () => current.config.fetch,
      isAllowedAddress: isPublicAddress,
      lookUp: createNameLookup({ servers: config.names.servers }),
      chooseProxy: chooseProxy(config.proxy)
    }),
    items: createItems(start, surroundings),
    relay: new TelemetryRelay({
      config: () => current.config,
      lane: new SideLane(config, MAX_CALLS),
      memory: shares.memory,
      metrics,
      log
    }),
    metrics,
    debug: new DebugCapture({ folder: config.observe.debugDir, maxFiles: DEBUG_FILES_MAX, log }),
    refusals: new KeyRefusals(log),
    recorder: null,
    turns,
    records: new RequestRecords({ channel, allowances, prices, pulse }),
    tracing: { tracer: null },
    current,
    models: current,
    life
  }
}

/** The lease says how many connections the pool may have, and the pool gives up what the lease loses. */
function createUpstream(
  { config, memory }: WorkerStart,
  { channel, current }: Surroundings,
  { connectionSeconds }: Metrics
) {
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
    onConnectionClosed: (seconds) => connectionSeconds.observe(seconds)
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
  const retryBudget = new RetryBudget(config.upstream.retryBudgetPercent, memory.workers)
  return { pool, lease, readings, retryBudget, retryWaits: new RetryWaits() }
}

function createMemoryShares({ config, memory }: WorkerStart) {
  const contentBytes = config.observe.keepsContent ? CONTENT_BUFFER_BYTES : 0
  const budget = new MemoryBudget(memory.bodyBytesPerWorker - contentBytes, {
    maxWaiting: MAX_BODIES_WAITING,
    maxUnreadBytes: memory.bodyBytesPerWorker
  })
  return {
    memory: budget,
    /** Memory for small bodies, while `memory` is in use. */
    smallLane: new MemoryBudget(memory.smallLaneBytesPerWorker, 0),
    /** Counts what answers keep of both. */
    kept: new MemoryBudget(memory.bodyBytesPerWorker, 0),
    answers: new AnswerBudget({
      budget,
      lane: new MemoryBudget(memory.answerLaneBytesPerWorker, 0)
    })
  }
}

function createAccount(
  start: WorkerStart,
  { channel, pulse, current }: Surroundings,
  { lease, retryWaits }: UpstreamAccess
): Pick<OwnPlane, keyof AccountAccess> {
  const credentials = new Credentials({
    channel,
    news: start.news,
    pulse,
    waitTimeoutMs: () => current.config.credentials.waitTimeoutMs
  })
  const account = new AccountClient({
    channel,
    status: start.accountStatus,
    pause: (ms) => lease.pause(ms),
    planBar: start.planBar,
    planStanding: start.planStanding,
    overageKeys: overageKeysOf(() => current.knownKeys),
    refuseWaiting: (error, isMeant) => {
      const isOurs = (key: string): boolean => !isKiroKeyName(key) && isMeant(key)
      lease.refuseWaiting(error, isOurs)
      retryWaits.refuse(error, isOurs)
    }
  })
  return { credentials, account, keyTrials: new KeyTrials({ channel, pulse }) }
}

function createLessons({ channel, current }: Surroundings): Pick<OwnPlane, keyof UpstreamLessons> {
  return {
    conversations: new ConversationMemory((learnt) =>
      channel.send({ type: 'conversation.lesson', ...learnt })
    ),
    forms: new RequestForms(current, (learnt) => channel.send({ type: 'form.lesson', ...learnt })),
    calibration: new SharedCalibration(channel),
    prices: new WorkerPrices(channel),
    closingHosts: new Set(),
    strange: new Set()
  }
}

function createTransforms({ config, memory }: WorkerStart, arrivals: Arrivals): TransformPool {
  return new TransformPool({
    threads: memory.threads,
    inlineMaxBytes: config.transform.inlineMaxBytes,
    maxQueue: config.transform.maxQueue,
    timeoutMs: config.transform.timeoutMs,
    isCrowded: () => arrivals.areWaiting,
    threadHeapMb: memory.thread.oldSpaceMb,
    pdfHeapMb: memory.pdfThread.oldSpaceMb,
    pdfBufferBytes: memory.pdfBufferBytes,
    threadSemiSpaceMb: memory.thread.semiSpaceMb,
    idleTimeoutMs: THREAD_IDLE_MS,
    closeTimeoutMs: THREAD_CLOSE_MS
  })
}

function createItems(
  { config }: WorkerStart,
  { channel, current, pulse, log }: Surroundings
): ItemStore {
  return new ItemStore({
    folder: join(config.credentials.stateDir, 'responses'),
    writers: config.cluster.workers ?? AUTO_WORKERS_MAX,
    limits: () => {
      const { storeMaxBytes: maxBytes, storeMaxAgeMs: maxAgeMs } = current.config.responses
      return { maxBytes, maxAgeMs }
    },
    ...(config.fleet.url !== null && {
      elsewhere: import('../items/items-elsewhere.ts').then(
        (room) => new room.ItemsElsewhere({ channel, pulse })
      )
    }),
    log
  })
}

/** Loads the fleet's half of a worker with the first news of it. */
function createFleet(
  { config }: WorkerStart,
  { turns, log }: Surroundings,
  { lease, pool, readings }: UpstreamAccess
): Pick<OwnPlane, 'fleet' | 'onFleet'> {
  let contact: Promise<FleetContact> | null = null
  let latest: FleetTold | null = null
  const { stateDir } = config.credentials
  return {
    fleet: () => latest,
    onFleet: (told) => {
      latest = told
      contact ??= import('./fleet-contact.ts').then(
        (room) => new room.FleetContact({ stateDir, lease, pool, turns, readings, log })
      )
      void contact.then((one) => one.onTold(told)) // rejects only by a bug
    }
  }
}

/** Caches the keys that may cost extra: all keys are searched once after each change. */
function overageKeysOf(knownKeys: () => KnownKeys): () => ReadonlySet<string> {
  let known: KnownKeys | null = null
  let ids: ReadonlySet<string> = new Set()
  return () => {
    if (known !== knownKeys()) {
      known = knownKeys()
      const keys = known.keys.filter(
        ({ mayOverage, revokedAt }) => mayOverage && revokedAt === null
      )
      ids = new Set(keys.map(({ id }) => id))
    }
    return ids
  }
}
