import type { BookTrouble } from './allowance.ts'
import { MICROS_PER_CREDIT, type CreditPeriod } from '../keys/key.ts'

/** Record of one completed request: figures, and never its text. Worker → primary, some at a time. */
export interface UsageRow {
  /** Epoch ms at which it was over. */
  readonly at: number
  /** The id of a named key; `operator`, `kiro` (a Kiro key of the client's) or `anyone` where it was none. */
  readonly key: string
  /** The program that asked, by its user agent. */
  readonly client: string
  readonly dialect: string
  /** The upstream's; empty where the request was refused before that was known. */
  readonly model: string
  /** As answered; 499 when the client had left. */
  readonly status: number
  /** Error code; empty without one. */
  readonly code: string
  readonly inputTokens: number
  readonly outputTokens: number
  /** Read from the upstream's cache or written to it; not among the input tokens. */
  readonly cachedTokens: number
  /** Micro-credits. */
  readonly credits: number
  /** Origin of the credits; missing without credits. */
  readonly metering?: Metering
  /** Whole, like the next. */
  readonly totalMs: number
  /** To the first byte of the answer; `null` where there was none. */
  readonly firstMs: number | null
  readonly repairs: number
  /** Charges of its key with a limit, all of them among the credits; missing without a limit. */
  readonly charges?: readonly RowCharge[]
  /** Left out for what died with its worker, and by other versions. */
  readonly turn?: TurnFacts
}

/**
 * Origin of a request's credits: metered by the upstream with its answer (`metered`), or after the client's answer was
 * over (`read on`); or `measured`, by the tokens so far and the learnt price, because it ended before that. The last of
 * these words that fits one of the calls, if several were made.
 */
export type Metering = 'metered' | 'read on' | 'measured'

/** Micro-credits that a request has cost. */
export interface RowCharge {
  /** The number of the period in which they were reserved. */
  readonly period: number
  readonly credits: number
}

/** Further facts about a request, for metrics and the dashboard. Not recorded. */
export interface TurnFacts {
  readonly requestId: string
  readonly route: string
  readonly isStream: boolean
  /** Whole milliseconds and tenths by phase, as in the log. */
  readonly phaseMs: Readonly<Record<string, number>>
  /** Upstream calls that were made, and the pieces in which the last one's answer came. */
  readonly attempts: number
  readonly chunks: number
  readonly isAbovePriceStep: boolean
  /** The slot of the worker that served it. */
  readonly worker: number
  readonly bodyBytes: number
  /** Codes, the first few. */
  readonly repairs: readonly string[]
  /** The model that the client named; left out where that one answered. */
  readonly modelAsked?: string
  /** Tool calls whose arguments did not come whole; left out where there was none, like the next. */
  readonly lostCalls?: number
  readonly failure?: FailureFacts
}

/** Why a request failed, as its log line says; each text is bounded. */
export interface FailureFacts {
  readonly reason: string
  readonly detail: string
  /** Status of the upstream's last answer; `null` without one, like the next. */
  readonly upstreamStatus: number | null
  readonly upstreamId: string | null
}

/** Caller without a named key. */
export type UnnamedKey = 'operator' | 'kiro' | 'anyone'

/** Total usage of requests. */
export interface UsageSums {
  readonly requests: number
  readonly failed: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cachedTokens: number
  /** Micro-credits. */
  readonly credits: number
}

/** State of a key. */
export interface KeyUsage {
  readonly id: string
  /** Name of a named key; else `UnnamedKey` again. */
  readonly name: string
  /** `null` without a limit of credits. */
  readonly credits: KeyCredits | null
  /** In UTC; `null` where nothing is recorded. */
  readonly today: UsageSums | null
  readonly last30Days: UsageSums | null
}

/** Amounts are micro-credits. */
export interface KeyCredits {
  readonly limit: number
  readonly period: CreditPeriod
  readonly used: number
  readonly reserved: number
  /** Epoch ms at which it starts anew; `null` for never. */
  readonly endsAt: number | null
  /** Why it may use nothing more for now; left out where the account book is sound. */
  readonly problem?: BookTrouble
}

/** As commands and clients name them, credits as people count them. */
export function namedSums(sums: UsageSums) {
  return {
    requests: sums.requests,
    failed: sums.failed,
    input_tokens: sums.inputTokens,
    output_tokens: sums.outputTokens,
    cached_tokens: sums.cachedTokens,
    credits: sums.credits / MICROS_PER_CREDIT
  }
}
