import type { FailingRequests, FailureFacts } from '../shared/failing.ts'
import type { FleetStatus, OwnFleetStatus } from '../shared/fleet-status.ts'

/*
 * Server-sent events of the dashboard, written once for all pages. Names end in `…Ms`, `…At` or `at` (epoch ms) and
 * `…Bytes`; credits are in whole units. `null` is unknown, or no limit.
 *
 *   snapshot   Snapshot        the first event of each connection: all that the page needs
 *   tick       Now             each second
 *   point      HistoryPoint    every HISTORY_STEP_MS
 *   requests   EndedRequest[]  those that have ended, soon after
 *   account    ShownAccount         when it has changed, like the next
 *   keys       KeyStatuses
 *   leaving    {}              the worker goes: connect again
 */

export interface Snapshot {
  readonly now: Now
  readonly account: ShownAccount
  readonly keys: KeyStatuses
  readonly history: ShownHistory
  readonly requests: readonly EndedRequest[]
}

/** Figures of one instant, and what they mean. */
export interface Now extends NowFigures {
  readonly verdict: GatewayVerdict
}

export interface GatewayVerdict {
  readonly level: 'green' | 'amber' | 'red'
  /** `well`, or the codes of all problems with spaces between. */
  readonly code: string
  readonly sentence: string
  readonly facts: string
  /** The worst first. */
  readonly problems: readonly VerdictProblem[]
  /** Action for the worst problem. */
  readonly action: VerdictAction | null
}

/** Remedy that an operator finds on the page. */
export interface VerdictAction {
  readonly label: string
  /** Address within the page, behind `#/`. */
  readonly place: string
}

export interface VerdictProblem {
  readonly level: 'amber' | 'red'
  readonly code: string
  readonly what: string
  readonly remedy: string
  /** Known end of the problem. */
  readonly until: number | null
  readonly action: VerdictAction | null
  /** Times that `what` and `remedy` name. */
  readonly times: readonly NamedTime[]
}

/** A time within a sentence: how it stands there, in UTC, and what it is, for a page that writes it in its reader's zone. */
export interface NamedTime {
  readonly text: string
  /** Epoch ms. */
  readonly at: number
}

export interface NowFigures {
  readonly at: number
  readonly connections: Connections
  readonly webSockets: WebSocketFigures
  readonly waiting: {
    readonly permits: number
    readonly gated: number
    readonly longestMs: number
    readonly max: number
    readonly pausedUntil: number | null
  }
  readonly fleet: FleetShown | null
  /** `null` without a pace. */
  readonly pace: { readonly limit: number; readonly free: number } | null
  readonly requests: {
    readonly inFlight: number
    readonly streams: number
    /** Since the start, like all counts without another span. */
    readonly total: number
    /** Faults of the upstream or the gateway only, like all failures here. */
    readonly failed: number
    readonly perMinute: number
    readonly failedPerMinute: number
    /** Failures since the last answered request; `null` if there are none. */
    readonly failing: FailingRequests | null
  }
  readonly tokens: {
    readonly input: number
    readonly output: number
    readonly perMinute: number
    readonly inputPerMinute: number
    readonly outputPerMinute: number
  }
  readonly credits: { readonly total: number; readonly perHour: number }
  /** Models that were measured last. */
  readonly counts: readonly CountErrors[]
  readonly latency: Latency
  readonly errors: readonly ErrorCount[]
  readonly memory: {
    readonly limitBytes: number
    readonly usedBytes: number
    /** Source of the figure: the container, or the sum of its processes. */
    readonly of: 'container' | 'processes'
  }
  readonly cpu: { readonly cores: number; readonly limit: number }
  readonly processes: readonly ProcessFigures[]
  readonly workers: readonly WorkerFigures[]
  readonly workerRestarts: number
  readonly isCrashLooping: boolean
  /** The oldest of each worker, oldest first. */
  readonly running: readonly RunningRequest[]
  readonly dashboards: number
}

/** Shares by which the newest counts of a model were off what the upstream measured. */
export interface CountErrors extends Quantiles {
  readonly model: string
  readonly counts: number
  /** Tokens of the upstream's own prompt; `null` while unknown. */
  readonly hidden: number | null
}

export interface FleetShown extends FleetStatus, OwnFleetStatus {}

export interface SocketCounts {
  readonly inUse: number
  readonly idle: number
  readonly connecting: number
  readonly closing: number
}

/** WebSockets of clients, and the memory of what they go on from. */
export interface WebSocketFigures {
  readonly open: number
  /** With an answer under way. */
  readonly busy: number
  readonly keptBytes: number
}

export interface Connections extends SocketCounts {
  readonly budget: number | null
  readonly unleased: number | null
  readonly members: readonly (SocketCounts & {
    /** Slot of the worker, or `control` for the gateway's own calls. */
    readonly name: string
    readonly leased: number | null
    readonly waiting: number
  })[]
}

export interface Quantiles {
  readonly p50: number
  readonly p95: number
}

/** Latencies of recently answered requests; `null` if there were none. */
export interface Latency {
  readonly firstMs: Quantiles | null
  readonly totalMs: Quantiles | null
}

export type Fault = 'client' | 'upstream' | 'gateway'

