import type { MemoryPlan } from '../config/memory-plan.ts'
import type { Config } from '../config/settings.ts'
import type { ConversationParts } from '../kiro/conversation/conversation-memory.ts'
import type { DeviceNews } from '../devices/access-check.ts'
import type { KnownKeys } from '../keys/key.ts'
import type { PriceLessons, PriceTold } from '../keys/prices.ts'
import type { Catalogue } from '../kiro/models/models.ts'
import type { LearntGauges, TokenLesson } from '../kiro/tokens/token-gauge.ts'
import type { AccountUsage } from '../kiro/wire/account-usage.ts'
import type { Bar } from '../kiro/wire/fault-table.ts'
import type { CredentialSnapshot } from '../kiro/wire/credential-snapshot.ts'
import type { LearntForm } from '../kiro/wire/hosts.ts'
import type { MetricsSnapshot } from '../observe/snapshots.ts'
import type { FailingRequests } from '../shared/failing.ts'
import type { ErrorCode } from '../shared/errors.ts'
import type { FailureCode } from '../shared/failures.ts'
import type { Standing } from '../shared/standing.ts'
import type { FleetTold } from './life-signs.ts'
import type { AllowanceReport, AllowanceGrant } from './allowance.ts'
import type { DashboardNews, DashboardWish, EndedSession } from './dashboard.ts'
import type { DeviceAnswer, DeviceCall } from './devices.ts'
import type { ItemProblem } from './fleet-items.ts'
import type { OidcAnswer, OidcCall } from './oidc.ts'
import type { PanelAnswer, PanelCall } from './panel.ts'
import type { KeyUsage, UsageRow } from './usage-row.ts'
import type { RankedHead, WaiterHead } from './service-order.ts'

/* All messages between the primary and a worker. Plain data only, never a byte of a client's request. */

/** Worker → primary. */
export type FromWorker =
  /** Code is loaded; the worker waits for `worker.start`. */
  | { readonly type: 'worker.hello' }
  /** The worker's event loop runs. */
  | { readonly type: 'worker.alive'; readonly isDebugged: boolean }
  | { readonly type: 'worker.ready'; readonly port: number }
  /** The worker cannot serve and exits; a restart would not help. */
  | { readonly type: 'worker.failed'; readonly message: string }
  /** The worker's client connections have reached their limit, or are below it again. May be answered by `clients.accept`. */
  | { readonly type: 'clients.full'; readonly isFull: boolean }
  /** WebSockets, with those that are being opened. Sent when one has ended. */
  | { readonly type: 'sockets.open'; readonly open: number }
  | { readonly type: 'clients.load'; readonly load: number; readonly isCrowded: boolean }
  /** Confirms `clients.accept`. */
  | { readonly type: 'clients.accepting'; readonly isAccepting: boolean }
  | LeaseReport
  | { readonly type: 'allowance.reports'; readonly reports: readonly AllowanceReport[] }
  /** Answered by `answered`. */
  | { readonly type: 'asked'; readonly requestId: number; readonly question: WorkerQuestion }
  | { readonly type: 'credential.suspended'; readonly token: string; readonly reason: string }
  /** A refusal about the whole account. Answered by `account.status` to all. */
  | { readonly type: 'account.refused'; readonly refusal: AccountRefusal }
  /** Measured tokens of a counted request; after the first ones at most one per model and second. */
  | ({ readonly type: 'calibration.lesson' } & TokenLesson)
  /** The upstream accepted a request in a form other than the first one tried. */
  | ({ readonly type: 'form.lesson' } & LearntForm)
  | ({ readonly type: 'conversation.lesson' } & ConversationParts)
  | ({ readonly type: 'kiro-key.lesson' } & KiroKeyVerdict)
  | { readonly type: 'price.lessons'; readonly lessons: readonly PriceTold[] }
  | { readonly type: 'metrics.snapshot'; readonly metrics: MetricsSnapshot }
  | {
      readonly type: 'usage.rows'
      /** Requests begun since the last such message. */
      readonly begun: number
      readonly rows: readonly UsageRow[]
    }
  | { readonly type: 'dashboard.wish'; readonly wish: DashboardWish }
  | { readonly type: 'items.made'; readonly name: string }
  /** Everything that was sent before the mark is in force. */
  | { readonly type: 'told.marked'; readonly mark: number }

