import type { FleetStanding, OwnStanding } from '../shared/fleet-standing.ts'

/*
 * The server-sent events of the dashboard's page. The primary makes them once for all open pages; plain JSON. Milliseconds
 * are `…Ms`, times since the epoch `…At` or `at`, bytes `…Bytes`, credits as people count them. `null` is not known, or no limit.
 *
 *   snapshot   Snapshot        the first event of each connection: all that the page needs
 *   tick       Now             each second
 *   point      HistoryPoint    every HISTORY_STEP_MS
 *   requests   EndedRequest[]  those that have ended, soon after
 *   account    ShownAccount         when it has changed, like the next
 *   keys       KeyStandings
 *   leaving    {}              the worker goes: connect again
 */

export interface Snapshot {
  readonly now: Now
  readonly account: ShownAccount
  readonly keys: KeyStandings
  readonly history: ShownHistory
  /** The last ones, oldest first. */
  readonly requests: readonly EndedRequest[]
}

export interface Now {
  readonly at: number
  readonly uptimeMs: number
  readonly connections: Connections
  readonly waiting: {
    /** For a permit. */
    readonly permits: number
    /** For their pace, or the end of a pause. */
    readonly gated: number
    readonly longestMs: number
    readonly max: number
    readonly pausedUntil: number | null
  }
  /** `null` for a gateway that is alone. */
  readonly fleet: FleetShown | null
  /** `null` where requests are not paced. */
  readonly pace: { readonly limit: number; readonly free: number } | null
  readonly requests: {
    readonly inFlight: number
    /** Permits that requests hold. */
    readonly streams: number
    /** Since the start, like all that is not named otherwise. */
    readonly total: number
    /** For the fault of the upstream or the gateway, like all failures that are counted here. */
    readonly failed: number
    readonly perMinute: number
    readonly failedPerMinute: number
    /** Requests that failed since the last one that was answered; `null` where that was the last. */
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
  readonly latency: Latency
  readonly errors: readonly ErrorCount[]
  readonly memory: {
    readonly limitBytes: number
    readonly usedBytes: number
    /** Source of the figure: the container's own, or the sum of the processes. */
    readonly of: 'container' | 'processes'
  }
  readonly cpu: { readonly cores: number; readonly limit: number }
  readonly processes: readonly ProcessFigures[]
  readonly workers: readonly WorkerFigures[]
  readonly workerRestarts: number
  readonly workerStalls: number
  readonly isCrashLooping: boolean
  /** Pages that are open, this one included. */
  readonly dashboards: number
}

/** The fleet as it was seen last, and this gateway in it. */
export interface FleetShown extends FleetStanding, OwnStanding {}

export interface SocketCounts {
  readonly inUse: number
  readonly idle: number
  readonly connecting: number
  readonly closing: number
}

export interface Connections extends SocketCounts {
  /** `null` without limit, like the next two. */
  readonly budget: number | null
  readonly keepaliveBudget: number | null
  /** Part of the budget that no member holds. */
  readonly unleased: number | null
  readonly permitsInUse: number
  readonly members: readonly (SocketCounts & {
    /** The worker's slot, or `control` for the gateway's own calls. */
    readonly name: string
    readonly leased: number | null
    readonly waiting: number
  })[]
}

export interface Quantiles {
  readonly p50: number
  readonly p95: number
}

/** Latency of the requests answered within `windowMs`; `null` where there was none. */
export interface Latency {
  readonly windowMs: number
  readonly samples: number
  readonly firstMs: Quantiles | null
  readonly totalMs: Quantiles | null
}

/** Requests that have failed one after the other. */
export interface FailingRequests {
  readonly count: number
  /** The last of them, like the next two. */
  readonly at: number
  readonly code: string
  readonly reason: string
}

/** The side that has to change something. */
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
  /** Cores in use. */
  readonly cpu: number | null
  readonly loopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number } | null
}

export interface WorkerFigures {
  readonly slot: number
  /** As `/readyz` says. */
  readonly state: string
  readonly pid: number | null
  readonly startedAt: number | null
  /** Number of deaths of the slot's workers. */
  readonly restarts: number
}

