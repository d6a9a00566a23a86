import type { ClientFacts } from './clients.ts'
import type { PoolCounts, PoolView } from './gateway-probe.ts'
import type { UpstreamFacts } from './upstream.ts'

/** Clients of one worker who ask for all that requests may have. */
export interface Crowd {
  readonly usable: number
  /** Of so many requests, those that came whole, and the most connections that they had at once. */
  readonly complete: number
  readonly atOnce: number
}

/** What one run has found. */
export interface Findings {
  readonly seed: number
  readonly seconds: number
  readonly workers: number
  readonly clients: number
  readonly tls: boolean
  readonly kills: number
  readonly resizes: number
  /** Those that came to their end. */
  readonly rollingRestarts: number
  /** The budget at the end. */
  readonly budget: number
  readonly maxKeepalive: number
  readonly upstream: UpstreamFacts
  readonly pool: PoolCounts
  readonly storm: ClientFacts
  readonly crowd: Crowd
  /** Requests in the calm after it, the first while all workers were replaced. */
  readonly replacing: ClientFacts
  readonly burst: ClientFacts
  /** Of each. */
  readonly burstSize: number
  /** At rest, as the gateway says, or when patience with it ran out: after the storm, and after many have left at once. */
  readonly rest: PoolView
  readonly restAfterLeavers: PoolView
  readonly closeWait: number
  /** Connections at the upstream when everything rested, and after the gateway had ended. */
  readonly openAtRest: number
  readonly openAfterExit: number
  readonly exitCode: number | null
  readonly longestSettleMs: number
  readonly longestWaitWhileFreeMs: number
  /** For which more permits were out than connections in use. */
  readonly longestLossMs: number
  /** Its stderr, and log lines of level error. */
  readonly gatewayErrors: readonly string[]
}