/** Questions of a worker to the primary. */
export type WorkerQuestion =
  /** The upstream refused this token. */
  | { readonly type: 'credential.refused'; readonly token: string }
  /** The token has expired. */
  | { readonly type: 'credential.wanted' }
  | { readonly type: 'kiro-key.try' }
  /** `open` has the WebSocket that it is about to open. */
  | { readonly type: 'socket-place.wanted'; readonly open: number }
  /** Metrics of the cluster. */
  | { readonly type: 'metrics.wanted' }
  /** One key, or all. */
  | { readonly type: 'key-usage.wanted'; readonly key: string | null }
  | { readonly type: 'usage.wanted' }
  | { readonly type: 'items.wanted'; readonly names: readonly string[] }
  | { readonly type: 'panel.call'; readonly call: PanelCall }
  | { readonly type: 'oidc.call'; readonly call: OidcCall }
  | { readonly type: 'device.call'; readonly call: DeviceCall }
  /** A user has signed out; told to all as `session.ended`. */
  | { readonly type: 'session.end'; readonly ended: EndedSession }

/** Answers by question. */
export interface Answers {
  /** Comes after `credential.changed`. */
  readonly 'credential.refused': null
  readonly 'credential.wanted': null
  /** 0, or the wait in ms. */
  readonly 'kiro-key.try': number
  /** False: the client is to go on over HTTP. */
  readonly 'socket-place.wanted': boolean
  readonly 'metrics.wanted': string
  readonly 'key-usage.wanted': readonly KeyUsage[]
  /** Why some may be missing. */
  readonly 'items.wanted': ItemProblem | null
  readonly 'panel.call': PanelAnswer
  readonly 'oidc.call': OidcAnswer
  readonly 'device.call': DeviceAnswer
  /** All workers know, or do not answer. */
  readonly 'session.end': null
  readonly 'usage.wanted': { readonly news: UsageNews; readonly outlook: PlanOutlook | null }
}

/** Primary → worker. */
export type ToWorker =
  | WorkerStart
  | LeaseGrant
  | { readonly type: 'allowance.grants'; readonly grants: readonly AllowanceGrant[] }
  | { readonly type: 'primary.alive' }
  | { readonly type: 'credential.changed'; readonly news: CredentialNews }
  | {
      readonly type: 'answered'
      readonly requestId: number
      readonly answer: Answers[keyof Answers]
    }
  | { readonly type: 'account.status'; readonly status: AccountStatus }
  | { readonly type: 'plan.status'; readonly bar: PlanBar | null }
  | { readonly type: 'plan.standing'; readonly standing: Standing | null }
  | { readonly type: 'keys.changed'; readonly knownKeys: KnownKeys }
  | { readonly type: 'devices.changed'; readonly devices: DeviceNews }
  | { readonly type: 'catalogue.changed'; readonly catalogue: Catalogue }
  | ({ readonly type: 'calibration.learnt' } & LearntGauges)
  | ({ readonly type: 'price.learnt' } & PriceLessons)
  | ({ readonly type: 'form.learnt' } & LearntForm)
  | ({ readonly type: 'conversation.learnt' } & ConversationParts)
  | ({ readonly type: 'kiro-key.learnt' } & KiroKeyVerdict)
  | { readonly type: 'config.changed'; readonly config: Config }
  /** Asks for the state of allowances, then a `metrics.snapshot`. */
  | { readonly type: 'metrics.collect' }
  | { readonly type: 'dashboard.news'; readonly news: DashboardNews }
  /** Answered by `told.marked`. */
  | { readonly type: 'told.mark'; readonly mark: number }
  | { readonly type: 'session.ended'; readonly ended: EndedSession }
  /** A successor serves: accept no new connections, finish, exit. `patienceMs` is added to `DRAIN_TIMEOUT`. */
  | { readonly type: 'worker.retire'; readonly patienceMs: number }
  /** Accept nothing new, finish streams, exit. */
  | { readonly type: 'worker.drain' }
  /** Leave new clients to the other workers, or accept them again; answered by `clients.accepting`. */
  | { readonly type: 'clients.accept'; readonly isAccepting: boolean }
  | { readonly type: 'cluster.status'; readonly status: ClusterStatus }
  | FleetTold

