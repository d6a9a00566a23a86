import type { Allowances } from '../../admission/allowances.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import type { ToPrimary } from '../../ipc/channel.ts'
import type { TurnFacts, UsageRow } from '../../ipc/usage-row.ts'
import { MICROS_PER_CREDIT } from '../../keys/key.ts'
import { priceFactorOf } from '../../kiro/models/models.ts'
import { cut } from '../../kiro/wire/fault.ts'
import type { KeyRefusals } from '../../observe/key-refusals.ts'
import type { Logger } from '../../observe/logger.ts'
import type { Metrics } from '../../observe/metrics.ts'
import type { FailureFacts } from '../../shared/failing.ts'
import type { GatewayError } from '../../shared/errors.ts'
import type { TracedTurn } from '../../tracing/turn-trace.ts'
import type { WorkerPrices } from '../../keys/prices.ts'
import type { PrimaryPulse } from '../primary/primary-pulse.ts'
import type { Progress } from './open-turns.ts'

export interface EndedTurn {
  readonly requestId: string
  readonly route: string
  /** 499 if the client left. */
  readonly status: number
  readonly error: GatewayError | null
  readonly plan: ReplyPlan | null
  readonly bodyBytes: number
  readonly progress: Readonly<Progress>
}

export interface TurnRecord extends EndedTurn {
  /** `null` for other kinds of keys. */
  readonly keyName: string | null
  /** Bytes sent; `bodyBytes` were received. */
  readonly bytesOut: number
  readonly method: string
  /** Tells keys apart in the log without revealing them; `null` without keys. */
  readonly keyHash: string | null
  /** Family of the client's program. */
  readonly client: string
  /** Answered without the upstream: counted here; the primary counts others from their rows. */
  readonly isLocal?: boolean
  readonly traceId?: string | undefined
}

export interface TurnRecorders {
  readonly metrics: Metrics
  readonly log: Logger
  readonly refusals: Pick<KeyRefusals, 'note'>
}

/** Log lines have no content. Requests refused before the upstream, maybe hundreds, have no line each. */
export function recordTurn({ metrics, log, refusals }: TurnRecorders, record: TurnRecord): void {
  const { error } = record
  if (record.isLocal === true) countLocal(metrics, record)
  for (const code of record.plan?.repairs ?? []) metrics.repairs.inc({ code })
  if (error !== null && isCheap(record)) {
    const { keyName: key, keyHash } = record
    if (!refusals.note({ key, keyHash, code: error.code })) return
  }
  const facts = toFacts(record)
  if (error === null && record.progress.lostCalls > 0) log.warn(facts, 'tool call lost')
  else if (error === null) log.info(facts, 'request completed')
  else if (error.source === 'downstream') log.info(facts, 'request refused')
  else if (error.code === 'GW_INTERNAL') log.error(facts, 'request failed')
  else log.warn(facts, error.name === 'PoolTimeout' ? 'PoolTimeout' : 'request failed')
}

const KEY_HASH_CHARS = 16

export function keyHashOf(keyName: string): string {
  return keyName.slice(0, KEY_HASH_CHARS)
}

/** A client can cause it at will: the upstream was not asked, and nothing of ours is wrong. */
function isCheap({ error, progress }: TurnRecord): boolean {
  return progress.attempts === 0 && error?.source === 'downstream'
}

function countLocal(metrics: Metrics, { route, status, error, progress }: TurnRecord): void {
  metrics.requests.inc({ route, status, code: error?.code ?? 'none' })
  metrics.requestSeconds.observe({ route }, progress.totalMs() / 1000)
}

/** OpenTelemetry's names, as other gateways write. Undefined members are left out. */
function toFacts(record: TurnRecord): Readonly<Record<string, unknown>> {
  const { plan, progress, error } = record
  const { account, attempts, usage, lastCall, metered, charged } = progress
  const credits = (charged > 0 ? charged : metered) / MICROS_PER_CREDIT
  const source = lastCall?.isMeasured === true ? 'upstream' : 'estimated'
  const factor = priceFactor(record)
  const facts = {
    event: 'request.completed',
    request_id: record.requestId,
    trace_id: record.traceId,
    method: record.method,
    route: record.route,
    status: record.status,
    key: record.keyName ?? undefined,
    client_key_hash: record.keyHash ?? undefined,
    client: record.client,
    account_hash: account ?? undefined,
    model_requested: plan?.asked.model,
    model_upstream: plan?.upstreamModel,
    stream: plan?.asked.isStream,
    attempt: attempts > 0 ? attempts : undefined,
    phase_ms: { ...progress.toJson(), total: Math.round(progress.totalMs()) },
    bytes_in: record.bodyBytes,
    bytes_out: record.bytesOut,
    input_tokens: usage?.inputTokens,
    output_tokens: usage?.outputTokens,
    cache_read_tokens: usage?.cacheReadTokens,
    cache_write_tokens: usage?.cacheWriteTokens,
    reasoning_tokens: usage?.reasoningTokens,
    token_source: usage === null ? undefined : source,
    credits: credits > 0 ? credits : undefined,
    metering: progress.metering ?? undefined,
    stop_reason: lastCall?.stopReason ?? undefined,
    lost_calls: progress.lostCalls > 0 ? progress.lostCalls : undefined,
    upstream_request_id: lastCall?.upstreamId ?? undefined,
    price_factor: factor > 1 ? factor : undefined,
    repairs: plan !== null && plan.repairs.length > 0 ? plan.repairs : undefined,
    client_aborted: record.status === 499 || undefined
  }
  return error === null ? facts : { ...facts, ...toErrorFacts(record, error) }
}

