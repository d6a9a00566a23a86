import type { Findings } from './findings.ts'
import type { PoolView } from './gateway-probe.ts'
import { sortedJson } from './sorted-json.ts'

/**
 * Nobody may wait this long while a permit lies unused, which is looked at five times a second. A wake-up that is lost
 * lasts until the request gives up; on a machine where other tests run, the CPU alone takes up to 0.8 s.
 */
const MAX_WAIT_WHILE_FREE_MS = 1_500
/** What idles too much may do so for this long after it should have settled. */
const MAX_IDLE_EXCESS_MS = 1000
/** A connect may take its time, and its request has a permit; one that is lost never comes back. */
const MAX_LOSS_MS = 4000
/** A half-closed idle connection must be let go; milliseconds are usual. */
const MAX_FIN_MS = 5000

type Check = readonly [holds: boolean, sentence: string]

/** Each figure that must hold and does not, as a sentence. */
export function violationsOf(found: Findings): readonly string[] {
  const checks = [...inTheStorm(found), ...atRest(found), ...atTheEnd(found)]
  const broken = checks.filter(([holds]) => !holds).map(([, sentence]) => sentence)
  const { storm, replacing, burst } = found
  const seen = [storm, replacing, burst].flatMap(({ violations }) => violations)
  return [...broken, ...seen, ...found.gatewayErrors]
}

function inTheStorm(found: Findings): readonly Check[] {
  const { upstream, storm, longestWaitWhileFreeMs, longestLossMs } = found
  const { overBudget, longestIdleExcessMs, worstIdle, slowestFinMs } = upstream
  // A machine that keeps us waiting for the CPU keeps the gateway waiting, too.
  const { slowestSampleMs: busyMs } = upstream
  return [
    [overBudget.length === 0, `more connections than the budget: ${sortedJson(overBudget)}`],
    [
      longestIdleExcessMs <= MAX_IDLE_EXCESS_MS + busyMs,
      `more idle connections than allowed for ${Math.round(longestIdleExcessMs)} ms: ${sortedJson(worstIdle)}`
    ],
    [
      longestWaitWhileFreeMs <= MAX_WAIT_WHILE_FREE_MS + busyMs,
      `somebody waited ${Math.round(longestWaitWhileFreeMs)} ms while a permit was unused`
    ],
    [
      longestLossMs <= MAX_LOSS_MS + busyMs,
      `for ${Math.round(longestLossMs)} ms more permits were out than connections in use`
    ],
    [upstream.mixed.length === 0, `requests had words of others: ${upstream.mixed.join('; ')}`],
    [
      slowestFinMs <= MAX_FIN_MS + busyMs,
      `a half-closed connection stayed ${Math.round(slowestFinMs)} ms`
    ],
    [(storm.outcomes['complete'] ?? 0) > 0, 'no request was answered']
  ]
}

function atRest(found: Findings): readonly Check[] {
  const { rest, restAfterLeavers, maxKeepalive, openAtRest, closeWait } = found
  return [
    ...restChecks(rest, found.budget),
    ...restChecks(restAfterLeavers, found.budget),
    [openAtRest <= maxKeepalive, `${openAtRest} connections at rest, ${maxKeepalive} may idle`],
    [openAtRest > 0, 'no connection was kept for reuse'],
    [closeWait === 0, `${closeWait} sockets of the gateway are in CLOSE_WAIT at rest`]
  ]
}

function restChecks({ permitsOut, waiting, leased }: PoolView, budget: number): readonly Check[] {
  return [
    [permitsOut === 0, `${permitsOut} permits are out at rest`],
    [waiting === 0, `${waiting} requests wait at rest`],
    [leased === budget, `leases at rest add up to ${leased}, the budget is ${budget}`]
  ]
}

function atTheEnd(found: Findings): readonly Check[] {
  const { crowd, replacing, burst, burstSize, rollingRestarts, openAfterExit, exitCode } = found
  return [
    [
      crowd.complete === crowd.usable,
      `of ${crowd.usable} streams of one worker ${crowd.complete} complete`
    ],
    [
      crowd.atOnce >= crowd.usable,
      `one worker had ${crowd.atOnce} connections at once, ${crowd.usable} were free`
    ],
    [
      replacing.outcomes['complete'] === burstSize,
      `of ${burstSize} calm requests while workers were replaced: ${sortedJson(replacing.outcomes)}`
    ],
    [rollingRestarts > 0, 'the workers were never replaced'],
    [
      burst.outcomes['complete'] === burstSize,
      `of ${burstSize} calm requests: ${sortedJson(burst.outcomes)}`
    ],
    [openAfterExit === 0, `${openAfterExit} connections outlived the gateway`],
    [exitCode === 0, `the gateway ended with ${exitCode}`]
  ]
}