export interface ErrorCount {
  readonly code: string
  readonly fault: Fault
  readonly total: number
  readonly lastHour: number
}

export interface ProcessFigures {
  readonly name: string
  readonly pid: number
  readonly rssBytes: number | null
  readonly cpu: number | null
  readonly loopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number } | null
}

export interface WorkerFigures {
  readonly slot: number
  readonly state: string
  readonly pid: number | null
  readonly startedAt: number | null
  readonly restarts: number
}

export interface ShownAccount {
  readonly version: string
  readonly node: string
  readonly startedAt: number
  readonly isSimulated: boolean
  readonly signIn: {
    readonly isUsable: boolean
    readonly state: 'signed-in' | 'waiting' | 'failing' | 'signed-out' | 'client-keys' | 'simulator'
    readonly method: string | null
    readonly region: string | null
    readonly expiresAt: number | null
    readonly renewsItself: boolean
    readonly endsAt: number | null
    readonly remedy: string | null
    readonly problem: DashboardProblem | null
  }
  readonly quota: Quota | null
  /** Forecast by the account book; `null` if unknown. */
  readonly outlook: {
    /** Credits used elsewhere or not metered: today in UTC, and since `since` in epoch ms. */
    readonly outsideToday: number
    readonly outside: number
    readonly since: number
    readonly isDrifting: boolean
    /** Credits of a usual day; `null` until there is a forecast. */
    readonly perDay: number | null
    /** `null` if the plan lasts until its reset, or that is unknown. */
    readonly usedUpAt: number | null
  } | null
  /** Limits of the account by the upstream, and faults of the whole gateway. */
  readonly problems: readonly AccountProblem[]
  readonly settings: {
    readonly poolTimeoutMs: number | null
    readonly workers: number
  }
}

export interface AccountProblem extends DashboardProblem {
  readonly until: number | null
  readonly bar: string | null
}

export interface DashboardProblem {
  readonly code: string
  readonly message: string
}

export interface Quota {
  readonly plan: string | null
  readonly unit: string | null
  readonly used: number | null
  readonly limit: number | null
  readonly remaining: number | null
  readonly resetsAt: number | null
  readonly overage: { readonly isEnabled: boolean } | null
  readonly problem: DashboardProblem | null
}

export interface KeyStatuses {
  readonly more: number
  readonly list: readonly KeyStatus[]
}

export interface KeyStatus {
  /** Id of a named key, else `operator`, `kiro` or `anyone`; likewise `name`. */
  readonly id: string
  readonly name: string
  readonly state: 'active' | 'expired' | 'revoked'
  readonly streams: number
  readonly waiting: number
  readonly maxStreams: number | null
  readonly requestsPerMinute: number | null
  readonly models: readonly string[] | null
  readonly expiresAt: number | null
  readonly credits: {
    readonly limit: number
    readonly period: string
    readonly used: number
    readonly reserved: number
    readonly resetsAt: number | null
  } | null
  readonly requests: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly creditsTotal: number
}

/** Columns of equal length, oldest first. */
export interface ShownHistory {
  readonly at: readonly number[]
  readonly columns: Readonly<Record<HistoryColumn, readonly (number | null)[]>>
}

export interface HistoryPoint {
  readonly at: number
  readonly values: Readonly<Record<HistoryColumn, number | null>>
}

export const HISTORY_COLUMNS = [
  'inUse',
  'idle',
  'budget',
  'waiting',
  'longestWaitMs',
  'streams',
  'requestsPerMinute',
  'failedPerMinute',
  'inputTokensPerMinute',
  'outputTokensPerMinute',
  'creditsPerHour',
  'firstP50Ms',
  'firstP95Ms',
  'totalP50Ms',
  'totalP95Ms',
  'memoryBytes',
  'cpuCores',
  'loopDelayMs',
  'workers'
] as const

export type HistoryColumn = (typeof HISTORY_COLUMNS)[number]

/** A request under way. */
export interface RunningRequest {
  readonly id: string
  readonly at: number
  readonly key: string
  readonly client: string
  /** Empty while it is not known. */
  readonly model: string
  readonly step: 'reading' | 'waiting' | 'asking' | 'answering'
  readonly worker: number
}

export interface EndedRequest {
  /** Sequence number, since clients choose ids. */
  readonly n: number
  readonly id: string
  readonly at: number
  /** Named key, else `operator`, `kiro` or `anyone`. */
  readonly key: string
  readonly client: string
  readonly dialect: string
  readonly route: string
  readonly model: string
  /** `null` if the named model answered. */
  readonly modelAsked: string | null
  readonly isStream: boolean
  /** 499 if the client left. */
  readonly status: number
  /** Error code; empty without an error. */
  readonly code: string
  readonly fault: Fault | null
  readonly failure: FailureFacts | null
  readonly worker: number
  readonly phasesMs: Readonly<Record<string, number>>
  readonly firstMs: number | null
  readonly totalMs: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cachedTokens: number
  readonly credits: number
  /** `null` without credits. */
  readonly metering: 'metered' | 'read on' | 'measured' | null
  readonly repairs: readonly string[]
  readonly lostCalls: number
  readonly attempts: number
  readonly bodyBytes: number
}
