import t from 'tap'
import type { Findings } from './findings.ts'
import { reportText } from './report.ts'
import { violationsOf } from './violations.ts'

const clients = { requests: 9, outcomes: { complete: 9 }, violations: [], longestFirstByteMs: 12 }
const good: Findings = {
  seed: 42,
  seconds: 30,
  workers: 2,
  clients: 500,
  tls: false,
  kills: 3,
  resizes: 2,
  rollingRestarts: 1,
  budget: 20,
  maxKeepalive: 10,
  upstream: {
    open: 0,
    idle: 0,
    accepted: 100,
    served: 10,
    reused: 9,
    ceilings: { connections: 20, idle: 10 },
    maxOpen: 20,
    maxIdle: 12,
    maxSettledIdle: 10,
    overBudget: [],
    longestIdleExcessMs: 0,
    worstIdle: null,
    slowestSampleMs: 12,
    lateNews: 1,
    slowestFinMs: 3,
    recentlyUsed: 0,
    port: 1,
    requests: 9,
    controlCalls: 1,
    mixed: [],
    handshakes: 4,
    resumed: 3,
    faults: { status: 1 }
  },
  pool: { opened: 100, reused: 9, closed: { expired: 1 } },
  storm: clients,
  burst: { ...clients, outcomes: { complete: 60 } },
  crowd: { usable: 38, complete: 38, atOnce: 38 },
  replacing: { ...clients, outcomes: { complete: 60 } },
  burstSize: 60,
  rest: { permitsOut: 0, waiting: 0, leased: 20, leaving: 0 },
  restAfterLeavers: { permitsOut: 0, waiting: 0, leased: 20, leaving: 0 },
  closeWait: 0,
  openAtRest: 10,
  openAfterExit: 0,
  exitCode: 0,
  longestSettleMs: 100,
  longestWaitWhileFreeMs: 0,
  longestLossMs: 0,
  gatewayErrors: []
}
const excess = [{ counted: 21, confirmed: 21, ceiling: 20 }]

t.test('violationsOf()', (t) => {
  t.test('finds nothing in a good run', async (t) => {
    t.same(violationsOf(good), [])
    t.match(reportText(good), /^seed +42\n/)
    t.match(reportText(good), /\nviolations +none\n/)
    t.match(reportText(good), /\nconnections accepted +100, 90.0 % of/)
    t.notMatch(reportText(good), /handshakes/)
    t.match(reportText({ ...good, tls: true }), /\nTLS handshakes +4, 75.0 % resumed/)
  })

  t.test('finds each figure that does not hold', async (t) => {
    const { upstream, storm, burst, rest } = good
    const bad: readonly Partial<Findings>[] = [
      { upstream: { ...upstream, overBudget: excess } },
      { upstream: { ...upstream, longestIdleExcessMs: 1013 } },
      { upstream: { ...upstream, slowestFinMs: 5013 } },
      { rest: { ...rest, permitsOut: 1 } },
      { restAfterLeavers: { ...rest, permitsOut: 1 } },
      { rest: { ...rest, waiting: 1 } },
      { rest: { ...rest, leased: 19 } },
      { rest: { ...rest, leased: 21 } },
      { openAtRest: 11 },
      { openAtRest: 0 },
      { closeWait: 1 },
      { openAfterExit: 1 },
      { exitCode: null },
      { exitCode: 1 },
      { burst: { ...burst, outcomes: { complete: 59, cut: 1 } } },
      { longestWaitWhileFreeMs: 1_513 },
      { storm: { ...storm, outcomes: {} } },
      { storm: { ...storm, violations: ['hung'] } },
      { replacing: { ...burst, outcomes: { complete: 59 } } },
      { replacing: { ...burst, violations: ['hung'] } },
      { rollingRestarts: 0 },
      { longestLossMs: 4013 },
      { crowd: { usable: 38, complete: 37, atOnce: 38 } },
      { crowd: { usable: 38, complete: 38, atOnce: 37 } },
      { burst: { ...burst, violations: ['hung'] } },
      { gatewayErrors: ['a bug'] }
    ]
    for (const changes of bad) {
      const found = { ...good, ...changes }
      t.equal(violationsOf(found).length, 1, JSON.stringify(changes))
      t.match(reportText(found), /\nVIOLATION /)
    }
  })
  t.end()
})
