import type { ReplyPlan } from '../dialects/reply-plan.ts'
import type { Usage } from '../dialects/stream-part.ts'
import type { Logger } from '../observe/logger.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { GatewayError } from '../shared/errors.ts'
import type { Phases } from './phases.ts'

export interface TurnRecord {
  readonly requestId: string
  readonly route: string
  /** As answered; 499 when the client had left. */
  readonly status: number
  readonly error: GatewayError | null
  readonly plan: ReplyPlan | null
  readonly usage: Usage | null
  readonly bodyBytes: number
  readonly phases: Phases
}

/** One log line and one set of metrics for a request that is over. Never its content. */
export function recordTurn(
  { metrics, log }: { readonly metrics: Metrics; readonly log: Logger },
  record: TurnRecord
): void {
  const { error } = record
  recordMetrics(metrics, record)
  const facts = toFacts(record)
  if (error === null) log.info(facts, 'request completed')
  else if (error.source === 'downstream') log.info(facts, 'request refused')
  else if (error.code === 'GW_INTERNAL') log.error(facts, 'request failed')
  else log.warn(facts, error.name === 'PoolTimeout' ? 'PoolTimeout' : 'request failed')
}

function recordMetrics(metrics: Metrics, record: TurnRecord): void {
  const { route, status, error, plan, usage, phases } = record
  metrics.requests.inc({ route, status, code: error?.code ?? 'none' })
  metrics.requestSeconds.observe({ route }, phases.totalMs() / 1000)
  if (error?.code === 'GW_POOL_TIMEOUT') metrics.poolTimeouts.inc()
  if (error?.code === 'GW_QUEUE_FULL') metrics.queueRejected.inc()
  for (const code of plan?.repairs ?? []) metrics.repairs.inc({ code })
  if (usage === null) return
  const firstByteMs = phases.totalMs() - phases.spentMs('stream')
  metrics.firstByteSeconds.observe({ route }, firstByteMs / 1000)
  metrics.tokens.inc({ type: 'input' }, usage.inputTokens)
  metrics.tokens.inc({ type: 'output' }, usage.outputTokens)
}

function toFacts(record: TurnRecord): Readonly<Record<string, unknown>> {
  const { route, status, error, plan, usage, bodyBytes, phases } = record
  return {
    reqId: record.requestId,
    route,
    status,
    ...(plan !== null && {
      model: plan.model,
      upstreamModel: plan.upstreamModel,
      isStream: plan.isStream
    }),
    bodyBytes,
    ...(plan !== null && plan.repairs.length > 0 && { repairs: plan.repairs }),
    ...(usage !== null && { usage }),
    phaseMs: phases.toJson(),
    totalMs: Math.round(phases.totalMs()),
    ...(error !== null && {
      code: error.code,
      reason: error.message,
      detail: error.detail,
      ...(error.cause !== undefined && { err: error.cause })
    })
  }
}
