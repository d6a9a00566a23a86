import type { Findings } from './findings.ts'
import type { PoolView } from './gateway-probe.ts'
import { sortedJson } from './sorted-json.ts'
import { violationsOf } from './violations.ts'

type Line = readonly [name: string, value: string | number]

/** The whole report, for people. */
export function reportText(found: Findings): string {
  const violations = violationsOf(found)
  const lines = [...runLines(found), ...connectionLines(found), ...requestLines(found)]
  const verdict = violations.length === 0 ? 'none' : violations.length
  const table = [...lines, ['violations', verdict] as const].map(
    ([name, value]) => `${name.padEnd(34)}${value}`
  )
  return [...table, ...violations.slice(0, 20).map((each) => `VIOLATION ${each}`), ''].join('\n')
}

function runLines(found: Findings): readonly Line[] {
  const { upstream, workers, clients, tls } = found
  const wire = tls ? 'over TLS' : 'without TLS'
  return [
    ['seed', found.seed],
    ['ran', `${found.seconds} s, ${workers} workers, ${clients} clients, ${wire}`],
    [
      'kills, resizes, rolling restarts',
      `${found.kills}, ${found.resizes}, ${found.rollingRestarts}`
    ],
    ['upstream calls', `${upstream.requests}, and ${upstream.controlCalls} of the primary's own`],
    ['upstream did', sortedJson(upstream.faults)]
  ]
}

function connectionLines({ upstream, pool, tls, longestSettleMs }: Findings): readonly Line[] {
  const { handshakes, resumed } = upstream
  return [
    ['max connections seen', `${upstream.maxOpen} (over budget: ${upstream.overBudget.length})`],
    ['accepts explained by late resets', upstream.lateNews],
    [
      'max idle',
      `${upstream.maxIdle} at any moment, ${upstream.maxSettledIdle} for over 100 ms (too many for ${Math.round(upstream.longestIdleExcessMs)} ms: ${sortedJson(upstream.worstIdle)})`
    ],
    [
      'connections accepted',
      `${upstream.accepted}, ${percent(upstream.reused, upstream.served)} of the calls came on one that was there`
    ],
    ...(tls
      ? ([
          ['TLS handshakes', `${handshakes}, ${percent(resumed, handshakes)} resumed a session`]
        ] as const)
      : []),
    ['gateway opened, reused', `${pool.opened}, ${pool.reused}`],
    ['gateway closed, by reason', sortedJson(pool.closed)],
    ['longest half-closed', `${Math.round(upstream.slowestFinMs)} ms`],
    ['longest shrink', `${Math.round(longestSettleMs)} ms`]
  ]
}

function requestLines(found: Findings): readonly Line[] {
  const { storm, rest, restAfterLeavers, budget, upstream } = found
  return [
    ['client requests', storm.requests],
    ['outcomes', sortedJson(storm.outcomes)],
    ['longest to first byte', `${Math.round(storm.longestFirstByteMs)} ms`],
    ['longest wait while free', `${Math.round(found.longestWaitWhileFreeMs)} ms`],
    ['longest with a permit unaccounted', `${Math.round(found.longestLossMs)} ms`],
    ['permits out, waiting, leased', `${restText(rest)} of ${budget} after the storm`],
    ['the same after many have left', `${restText(restAfterLeavers)} of ${budget}`],
    ['connections at rest, after exit', `${found.openAtRest}, ${found.openAfterExit}`],
    ['CLOSE_WAIT at rest', found.closeWait],
    [
      'all clients on one worker',
      `${found.crowd.complete} of ${found.crowd.usable} streams complete, ${found.crowd.atOnce} connections in use at once`
    ],
    ['burst while workers are replaced', sortedJson(found.replacing.outcomes)],
    ['burst at the end', sortedJson(found.burst.outcomes)],
    ['slowest sample', `${Math.round(upstream.slowestSampleMs)} ms instead of 10`]
  ]
}

function restText({ permitsOut, waiting, leased }: PoolView): string {
  return `${permitsOut}, ${waiting}, ${leased}`
}

function percent(part: number, whole: number): string {
  return whole === 0 ? 'none' : `${((100 * part) / whole).toFixed(1)} %`
}
