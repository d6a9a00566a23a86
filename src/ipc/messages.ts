import type { MemoryPlan } from '../config/memory-plan.ts'
import type { Config } from '../config/settings.ts'
import type { ConversationParts } from '../kiro/conversation/conversation-memory.ts'
import type { KeyBook } from '../keys/key.ts'
import type { PricedAnswer, PriceLessons } from '../keys/prices.ts'
import type { Catalogue } from '../kiro/models/models.ts'
import type { Learnt } from '../kiro/models/tokens.ts'
import type { AccountUsage } from '../kiro/wire/account-usage.ts'
import type { Bar } from '../kiro/wire/fault-table.ts'
import type { CredentialSnapshot } from '../kiro/wire/credential-snapshot.ts'
import type { LearntForm } from '../kiro/wire/hosts.ts'
import type { MetricsSnapshot } from '../observe/snapshots.ts'
import type { ErrorCode } from '../shared/errors.ts'
import type { FailureCode } from '../shared/failures.ts'
import type { FleetTold } from './life-signs.ts'
import type { AllowanceReport, AllowanceTerms } from './allowance.ts'
import type { DashboardNews, DashboardWish } from './dashboard.ts'
import type { KeyUsage, UsageRow } from './usage-row.ts'
import type { RankedHead, WaiterHead } from './service-order.ts'

/*
 * Everything that the primary and a worker tell each other; there is no other way between them. Plain data
 * only, and never a byte of a client's request.
 */

/** Worker → primary. */
export type FromWorker =
  /** Modules are loaded; the worker waits for `worker.start`. */
  | { readonly type: 'worker.hello' }
  /** Its event loop turns. A debugger may stop it. */
  | { readonly type: 'worker.alive'; readonly isDebugged: boolean }
  /** It listens. */
  | { readonly type: 'worker.ready'; readonly port: number }
  /** It cannot serve and will exit; starting it again would not help. */
  | { readonly type: 'worker.failed'; readonly message: string }
  /** It holds as many connections of clients as it may, or has room again; answered by `clients.accept` or not. */
  | { readonly type: 'clients.full'; readonly isFull: boolean }
  /** Load from 0 to 1, and whether many clients come at once; may be answered by `clients.accept`. */
  | { readonly type: 'clients.load'; readonly load: number; readonly isCrowded: boolean }
  /** It has done what `clients.accept` told it. */
  | { readonly type: 'clients.accepting'; readonly isAccepting: boolean }
  | LeaseReport
  | { readonly type: 'allowance.reports'; readonly reports: readonly AllowanceReport[] }
  /**
   * The upstream refused this token. Answered by `credential.renewed` with the same `requestId`, after the news of what
   * came of it.
   */
  | { readonly type: 'credential.refused'; readonly requestId: number; readonly token: string }
  /** The token that the worker has is over. Answered by `credential.renewed`, after the news of what came of it. */
  | { readonly type: 'credential.wanted'; readonly requestId: number }
  /** The upstream said that the account of this token is suspended; `reason` is for the log alone. */
  | { readonly type: 'credential.suspended'; readonly token: string; readonly reason: string }
  /** The upstream said something of the account as a whole. Answered by `account.standing`, to all. */
  | { readonly type: 'account.refused'; readonly refusal: AccountRefusal }
  /** The upstream has counted what was estimated; one for each model in a second. */
  | ({ readonly type: 'calibration.lesson' } & Learnt)
  /** The upstream has taken a request in another form than that in which it was first sent. */
  | ({ readonly type: 'form.lesson' } & LearntForm)
  /** Something was found out about a conversation that would otherwise cost each worker a call. */
  | ({ readonly type: 'conversation.lesson' } & ConversationParts)
  /** The upstream has accepted a Kiro key of a client, or does so no longer. */
  | ({ readonly type: 'kiro-key.lesson' } & KiroKeyVerdict)
  /** A Kiro key of a client is new; answered by `kiro-key.may-try` with the same `requestId`. */
  | { readonly type: 'kiro-key.try'; readonly requestId: number }
  /** Answers were metered. */
  | { readonly type: 'price.lessons'; readonly lessons: readonly PriceTold[] }
  | { readonly type: 'metrics.snapshot'; readonly metrics: MetricsSnapshot }
  /** A client wants the metrics of the whole cluster; answered by `metrics.text`. */
  | { readonly type: 'metrics.wanted'; readonly requestId: number }
  /** Usage of completed requests. */
  | {
      readonly type: 'usage.rows'
      /** Requests that have begun since the last of these messages. */
      readonly begun: number
      readonly rows: readonly UsageRow[]
    }
  /** A client wants to know how a key stands, or all of them; answered by `key-usage.told`. */
  | { readonly type: 'key-usage.wanted'; readonly requestId: number; readonly key: string | null }
  /** A client wants to know what the account has used; answered by `usage.told`. */
  | { readonly type: 'usage.wanted'; readonly requestId: number }
  | { readonly type: 'dashboard.wish'; readonly wish: DashboardWish }

