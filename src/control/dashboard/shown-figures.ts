import { faultOf } from '../../dashboard/failures.ts'
import type {
  Connections,
  NowFigures,
  ProcessFigures,
  SocketCounts,
  WebSocketFigures
} from '../../dashboard/feed.ts'
import type { Rates, Totals } from '../../dashboard/history.ts'
import type { BudgetState } from '../budget/budget.ts'
import type { FailingRequests } from '../../shared/failing.ts'
import { type JsonObject, textMember } from '../../shared/json.ts'
import { type MetricReader, withLabel } from './metric-reader.ts'

export interface ProcessReadings {
  readonly all: MetricReader
  readonly processes: readonly {
    readonly name: string
    readonly pid: number
    readonly metrics: MetricReader | null
    readonly cpu: number | null
  }[]
  readonly budget: BudgetState
  readonly nameOf: (member: string) => string
}

/** Since the start. Credits have six decimals. */
export function totalsOf(all: MetricReader): Totals {
  return {
    requests: all.sum(REQUESTS),
    failed: all.sum(REQUESTS, isFailure),
    inputTokens: all.sum('kiro_gateway_tokens_total', withLabel('type', 'input')),
    outputTokens: all.sum('kiro_gateway_tokens_total', withLabel('type', 'output')),
    credits: toSixDecimals(all.sum('kiro_gateway_credits_total'))
  }
}

const REQUESTS = 'kiro_gateway_requests_total'

function isFailure(labels: JsonObject): boolean {
  const code = textMember(labels, 'code') ?? NO_ERROR
  return code !== NO_ERROR && faultOf(code) !== 'client'
}

const NO_ERROR = 'none'

export function failuresOf(all: MetricReader): ReadonlyMap<string, number> {
  const counts = new Map(all.by(REQUESTS, 'code'))
  counts.delete(NO_ERROR)
  return counts
}

interface Moment
  extends Pick<
    NowFigures,
    | 'at'
    | 'fleet'
    | 'counts'
    | 'latency'
    | 'errors'
    | 'memory'
    | 'workers'
    | 'isCrashLooping'
    | 'running'
    | 'dashboards'
  > {
  readonly totals: Totals
  readonly rates: Rates
  readonly failing: FailingRequests | null
  readonly cpuLimit: number
  readonly maxWaiting: number
  readonly pausedUntil: number | null
}

export function toNow(readings: ProcessReadings, moment: Moment): NowFigures {
  const { all, budget } = readings
  const { totals, rates, failing, cpuLimit, maxWaiting, pausedUntil, ...shown } = moment
  const processes = readings.processes.map(toProcessFigures)
  return {
    ...shown,
    connections: connectionsOf(readings),
    webSockets: webSocketsOf(readings),
    waiting: {
      permits: all.sum('kiro_gateway_pool_waiters'),
      gated: all.sum('kiro_gateway_gated_requests'),
      longestMs: Math.round((all.max('kiro_gateway_pool_longest_wait_seconds') ?? 0) * 1000),
      max: maxWaiting,
      pausedUntil
    },
    pace:
      budget.pace === null
        ? null
        : { limit: budget.pace.maxRequestsPerMinute, free: budget.pace.free },
    requests: {
      inFlight: all.sum('kiro_gateway_requests_in_flight'),
      streams: all.sum('kiro_gateway_pool_permits_in_use'),
      total: totals.requests,
      failed: totals.failed,
      perMinute: toThousandths(rates.requestsPerMinute),
      failedPerMinute: toThousandths(rates.failedPerMinute),
      failing
    },
    tokens: {
      input: totals.inputTokens,
      output: totals.outputTokens,
      perMinute: toThousandths(rates.inputTokensPerMinute + rates.outputTokensPerMinute),
      inputPerMinute: toThousandths(rates.inputTokensPerMinute),
      outputPerMinute: toThousandths(rates.outputTokensPerMinute)
    },
    credits: { total: totals.credits, perHour: toSixDecimals(rates.creditsLastHour) },
    cpu: {
      cores: toThousandths(processes.reduce((sum, { cpu }) => sum + (cpu ?? 0), 0)),
      limit: cpuLimit
    },
    processes,
    workerRestarts: all.sum('kiro_gateway_worker_restarts_total')
  }
}

function webSocketsOf({ all }: Pick<ProcessReadings, 'all'>): WebSocketFigures {
  return {
    open: all.sum('kiro_gateway_websockets'),
    busy: all.sum('kiro_gateway_websockets', withLabel('state', 'busy')),
    keptBytes: all.sum('kiro_gateway_websocket_kept_bytes')
  }
}

function connectionsOf({ all, budget, nameOf }: ProcessReadings): Connections {
  const byName = new Map<string, { leased: number | null; waiting: number }>()
  for (const { member, leased, waiting } of budget.members) {
    const name = nameOf(member)
    const before = byName.get(name)
    byName.set(name, {
      leased: leased === null ? null : leased + (before?.leased ?? 0),
      waiting: waiting + (before?.waiting ?? 0)
    })
  }
  return {
    budget: budget.maxConnections,
    unleased: budget.unleased,
    ...socketsOf((state) =>
      all.sum('kiro_gateway_upstream_connections', withLabel('state', state))
    ),
    members: [...byName].map(([name, { leased, waiting }]) => ({
      name,
      leased,
      waiting,
      ...socketsOf((state) =>
        all.sum(
          'kiro_gateway_worker_upstream_connections',
          (labels) => labels['worker'] === name && labels['state'] === state
        )
      )
    }))
  }
}

function socketsOf(count: (state: string) => number): SocketCounts {
  return {
    inUse: count('active'),
    idle: count('idle'),
    connecting: count('connecting'),
    closing: count('closing')
  }
}

function toProcessFigures({
  name,
  pid,
  metrics,
  cpu
}: ProcessReadings['processes'][number]): ProcessFigures {
  const delayOf = (quantile: string): number | null =>
    metrics?.max('kiro_gateway_event_loop_delay_seconds', withLabel('quantile', quantile)) ?? null
  const p50 = delayOf('0.5')
  const p99 = delayOf('0.99')
  const max = delayOf('1')
  const isKnown = p50 !== null && p99 !== null && max !== null
  return {
    name,
    pid,
    rssBytes: metrics?.max('process_resident_memory_bytes') ?? null,
    cpu: cpu === null ? null : toThousandths(cpu),
    loopDelayMs: isKnown
      ? {
          p50: toThousandths(p50 * 1000),
          p99: toThousandths(p99 * 1000),
          max: toThousandths(max * 1000)
        }
      : null
  }
}

function toThousandths(value: number): number {
  return Math.round(value * 1_000) / 1_000
}

function toSixDecimals(value: number): number {
  return Math.round(value * 1_000_000) / 1_000_000
}
