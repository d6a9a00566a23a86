import type { BookTrouble } from './allowance.ts'
import { MICROS_PER_CREDIT, type CreditPeriod } from '../keys/key.ts'
import type { FailureFacts } from '../shared/failing.ts'

/** Figures of one completed request, never its text. Worker → primary, in batches. */
export interface UsageRow {
  readonly at: number
  /** Id of a named key, or an `UnnamedKey`. */
  readonly key: string
  readonly client: string
  readonly dialect: string
  /** Upstream's name; empty if the request was refused before it was known. */
  readonly model: string
  /** 499 if the client left. */
  readonly status: number
  readonly code: string
  readonly inputTokens: number
  readonly outputTokens: number
  /** Read from or written to the upstream's cache; not among `inputTokens`. */
  readonly cachedTokens: number
  /** Micro-credits. */
  readonly credits: number
  readonly metering?: Metering
  /** Whole ms, like `firstMs`. */
  readonly totalMs: number
  /** To the answer's first byte; `null` without one. */
  readonly firstMs: number | null
  readonly repairs: number
  /** Parts of `credits` charged to limits; missing without a limit. */
  readonly charges?: readonly RowCharge[]
  /** Missing if the worker died, and from other versions. */
  readonly turn?: TurnFacts
}

/**
 * Metered with the answer, `read on` for after the client's answer had ended, or `measured` by tokens and the learnt
 * price. With several calls, the last of these that fits one of them.
 */
export type Metering = 'metered' | 'read on' | 'measured'

/** Micro-credits. */
export interface RowCharge {
  readonly period: number
  readonly credits: number
}

/** For metrics and the dashboard; not recorded. */
export interface TurnFacts {
  readonly requestId: string
  readonly route: string
  readonly isStream: boolean
  readonly phaseMs: Readonly<Record<string, number>>
  /** Upstream calls, and chunks of the last answer. */
  readonly attempts: number
  readonly chunks: number
  readonly isAbovePriceStep: boolean
  readonly worker: number
  readonly bodyBytes: number
  readonly repairs: readonly string[]
  /** Missing if the model that the client named answered. */
  readonly modelAsked?: string
  /** Tool calls with incomplete arguments; missing if none, like `failure`. */
  readonly lostCalls?: number
  readonly failure?: FailureFacts
}

/** Names whoever asks without a named key. */
export const UNNAMED_KEYS = ['operator', 'kiro', 'anyone'] as const

export type UnnamedKey = (typeof UNNAMED_KEYS)[number]

export function isUnnamedKey(id: string): boolean {
  return UNNAMED_KEYS.some((one) => one === id)
}

export interface UsageSums {
  readonly requests: number
  readonly failed: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cachedTokens: number
  /** Micro-credits. */
  readonly credits: number
}

export interface KeyUsage {
  readonly id: string
  /** Or an `UnnamedKey`. */
  readonly name: string
  /** `null` without a limit of credits. */
  readonly credits: KeyCredits | null
  /** In UTC; `null` if nothing is recorded. */
  readonly today: UsageSums | null
  readonly last30Days: UsageSums | null
}

/** Micro-credits. */
export interface KeyCredits {
  readonly limit: number
  readonly period: CreditPeriod
  readonly used: number
  readonly reserved: number
  /** Epoch ms; `null` for never. */
  readonly endsAt: number | null
  /** Why nothing more may be used for now. */
  readonly problem?: BookTrouble
}

/** Names of commands and clients; credits in whole units. */
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