/** Subject whose latest state the message tells, so that a later one replaces it; `null` if the message must arrive. */
export function subjectOf(message: { readonly type: string }): string | null {
  if (!LATEST_COUNTS.has(message.type)) return null
  return 'modelId' in message ? `${message.type} ${String(message.modelId)}` : message.type
}

const LATEST_COUNTS: ReadonlySet<string> = new Set<(FromWorker | ToWorker)['type']>([
  'worker.alive',
  'clients.load',
  'primary.alive',
  'lease.report',
  'lease.grant',
  'metrics.collect',
  'metrics.snapshot',
  'calibration.lesson',
  'calibration.learnt',
  'keys.changed',
  'devices.changed',
  'told.mark',
  'told.marked',
  'cluster.status',
  'fleet.told'
])

export interface KiroKeyVerdict {
  readonly name: string
  readonly isAccepted: boolean
}

export const MAX_ACCEPTED_KEYS = 1024

export interface WorkerStart {
  readonly type: 'worker.start'
  /** From 1; a replacement keeps it. */
  readonly workerId: number
  readonly config: Config
  /** Port on which workers listen already. */
  readonly boundPort: number | null
  readonly news: CredentialNews
  readonly accountStatus: AccountStatus
  readonly planBar: PlanBar | null
  /** `null` unless clients are to see it. */
  readonly planStanding: Standing | null
  readonly catalogue: Catalogue
  readonly knownKeys: KnownKeys
  readonly devices: DeviceNews
  readonly isSimulated: boolean
  /** Hexadecimal; signs dashboard sessions for the life of the gateway. */
  readonly sessionSecret: string
  /** Keys of compacted conversations, hexadecimal: the first seals, all open. */
  readonly compactionKeys: readonly string[]
  /** Sessions that have ended before they expired. */
  readonly endedSessions: readonly EndedSession[]
  /** For the whole container; a worker takes its share. */
  readonly memory: MemoryPlan
  readonly status: ClusterStatus
}

export type CredentialNews =
  | { readonly snapshot: CredentialSnapshot; readonly problem: null }
  | {
      readonly snapshot: null
      readonly problem: Problem
      /** Epoch ms of the next renewal; missing if only a new sign-in helps. */
      readonly retryAt?: number
      readonly isFailing?: true
    }

/** A refusal about the whole account. */
export interface AccountRefusal {
  readonly bar: Bar
  readonly code: ErrorCode
  /** Upstream's text, for the log only: it may quote the request. */
  readonly reason: string
  readonly retryAfterS: number | null
}

/** Excludes the text of the refusal, which only the refused client gets. */
export interface AccountBar {
  readonly bar: Bar
  readonly code: ErrorCode
  /** Epoch ms. */
  readonly until: number
}

/** Blocks requests that would cost extra (`ALLOW_OVERAGE`), except for keys that may. */
export interface PlanBar extends Problem {
  /** Epoch ms of the plan's reset, if known. */
  readonly until: number | null
}

/** Times are epoch ms. */
export interface AccountStatus {
  readonly bars: readonly AccountBar[]
  /** Last suspicion of abuse. */
  readonly suspectedAt: number | null
  /** End of a short pause that the upstream asked for; may have passed. */
  readonly pausedUntil: number | null
}

export const GOOD_STATUS: AccountStatus = { bars: [], suspectedAt: null, pausedUntil: null }

export type UsageNews =
  | { readonly usage: AccountUsage; readonly problem: null }
  | { readonly usage: null; readonly problem: Problem }

export interface PlanOutlook {
  /** Epoch ms of the look at the account. */
  readonly at: number
  /** Growth on the UTC day of the look. */
  readonly today: PlanGrowth
  /** Growth since the first look in this period (epoch ms). */
  readonly since: PlanGrowth & { readonly at: number }
  readonly isDrifting: boolean
  /** `null` before there is a whole day to judge by. */
  readonly forecast: { readonly perDay: number; readonly usedUpAt: number | null } | null
}

/** Use as Kiro counts it, the recorded part, and the rest. */
export interface PlanGrowth {
  readonly used: number
  readonly booked: number
  readonly outside: number
}

export interface Problem {
  readonly code: ErrorCode
  readonly message: string
  /** Set if the code does not tell it. */
  readonly failure?: FailureCode
}

export type StateLevel = 'green' | 'amber' | 'red'

