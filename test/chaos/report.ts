import type { ClientFacts } from './clients.ts'
import type { PoolView } from './gateway-probe.ts'
import type { UpstreamFacts } from './upstream.ts'

/** What one run has found. */
export interface Findings {
  readonly seed: number
  readonly seconds: number
  readonly workers: number
  readonly clients: number
  readonly kills: number
  readonly resizes: number
  /** The budget at the end. */
  readonly budget: number
  readonly maxKeepalive: number
  readonly upstream: UpstreamFacts
  readonly storm: ClientFacts
  readonly burst: ClientFacts
  readonly burstSize: number
  /** At rest, as the gateway says, or when patience with it ran out. */
  readonly rest: PoolView
  readonly closeWait: number
  /** Connections at the upstream when everything rested, and after the gateway had ended. */
  readonly openAtRest: number
  readonly openAfterExit: number
  readonly exitCode: number | null
  readonly longestSettleMs: number
  readonly longestWaitWhileFreeMs: number
  /** Its stderr, and log lines of level error. */
  readonly gatewayErrors: readonly string[]
}

/** Nobody may wait this long while a permit lies unused; it is looked at five times a second on a busy machine. */
const MAX_WAIT_WHILE_FREE_MS = 1200
/** A half-closed idle connection must be let go; milliseconds are usual. */
const MAX_FIN_MS = 5000

/** Each figure that must hold and does not, as a sentence. */
export function violationsOf(found: Findings): readonly string[] {
  const { upstream, storm, burst, burstSize, rest, budget, maxKeepalive } = found
  const checks: readonly (readonly [boolean, string])[] = [
    [
      upstream.overBudget.length === 0,
      `more connections than the budget: ${text(upstream.overBudget)}`
    ],
    [
      upstream.overIdle.length === 0,
      `more idle connections than allowed: ${text(upstream.overIdle)}`
    ],
    [rest.permitsOut === 0, `${rest.permitsOut} permits are out at rest`],
    [rest.waiting === 0, `${rest.waiting} requests wait at rest`],
    [rest.leased === budget, `leases at rest add up to ${rest.leased}, the budget is ${budget}`],
    [
      found.openAtRest <= maxKeepalive,
      `${found.openAtRest} connections at rest, ${maxKeepalive} may idle`
    ],
    [found.openAtRest > 0, 'no connection was kept for reuse'],
    [found.closeWait === 0, `${found.closeWait} sockets of the gateway are in CLOSE_WAIT at rest`],
    [found.openAfterExit === 0, `${found.openAfterExit} connections outlived the gateway`],
    [found.exitCode === 0, `the gateway ended with ${found.exitCode}`],
    [
      burst.outcomes['complete'] === burstSize,
      `of ${burstSize} calm requests: ${text(burst.outcomes)}`
    ],
    [
      found.longestWaitWhileFreeMs <= MAX_WAIT_WHILE_FREE_MS,
      `somebody waited ${found.longestWaitWhileFreeMs} ms while a permit was unused`
    ],
    [
      upstream.slowestFinMs <= MAX_FIN_MS,
      `a half-closed connection stayed ${upstream.slowestFinMs} ms`
    ],
    [(storm.outcomes['complete'] ?? 0) > 0, 'no request was answered']
  ]
  const broken = checks.filter(([holds]) => !holds).map(([, sentence]) => sentence)
  return [...broken, ...storm.violations, ...found.gatewayErrors]
}

/** The whole report, for people. */
export function reportText(found: Findings): string {
  const { upstream, storm, rest } = found
  const violations = violationsOf(found)
  const lines: readonly (readonly [string, string | number])[] = [
    ['seed', found.seed],
    ['ran', `${found.seconds} s, ${found.workers} workers, ${found.clients} clients`],
    ['workers killed, resizes', `${found.kills}, ${found.resizes}`],
    ['upstream calls', `${upstream.requests}, and ${upstream.controlCalls} of the primary's own`],
    ['upstream did', text(upstream.faults)],
    ['connections accepted', upstream.accepted],
    ['max connections seen', `${upstream.maxOpen} (over budget: ${upstream.overBudget.length})`],
    ['accepts explained by late resets', upstream.lateNews],
    [
      'max idle',
      `${upstream.maxIdle} at any moment, ${upstream.maxSettledIdle} for over 100 ms (too many: ${upstream.overIdle.length}, late: ${upstream.slowSamples} samples)`
    ],
    ['longest half-closed', `${Math.round(upstream.slowestFinMs)} ms`],
    ['longest shrink', `${Math.round(found.longestSettleMs)} ms`],
    ['client requests', storm.requests],
    ['outcomes', text(storm.outcomes)],
    ['longest to first byte', `${Math.round(storm.longestFirstByteMs)} ms`],
    ['longest wait while free', `${Math.round(found.longestWaitWhileFreeMs)} ms`],
    [
      'permits out, waiting, leased',
      `${rest.permitsOut}, ${rest.waiting}, ${rest.leased} of ${found.budget}`
    ],
    ['connections at rest, after exit', `${found.openAtRest}, ${found.openAfterExit}`],
    ['CLOSE_WAIT at rest', found.closeWait],
    ['burst at the end', text(found.burst.outcomes)],
    ['violations', violations.length === 0 ? 'none' : violations.length]
  ]
  const table = lines.map(([name, value]) => `${name.padEnd(34)}${value}`)
  return [...table, ...violations.slice(0, 20).map((each) => `VIOLATION ${each}`), ''].join('\n')
}

function text(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => a.localeCompare(b)))
      : inner
  )
}