function toErrorFacts({ progress }: TurnRecord, error: GatewayError): object {
  const phase = progress.lastCall?.phase ?? (progress.isWaiting ? 'queue' : 'request')
  return {
    error: { type: error.source, code: error.code, phase },
    code: error.code,
    reason: error.message,
    detail: error.detail,
    ...(error.cause !== undefined && { err: error.cause })
  }
}

/** Limit for names that clients choose when there is no list of models. */
const MAX_MODEL_CHARS = 256

export function toUsageRow(
  turn: EndedTurn,
  { worker, ...who }: Pick<UsageRow, 'key' | 'client' | 'dialect'> & Pick<TurnFacts, 'worker'>
): UsageRow {
  const { requestId, route, status, error, plan, bodyBytes, progress } = turn
  const { usage, charged, charges, metered, metering, attempts, lastCall } = progress
  const totalMs = progress.totalMs()
  return {
    ...who,
    at: Date.now(),
    model: plan?.upstreamModel.slice(0, MAX_MODEL_CHARS) ?? '',
    status,
    code: error?.code ?? '',
    inputTokens: usage?.inputTokens ?? 0,
    outputTokens: usage?.outputTokens ?? 0,
    cachedTokens: (usage?.cacheReadTokens ?? 0) + (usage?.cacheWriteTokens ?? 0),
    credits: charged > 0 ? charged : metered,
    ...(metering !== null && { metering }),
    ...(charges.length > 0 && {
      charges: charges.map(({ cost, period }) => ({ credits: cost, period }))
    }),
    totalMs: Math.round(totalMs),
    firstMs: usage === null ? null : Math.round(totalMs - progress.spentMs('stream')),
    repairs: plan?.repairs.length ?? 0,
    turn: {
      requestId,
      route,
      isStream: plan?.asked.isStream ?? false,
      phaseMs: progress.toJson(),
      attempts,
      chunks: lastCall?.chunks ?? 0,
      isAbovePriceStep: priceFactor(turn) > 1,
      worker,
      bodyBytes,
      repairs: plan?.repairs.slice(0, MAX_REPAIRS_TOLD) ?? [],
      ...(progress.lostCalls > 0 && { lostCalls: progress.lostCalls }),
      ...askedFor(plan),
      ...(error !== null && { failure: toFailure(error, progress) })
    }
  }
}

/** The client's model, if another one answers. */
function askedFor(plan: ReplyPlan | null): Pick<TurnFacts, 'modelAsked'> {
  if (plan === null || plan.asked.model === plan.upstreamModel) return {}
  return { modelAsked: cut(plan.asked.model, MAX_MODEL_CHARS) }
}

const MAX_REASON_CHARS = 600
const MAX_DETAIL_CHARS = 300

function toFailure(
  { message, detail }: GatewayError,
  { lastCall }: EndedTurn['progress']
): FailureFacts {
  const status = lastCall?.status ?? 0
  return {
    reason: cut(message, MAX_REASON_CHARS),
    detail: cut(detail ?? '', MAX_DETAIL_CHARS),
    upstreamStatus: status === 0 ? null : status,
    upstreamId: lastCall?.upstreamId ?? null
  }
}

const MAX_REPAIRS_TOLD = 8

/** Factor on the usual price for the whole request. */
function priceFactor({ plan, progress: { usage } }: Pick<EndedTurn, 'plan' | 'progress'>): number {
  if (plan === null || usage === null) return 1
  const { inputTokens, cacheReadTokens = 0, cacheWriteTokens = 0 } = usage
  return priceFactorOf(plan.upstreamModel, inputTokens + cacheReadTokens + cacheWriteTokens)
}