export interface ClusterStatus {
  /** `silent` for a worker that seems to hang. */
  readonly workers: readonly { readonly id: number; readonly state: string }[]
  /** A worker has died several times in a row without serving in between. */
  readonly isCrashLooping: boolean
  /** Problem of the account book; concerns only keys with a limit of credits. */
  readonly bookProblem?: string
  /** Requests that failed one after the other up to the last one; missing if that was answered. */
  readonly failing?: FailingRequests
  /** The panel's judgement; missing while DASHBOARD is off. */
  readonly verdict?: { readonly level: StateLevel; readonly code: string }
  /** Ending, but serving for `DRAIN_DELAY`. */
  readonly isEnding: boolean
}

/*
 * Each message is a complete snapshot: counts are totals since the worker joined, the highest `seq` wins. So late,
 * doubled or overtaken messages do no harm, and several changes in one tick are one message.
 *
 *   worker ──── lease.report: "returned 7 in all, 3 are waiting, the oldest since …" ───▶ primary
 *   worker ◀─── lease.grant:  "granted 150 in all, please give 2 back if you can" ─────── primary
 */

/** Worker → primary. Sent only if the primary would otherwise decide wrongly. */
export interface LeaseReport {
  readonly type: 'lease.report'
  readonly seq: number
  /** `seq` of the grant in force. */
  readonly seen: number
  /** Total granted by that grant. */
  readonly granted: number
  /** Total; their sockets are closed. */
  readonly returned: number
  readonly spare: number
  readonly waiting: number
  /** Further permits wanted before they are needed. */
  readonly ahead: number
  /** Waiters for a start or the end of a pause; they precede `waiting`. */
  readonly gated: number
  readonly heads: readonly WaiterHead[]
  /** `null` without a pace. */
  readonly pace: PaceReport | null
  /** Takes no more permits and returns those that it has as streams end. */
  readonly draining: boolean
}

/** Starts of a worker. A start is the right to send one request under a rate limit. */
export interface PaceReport {
  /** Total granted by the grant in force. */
  readonly granted: number
  /** Total of requests sent with one. */
  readonly used: number
  readonly returned: number
  /** Total of requests sent without a start: before the pace was known, or again on a fresh connection. */
  readonly extra: number
  readonly ready: number
  /** All waiters of each key among the `heads`. */
  readonly keys: readonly { readonly key: string; readonly waiting: number }[]
}

export interface PaceGrant {
  readonly limit: number
  readonly granted: number
  /** Keys whose turns the latest starts are, as far as the worker may not know them yet. */
  readonly turns: readonly string[]
}

export interface LeaseGrant {
  readonly type: 'lease.grant'
  readonly seq: number
  /** Total. The lease is `granted` minus what was returned. */
  readonly granted: number
  /** Total received by the primary; `owed` and `wanted` count from here. */
  readonly returned: number
  /** To be returned before any other request is served: the budget has shrunk. */
  readonly owed: number
  /** To be returned after those, as far as idle or outranked by a waiter elsewhere. */
  readonly wanted: number
  /** To be returned after those, if idle and not needed soon: others want them in advance. */
  readonly ahead: number
  /** Waiters elsewhere that the `wanted` are for, in order of service. */
  readonly heads: readonly RankedHead[]
  /** `seq` since which something has been wanted without a break; 0 if nothing is. Must be answered. */
  readonly asked: number
  readonly keepAlive: number
  readonly maxWaiting: number
  /** `null` without a pace. */
  readonly pace: PaceGrant | null
  /** Whole budget, `null` without limit. For messages, like `elsewhere`. */
  readonly budget: number | null
  readonly elsewhere: { readonly leased: number; readonly waiting: number }
}

export const NO_REPORT: LeaseReport = {
  type: 'lease.report',
  seq: 0,
  seen: 0,
  granted: 0,
  returned: 0,
  spare: 0,
  waiting: 0,
  ahead: 0,
  gated: 0,
  heads: [],
  pace: null,
  draining: false
}

export const NO_GRANT: LeaseGrant = {
  type: 'lease.grant',
  seq: 0,
  granted: 0,
  returned: 0,
  owed: 0,
  wanted: 0,
  ahead: 0,
  heads: [],
  asked: 0,
  keepAlive: 0,
  maxWaiting: 0,
  pace: null,
  budget: null,
  elsewhere: { leased: 0, waiting: 0 }
}
