import type { Allowances } from '../../admission/allowances.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import type { ToPrimary } from '../../ipc/channel.ts'
import type { FailureFacts, TurnFacts, UsageRow } from '../../ipc/usage-row.ts'
import { priceFactorOf } from '../../kiro/models/models.ts'
import { cut } from '../../kiro/wire/fault.ts'
import type { GatewayError } from '../../shared/errors.ts'
import type { WorkerPrices } from '../primary/primary-clients.ts'
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
export function priceFactor({
  plan,
  progress: { usage }
}: Pick<EndedTurn, 'plan' | 'progress'>): number {
  if (plan === null || usage === null) return 1
  const { inputTokens, cacheReadTokens = 0, cacheWriteTokens = 0 } = usage
  return priceFactorOf(plan.upstreamModel, inputTokens + cacheReadTokens + cacheWriteTokens)
}

export interface RequestRecordsOptions {
  readonly channel: ToPrimary
  /** Sent before rows of keys with a limit: what is used up and reserved. */
  readonly allowances: Pick<Allowances, 'tell'>
  readonly prices: Pick<WorkerPrices, 'tell'>
  readonly isPrimarySilent: () => boolean
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
    const { channel, allowances, prices, isPrimarySilent } = this.#options
    if (isPrimarySilent()) return
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
    this.#timer = setTimeout(() => this.#onTime(), RECORDS_DELAY_MS)
    this.#timer.unref()
  }

  #onTime(): void {
    this.#timer = null
    this.flush()
    if (this.#rows.length > 0) this.#wake()
  }
}