/** Primary → worker. */
export type ToWorker =
  | WorkerStart
  | LeaseTerms
  | { readonly type: 'allowance.terms'; readonly terms: readonly AllowanceTerms[] }
  /** Its event loop turns. */
  | { readonly type: 'primary.alive' }
  | { readonly type: 'credential.changed'; readonly news: CredentialNews }
  /** A token that was refused or over was renewed, or could not be: `credential.changed` has said so. */
  | { readonly type: 'credential.renewed'; readonly requestId: number }
  | { readonly type: 'account.standing'; readonly standing: AccountStanding }
  /** The plan is used up and more would cost extra, or it is so no longer. */
  | { readonly type: 'plan.standing'; readonly bar: PlanBar | null }
  /** Named keys were made, changed or revoked. */
  | { readonly type: 'keys.changed'; readonly book: KeyBook }
  | { readonly type: 'catalogue.changed'; readonly catalogue: Catalogue }
  /** Correction of a model's tokenizer, learnt by all workers together. */
  | ({ readonly type: 'calibration.learnt' } & Learnt)
  /** Prices that all workers have learnt of a model. */
  | ({ readonly type: 'price.learnt' } & PriceLessons)
  /** Finding of a worker about the request form. */
  | ({ readonly type: 'form.learnt' } & LearntForm)
  | ({ readonly type: 'conversation.learnt' } & ConversationParts)
  | ({ readonly type: 'kiro-key.learnt' } & KiroKeyVerdict)
  /** In how many ms a new key may be tried; 0 where this one may. */
  | { readonly type: 'kiro-key.may-try'; readonly requestId: number; readonly waitMs: number }
  /** The settings were read again; what can change while a worker runs, changes. */
  | { readonly type: 'config.changed'; readonly config: Config }
  /** Wants a `metrics.snapshot`, and before it how the worker's allowances stand. */
  | { readonly type: 'metrics.collect' }
  | { readonly type: 'metrics.text'; readonly requestId: number; readonly text: string }
  | {
      readonly type: 'key-usage.told'
      readonly requestId: number
      readonly keys: readonly KeyUsage[]
    }
  | {
      readonly type: 'usage.told'
      readonly requestId: number
      readonly news: UsageNews
      readonly outlook: PlanOutlook | null
    }
  | { readonly type: 'dashboard.news'; readonly news: DashboardNews }
  /**
   * A successor serves: accept no new connections, serve those that are open a last time, then exit. What still
   * streams after `DRAIN_TIMEOUT` may do so for `patienceMs` more.
   */
  | { readonly type: 'worker.retire'; readonly patienceMs: number }
  /** Accept nothing new, let streams end, then exit. */
  | { readonly type: 'worker.drain' }
  /** Leave new connections of clients to the other workers, or take them again; answered by `clients.accepting`. */
  | { readonly type: 'clients.accept'; readonly isAccepting: boolean }
  | { readonly type: 'cluster.status'; readonly status: ClusterStatus }
  | FleetTold

/**
 * The subject of which a message tells the latest, so that a later one replaces it; `null` for a message that must
 * arrive.
 */
export function subjectOf(message: { readonly type: string }): string | null {
  if (!LATEST_COUNTS.has(message.type)) return null
  return 'modelId' in message ? `${message.type} ${String(message.modelId)}` : message.type
}

const LATEST_COUNTS: ReadonlySet<string> = new Set<(FromWorker | ToWorker)['type']>([
  'worker.alive',
  'clients.load',
  'primary.alive',
  'lease.report',
  'lease.terms',
  'metrics.collect',
  'metrics.snapshot',
  'calibration.lesson',
  'calibration.learnt',
  'keys.changed',
  'cluster.status',
  'fleet.told'
])