/** Facts about the gateway and its account that seldom change. */
export interface ShownAccount {
  readonly version: string
  readonly node: string
  readonly startedAt: number
  readonly host: string
  readonly isSimulated: boolean
  readonly signIn: {
    readonly isUsable: boolean
    readonly state: 'signed-in' | 'waiting' | 'failing' | 'signed-out' | 'client-keys' | 'simulator'
    readonly method: string | null
    readonly region: string | null
    /** End of the token, which is renewed automatically where `renewsItself`. */
    readonly expiresAt: number | null
    readonly renewsItself: boolean
    /** Time at which a new sign-in is needed. */
    readonly endsAt: number | null
    /** Remedy, by its source; `null` without one. */
    readonly remedy: string | null
    readonly problem: DashboardProblem | null
  }
  /** `null` until it was asked for. */
  readonly quota: Quota | null
  /** Forecast of the plan's credits by the account book; `null` where it is not known. */
  readonly outlook: {
    /** Credits that were not used through this gateway, or not metered: of today in UTC, and since then in epoch ms. */
    readonly outsideToday: number
    readonly outside: number
    readonly since: number
    /** Today's credits outside the gateway are too many to ignore. */
    readonly isDrifting: boolean
    /** Credits of a usual day; `null` where nothing can be foretold yet. */
    readonly perDay: number | null
    /** When the plan will be used up; `null` where it lasts until it is reset, or that is not known. */
    readonly usedUpAt: number | null
  } | null
  /** Limits that the upstream has put on the account, and faults of the gateway as a whole. */
  readonly problems: readonly AccountProblem[]
  readonly settings: {
    readonly usageLog: boolean
    readonly poolTimeoutMs: number | null
    readonly workers: number
  }
}

export interface AccountProblem extends DashboardProblem {
  readonly until: number | null
  /** Kind of the account's limit, such as `monthly`; `null` where the upstream did not set it. */
  readonly bar: string | null
}

export interface DashboardProblem {
  readonly code: string
  readonly message: string
}

export interface Quota {
  /** When it was asked for. */
  readonly at: number
  readonly plan: string | null
  readonly unit: string | null
  readonly used: number | null
  readonly limit: number | null
  readonly remaining: number | null
  readonly resetsAt: number | null
  readonly allowances: readonly {
    readonly kind: string
    readonly name: string
    readonly unit: string
    readonly used: number
    readonly limit: number
  }[]
  readonly overage: {
    readonly isEnabled: boolean
    readonly used: number
    readonly charges: number
    readonly currency: string | null
  } | null
  readonly problem: DashboardProblem | null
}

export interface KeyStandings {
  readonly isKeyRequired: boolean
  readonly operatorKeys: number
  /** Number of entries left out of the list. */
  readonly more: number
  /** The busiest first. */
  readonly list: readonly KeyStanding[]
}

export interface KeyStanding {
  /** Id of a named key; else `operator`, `kiro` or `anyone`, like the name. */
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

/** Columns of the same length, oldest first. */
export interface ShownHistory {
  readonly stepMs: number
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

/** Why a request failed, in the words of the log. */
export interface Failure {
  /** Message that the client got. */
  readonly reason: string
  /** Detail that the client did not get; empty where there is none. */
  readonly detail: string
  /** HTTP status and request id of the upstream's last answer; `null` where there was none. */
  readonly upstreamStatus: number | null
  readonly upstreamId: string | null
}

/** One request that is over: figures and names, never a word of it. */
export interface EndedRequest {
  /** A running number: ids are chosen by clients. */
  readonly n: number
  readonly id: string
  readonly at: number
  /** The name of a named key; else `operator`, `kiro` or `anyone`. */
  readonly key: string
  readonly client: string
  readonly dialect: string
  readonly route: string
  /** Empty where it was refused before that was known. */
  readonly model: string
  /** Model that the client named; `null` where that one answered. */
  readonly modelAsked: string | null
  readonly isStream: boolean
  /** 499 when the client had left. */
  readonly status: number
  /** Code of the error; empty where there was none. */
  readonly code: string
  /** `null` where there was no error, like the next. */
  readonly fault: Fault | null
  readonly failure: Failure | null
  readonly worker: number
  /** By name, those that there were. */
  readonly phasesMs: Readonly<Record<string, number>>
  /** `null` where nothing was answered. */
  readonly firstMs: number | null
  readonly totalMs: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cachedTokens: number
  readonly credits: number
  /** Origin of the credits; `null` without credits. */
  readonly metering: 'metered' | 'read on' | 'measured' | null
  readonly repairs: readonly string[]
  /** Tool calls whose arguments did not come whole. */
  readonly lostCalls: number
  readonly attempts: number
  readonly bodyBytes: number
}