export function toTracedTurn(
  record: TurnRecord,
  who: Pick<TracedTurn, 'client' | 'dialect'>
): TracedTurn {
  const { requestId, keyName, status, error, plan, bodyBytes, progress } = record
  const { usage, attempts, charged, metered } = progress
  return {
    ...who,
    requestId,
    endedAt: progress.endedAt,
    keyName,
    status,
    code: error?.code ?? null,
    isClientsFault: error?.source === 'downstream',
    bodyBytes,
    attempts,
    repairs: plan?.repairs ?? [],
    model:
      plan === null
        ? null
        : {
            asked: plan.asked.model,
            upstream: plan.upstreamModel,
            isStream: plan.asked.isStream
          },
    usage,
    credits: (charged > 0 ? charged : metered) / MICROS_PER_CREDIT
  }
}

/** Families by user agent; the first match decides. */
const FAMILIES: readonly (readonly [sign: RegExp, family: string])[] = [
  [/^claude-(cli|code)\b/i, 'claude-code'],
  [/^codex\b|^codex_/i, 'codex'],
  [/\bopencode\b/i, 'opencode'],
  [/\bqwen-?code\b/i, 'qwen-code'],
  [/\broo-?code\b/i, 'roo-code'],
  [/\bkilo-?code\b/i, 'kilo-code'],
  [/\bcline\b/i, 'cline'],
  [/\bcursor\b/i, 'cursor'],
  [/\bcontinue\b/i, 'continue'],
  [/\baider\b/i, 'aider'],
  [/\blitellm\b/i, 'litellm'],
  [/^anthropic\/(python|async)/i, 'anthropic-python'],
  [/^anthropic\/js/i, 'anthropic-js'],
  [/^openai\/python|^asyncopenai\//i, 'openai-python'],
  [/^openai\/js/i, 'openai-js'],
  // An SDK names itself by its class, which programs in one file shorten.
  [/^[\w$]{1,3}\/js\b/i, 'js-sdk'],
  [/^ai\/|\bai-sdk\b/i, 'ai-sdk'],
  [/^mozilla\//i, 'browser']
]

const MAX_LOOKED_AT_CHARS = 256

/**
 * Names a client without its version. An unknown one is named by its user agent, which clients choose:
 * consumers must bound the names.
 */
export function clientFamilyOf(userAgent: string | undefined): string {
  const text = (userAgent ?? '').slice(0, MAX_LOOKED_AT_CHARS)
  const known = FAMILIES.find(([sign]) => sign.test(text))
  if (known !== undefined) return known[1]
  const [word] = /^[a-z0-9][a-z0-9._-]{0,31}(?=$|[/ ;(])/i.exec(text) ?? []
  return word?.toLowerCase() ?? 'other'
}

export interface RequestRecordsOptions {
  readonly channel: ToPrimary
  /** Sent before rows of keys with a limit: what is used up and reserved. */
  readonly allowances: Pick<Allowances, 'tell'>
  readonly prices: Pick<WorkerPrices, 'tell'>
  readonly pulse: Pick<PrimaryPulse, 'isSilent'>
}

/** A message per request would cost the primary more than all else it does for one. */
const RECORDS_DELAY_MS = 150
/** Keeps messages small. */
const MAX_ROWS = 200
/** While the primary hangs; older ones are lost, as the primary and its workers are replaced soon. */
const MAX_ROWS_KEPT = 5_000

/** Usage rows on their way to the primary: a few messages a second, however many requests. */
export class RequestRecords {
  readonly #options: RequestRecordsOptions
  /** The newest. Bounded by MAX_ROWS_KEPT. */
  #rows: UsageRow[] = []
  #begun = 0
  #timer: NodeJS.Timeout | null = null

  constructor(options: RequestRecordsOptions) {
    this.#options = options
  }

  begin(): void {
    this.#begun++
    this.#wake()
  }

  note(row: UsageRow): void {
    if (this.#rows.length >= MAX_ROWS_KEPT) this.#rows.shift()
    this.#rows.push(row)
    if (this.#rows.length >= MAX_ROWS) this.flush()
    this.#wake()
  }

  flush(): void {
    const { channel, allowances, prices, pulse } = this.#options
    if (pulse.isSilent) return
    prices.tell()
    const rows = this.#rows
    // Before the rows, by which it looks whether a limit is near.
    if (rows.some(({ charges }) => charges !== undefined)) allowances.tell()
    let begun = this.#begun
    this.#rows = []
    this.#begun = 0
    for (let at = 0; at < rows.length || begun > 0; at += MAX_ROWS) {
      channel.send({ type: 'usage.rows', begun, rows: rows.slice(at, at + MAX_ROWS) })
      begun = 0
    }
  }

  #wake(): void {
    if (this.#timer !== null) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.flush()
      if (this.#rows.length > 0) this.#wake()
    }, RECORDS_DELAY_MS)
    this.#timer.unref()
  }
}