/** Verdict of the upstream on a client's Kiro key. */
export interface KiroKeyVerdict {
  /** Digest of the key; the key itself is never passed on. */
  readonly name: string
  readonly isAccepted: boolean
}

/** Accepted keys that are remembered. */
export const MAX_ACCEPTED_KEYS = 1024

/** Cost of one answer, in micro-credits. */
export interface PriceTold extends PricedAnswer {
  readonly credits: number
}

/** Initial state of a worker. */
export interface WorkerStart {
  readonly type: 'worker.start'
  /** From 1; the same for later workers of the slot. */
  readonly workerId: number
  readonly config: Config
  /** Port on which workers already listen, or did. */
  readonly boundPort: number | null
  readonly news: CredentialNews
  readonly standing: AccountStanding
  readonly planBar: PlanBar | null
  readonly catalogue: Catalogue
  readonly book: KeyBook
  /** Upstream answers come from the built-in simulator. */
  readonly isSimulated: boolean
  /** Secret that signs dashboard sessions, in hexadecimal; of the gateway, until it ends. */
  readonly sessionSecret: string
  /** Plan of the container; a worker takes its share. */
  readonly memory: MemoryPlan
  readonly status: ClusterStatus
}

/** The credential now in force, or why there is none. */
export type CredentialNews =
  | { readonly snapshot: CredentialSnapshot; readonly problem: null }
  | {
      readonly snapshot: null
      readonly problem: Problem
      /** Epoch ms at which it is renewed again, so that waiting may help; left out where only a new sign-in does. */
      readonly retryAt?: number
      /** It was tried to renew it, and failed. */
      readonly isFailing?: true
    }

/** A refusal that says something of the account as a whole. */
export interface AccountRefusal {
  readonly bar: Bar
  readonly code: ErrorCode
  /** The upstream's words, for the log alone: they may quote the request that was refused. */
  readonly reason: string
  readonly retryAfterS: number | null
}

/** Why the account is not asked for a time. The words of the refusal stay with the client that was refused. */
export interface AccountBar {
  readonly bar: Bar
  readonly code: ErrorCode
  /** Milliseconds since the epoch. */
  readonly until: number
}

/** Why nothing is asked that would cost extra (`ALLOW_OVERAGE`), but for keys that may. */
export interface PlanBar extends Problem {
  /** When the plan is reset, in epoch ms; `null` where that is not known. */
  readonly until: number | null
}

/** State of the account according to refusals. Times are milliseconds since the epoch. */
export interface AccountStanding {
  /** Active bars, the most serious first; some may be over by now. */
  readonly bars: readonly AccountBar[]
  /** When the upstream suspected abuse last. */
  readonly suspectedAt: number | null
  /** Until when requests wait, since the upstream asked for a short pause; may be over by now. */
  readonly pausedUntil: number | null
}

export const GOOD_STANDING: AccountStanding = { bars: [], suspectedAt: null, pausedUntil: null }

/** Usage of the account, or the reason why it is unknown. */
export type UsageNews =
  | { readonly usage: AccountUsage; readonly problem: null }
  | { readonly usage: null; readonly problem: Problem }

/** The account book's record of the plan, in micro-credits. */
export interface PlanOutlook {
  /** Epoch ms of the look at the account that it is about. */
  readonly at: number
  /** Growth on the day of that look, in UTC. */
  readonly today: PlanGrowth
  /** Since the first look at this period, in epoch ms. */
  readonly since: PlanGrowth & { readonly at: number }
  /** More of today was used elsewhere than can be passed over. */
  readonly isDrifting: boolean
  /** `null` before there is a whole day to judge by. */
  readonly forecast: { readonly perDay: number; readonly usedUpAt: number | null } | null
}

/** Use of the account as Kiro counts it, the recorded part of it, and the rest. */
export interface PlanGrowth {
  readonly used: number
  readonly booked: number
  readonly outside: number
}

/** A failure in the primary, told to workers. */
export interface Problem {
  readonly code: ErrorCode
  /** For clients, `/readyz` and the log. */
  readonly message: string
  /** Failure, if the code does not tell it. */
  readonly failure?: FailureCode
}

