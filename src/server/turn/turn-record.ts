import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import { outlineMember } from '../../dialects/request/payload-bytes.ts'
import type { RepairCode } from '../../kiro/rules/repair-table.ts'
import { MICROS_PER_CREDIT } from '../../keys/key.ts'
import type { KeyRefusals } from '../../observe/key-refusals.ts'
import type { Logger } from '../../observe/logger.ts'
import type { Metrics } from '../../observe/metrics.ts'
import type { GatewayError } from '../../shared/errors.ts'
import type { RequestPayload } from '../../upstream/call/requests.ts'
import type { TracedTurn } from '../../tracing/turn-trace.ts'
import type { TransformPool } from '../../transform/transform-pool.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { TurnCapture } from '../worker/turn-capture.ts'
import { type EndedTurn, priceFactor } from '../worker/usage-rows.ts'

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
  return word?.toLowerCase() ?? UNKNOWN_CLIENT
}

const UNKNOWN_CLIENT = 'other'

/** Adds repairs made while carrying the plan out. */
export function asCarriedOut(plan: ReplyPlan, payload: RequestPayload | null): ReplyPlan {
  const made: readonly RepairCode[] = payload?.changes ?? []
  return made.length === 0 ? plan : { ...plan, repairs: [...plan.repairs, ...made] }
}

export type DebugPlane = Pick<DataPlane, 'debug'> & {
  readonly transforms: Pick<TransformPool, 'inlineMaxBytes' | 'outline'>
}

/** Debug file of one request, if the operator asked for it: its structure without any text, and maybe the capture. */
export class TurnDebug {
  readonly content: TurnCapture | null
  readonly #plane: DebugPlane
  readonly #mode: 'errors' | 'all'
  #payload: RequestPayload | null = null
  #outline: Promise<string | null> | null = null

  constructor(plane: DebugPlane, mode: 'errors' | 'all', content: TurnCapture | null = null) {
    this.#plane = plane
    this.#mode = mode
    this.content = content
  }

  /** The payload is gone by the time it is answered. */
  noteRequest(payload: RequestPayload): void {
    this.#payload = payload
    if (this.#mode === 'all') this.#outlinePayload()
  }

  noteFailure(error: GatewayError): void {
    if (this.#outline === null && this.#isWanted(error)) this.#outlinePayload()
  }

  /** Never rejects. */
  async keep(record: DebuggedTurn): Promise<void> {
    const { requestId, error } = record
    const { content } = this
    const isWanted = this.#isWanted(error)
    if (!isWanted && content?.isCut !== true) return content?.discard()
    const facts = toDebugFacts(record)
    await content?.keep(facts)
    if (!isWanted) return
    const outline = this.#outline === null ? '"request": null' : await this.#outline
    const left = '"request": "too long to be looked at beside others"'
    await this.#plane.debug.keep(requestId, facts, `  ${outline?.trimStart() ?? left}`)
  }

  /** A client that left (499) is no failure. */
  #isWanted(error: GatewayError | null): boolean {
    return this.#mode === 'all' || (error !== null && error.status !== 499)
  }

  #outlinePayload(): void {
    const bytes = this.#payload?.peek() ?? null
    if (bytes === null) return
    const { debug, transforms } = this.#plane
    if (bytes.byteLength <= transforms.inlineMaxBytes) {
      this.#outline = Promise.resolve(outlineMember(Buffer.from(bytes).toString()))
    } else this.#outline = debug.lookAt(() => transforms.outline(new Uint8Array(bytes)))
  }
}

type DebuggedTurn = Pick<
  TurnRecord,
  'requestId' | 'route' | 'status' | 'plan' | 'error' | 'progress'
>

function toDebugFacts(record: DebuggedTurn): Readonly<Record<string, unknown>> {
  const { requestId, route, status, plan, error, progress } = record
  return {
    at: new Date().toISOString(),
    requestId,
    route,
    status,
    ...(error !== null && { code: error.code, message: error.message, detail: error.detail }),
    ...(plan !== null && {
      model: plan.asked.model,
      upstreamModel: plan.upstreamModel,
      isStream: plan.asked.isStream,
      inputTokens: plan.inputTokens,
      contextWindow: plan.contextWindow,
      repairs: plan.repairs,
      borderline: plan.borderline
    }),
    phaseMs: progress.toJson()
  }
}