/** Facts for `/readyz` beyond the worker that answers it. */
export interface ClusterStatus {
  /** The state of each slot; `silent` for a worker that seems to hang. */
  readonly workers: readonly { readonly id: number; readonly state: string }[]
  /** A worker has died several times in a row without serving in between. */
  readonly isCrashLooping: boolean
  /** Problem of the account book, which concerns keys with a limit of credits alone; left out while there is none. */
  readonly bookProblem?: string
  /** It has been told to end, and serves for a moment yet (`DRAIN_DELAY`). */
  readonly isEnding: boolean
}

/*
 * One message each way, and each is a complete snapshot: counts are totals since the worker joined, the
 * highest `seq` wins. A message that is late, doubled or overtaken can therefore do no harm, and several
 * changes within one tick are one message.
 *
 *   worker ──── lease.report: "returned 7 in all, 3 are waiting, the oldest since …" ───▶ primary
 *   worker ◀─── lease.terms:  "granted 150 in all, please give 2 back if you can" ─────── primary
 */

/** Worker → primary. Sent only when the primary would otherwise decide wrongly. */
export interface LeaseReport {
  readonly type: 'lease.report'
  readonly seq: number
  /** `seq` of the terms that were in force. */
  readonly seen: number
  /** Total of permits granted as of those terms. */
  readonly granted: number
  /** Total of permits given back; the sockets behind them are closed. */
  readonly returned: number
  /** Permits that are not in flight and not yet returned. */
  readonly spare: number
  /** Requests that wait for a permit. */
  readonly waiting: number
  /** Permits beyond those that it would like to have before they are needed. */
  readonly ahead: number
  /** Requests that wait for something else: a start, or the end of a pause. They go before the others. */
  readonly gated: number
  /** The first of those who wait, in the order in which they will be served. */
  readonly heads: readonly WaiterHead[]
  /** `null` unless requests are paced. */
  readonly pace: PaceReport | null
  /** Takes no more permits and gives back what it has as its streams end. */
  readonly draining: boolean
}

/** Report of a worker's starts. A start is the right to send one request under a rate limit. */
export interface PaceReport {
  /** Total of starts granted as of the terms that were in force. */
  readonly granted: number
  /** Total of those that requests were sent with. */
  readonly used: number
  /** Total of those that are given back, since no request needs them. */
  readonly returned: number
  /** Total of requests sent without one: before the pace was known there, or once more on a fresh connection. */
  readonly extra: number
  /** Waiters that would run at once with a start. */
  readonly ready: number
  /** Waiters in all of each key among the `heads`. */
  readonly keys: readonly { readonly key: string; readonly waiting: number }[]
}

export interface PaceTerms {
  /** `UPSTREAM_MAX_REQUESTS_PER_MINUTE`. */
  readonly limit: number
  /** Total of starts granted. */
  readonly granted: number
  /** Client keys whose turns the latest of them are: all those that the worker may not have got yet. */
  readonly turns: readonly string[]
}

/** Primary → worker. */
export interface LeaseTerms {
  readonly type: 'lease.terms'
  readonly seq: number
  /** Total of permits granted. Lease = `granted` − what was returned. */
  readonly granted: number
  /** Total of permits that the primary has back; `owed` and `wanted` count from here. */
  readonly returned: number
  /** Permits to give back before any other request is served: the budget has shrunk. */
  readonly owed: number
  /** Permits to give back after those, as far as they are idle or a waiter elsewhere goes first. */
  readonly wanted: number
  /** Permits that others would like to have after those, before they need them: of what is idle and not needed soon. */
  readonly ahead: number
  /** Waiters elsewhere: the first of the `wanted`, in order of service. */
  readonly heads: readonly RankedHead[]
  /** `seq` of the terms since which something has been wanted without a break, 0 if nothing is. Wants an answer. */
  readonly asked: number
  /** Connections of this worker that may be idle. */
  readonly keepAlive: number
  /** Requests that may wait in this worker; further ones are refused. */
  readonly maxWaiting: number
  /** `null` unless requests are paced. */
  readonly pace: PaceTerms | null
  /** The whole budget, `null` without limit. For error messages, like the next. */
  readonly budget: number | null
  readonly elsewhere: { readonly leased: number; readonly waiting: number }
}

/** Assumed report of a worker that has not reported. */
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

/** Terms of a worker before its first message: it has nothing. */
export const NO_TERMS: LeaseTerms = {
  type: 'lease.terms',
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
