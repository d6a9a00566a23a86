import t from 'tap'
import { LeaseCore } from '../../src/admission/lease-core.ts'
import { nextLedger, openLedger } from '../../src/control/budget/ledger.ts'
import { mostWithin } from '../helper/arrivals.ts'
import { rest } from '../helper/cluster-schedule.ts'
import { ClusterRules } from '../helper/cluster-rules.ts'
import { assert, check, property } from '../helper/fast-check.ts'
import { type Mutant, mutate } from '../helper/mutant.ts'
import { paceSchedules, playPaced } from '../helper/pace-schedule.ts'
import {
  CLUSTER_FILES,
  type Machines,
  type Member,
  SimulatedCluster
} from '../helper/simulated-cluster.ts'

t.setTimeout(300_000) // ten seconds alone, minutes on a busy machine

/** `npm run fuzz` plays as many as there is time for. */
const RUNS = 2000

t.test('UPSTREAM_MAX_REQUESTS_PER_MINUTE under any schedule', (t) => {
  const machines = { LeaseCore, nextLedger, openLedger }
  assert(
    property(paceSchedules, (schedule) => playPaced(machines, schedule)),
    { numRuns: RUNS }
  )
  t.end()
})

t.test('300 requests at once, 60 a minute', (t) => {
  // [worker, key, how many]: a greedy key everywhere, the other one beside it, or in a worker of its own.
  const crowds = {
    'one key in each worker': [
      [0, 'a', 150],
      [1, 'b', 150]
    ],
    'a greedy key in both workers': [
      [0, 'a', 150],
      [1, 'a', 50],
      [1, 'b', 100]
    ],
    'all in one worker': [
      [0, 'a', 200],
      [0, 'b', 100]
    ],
    'both keys in both workers': [
      [0, 'a', 100],
      [0, 'b', 20],
      [1, 'a', 90],
      [1, 'b', 90]
    ]
  } as const
  for (const [name, crowd] of Object.entries(crowds)) {
    t.test(name, async (t) => {
      const { arrivals, tookMs } = serve(crowd)
      t.equal(arrivals.length, 300)
      t.equal(mostWithin(arrivals, 60_000), 60)
      t.ok(tookMs < 4 * 61_000 + 200, `all served after ${tookMs} ms`)
      const inLine = { a: 0, b: 0 }
      for (const [, key, count] of crowd) inLine[key] += count
      for (let first = 0; first < 300; first += 60) {
        const minute = arrivals.slice(first, first + 60)
        const ofB = minute.filter(({ key }) => key === 'b').length
        const share = Math.min(30, inLine.b) + Math.max(0, 30 - inLine.a)
        // Before the second worker is heard of, the first has had some.
        const slack = first === 0 ? 12 : 1
        t.ok(Math.abs(ofB - share) <= slack, `${ofB} of b, its share is ${share}`)
        inLine.b -= ofB
        inLine.a -= 60 - ofB
      }
    })
  }
  t.end()
})

/** Lets a crowd come at once, and every request end as soon as it is sent. */
function serve(crowd: readonly (readonly [worker: number, key: string, count: number])[]) {
  const size = {
    workers: 2,
    maxConnections: 300,
    maxKeepalive: 150,
    maxWaiting: 1000,
    maxRequestsPerMinute: 60
  }
  const cluster = new SimulatedCluster({ LeaseCore, nextLedger, openLedger }, size)
  const rules = new ClusterRules(cluster)
  const arrivals: { readonly at: number; readonly key: string }[] = []
  const workers = [...cluster.members.values()].filter(({ slot }) => slot !== 'control')
  cluster.onIssue = (issue) => {
    rules.checkOrder(issue)
    arrivals.push({ at: cluster.now, key: issue.waiter.key })
  }
  const startedAt = cluster.now
  rest(cluster, rules)
  for (const [worker, key, count] of crowd)
    for (let i = 0; i < count; i += 1) cluster.acquire(workers[worker] as Member, key)
  for (let rounds = 0; arrivals.length < 300; rounds += 1) {
    if (rounds > 1000) throw new Error(`only ${arrivals.length} were served`)
    rest(cluster, rules)
    let moved = cluster.tick()
    for (const member of workers) {
      while (cluster.send(member, 'started')) moved = true
      while (member.core.held > 0) cluster.release(member)
    }
    if (!moved && cluster.wakeAt !== null) cluster.now = cluster.wakeAt
  }
  return { arrivals, tookMs: cluster.now - startedAt }
}

const mutants: readonly Mutant[] = [
  {
    story: 'starts that are out are forgotten',
    file: 'control/budget/pace.ts',
    from: `return granted - told.used - told.returned`,
    to: `return 0 * (granted - told.used - told.returned)`
  },
  {
    story: 'what a dead worker had is free again at once',
    file: 'control/budget/ledger.ts',
    from: `        sent = gone.sent\n`,
    to: ``
  },
  {
    story: 'no margin is left for what arrives late',
    file: 'control/budget/pace.ts',
    from: `now + window.ms + window.marginMs`,
    to: `now + window.ms`
  },
  {
    story: 'a start that was not used is kept although nobody waits',
    file: 'admission/lease-core.ts',
    from: `    if (this.isPaced) this.#starts.giveBack()\n`,
    to: ``
  },
  {
    story: 'a start that was given back counts as used, too',
    file: 'admission/gate.ts',
    from: `if (hasStart) this.#used += 1`,
    to: `if (hasStart) this.#returned += 1`
  },
  {
    story: 'a request goes as soon as it has a permit',
    file: 'admission/lease-core.ts',
    from: `if (hasStart && start === null) return null`,
    to: ``
  },
  {
    story: 'the start of a request that was never sent is lost',
    file: 'admission/lease-core.ts',
    from: `    if (isUnsent) this.#starts.unsent()\n`,
    to: ``
  },
  {
    story: 'nobody looks at the clock',
    file: 'control/budget/pace.ts',
    from: `return freeStarts > 0 || !hasWorkers ? null : (cooling[0]?.freeAt ?? null)`,
    to: `return hasWorkers || freeStarts > 0 ? null : (cooling[0]?.freeAt ?? null)`
  }
]

t.test('the property of the pace', (t) => {
  for (const mutant of mutants)
    t.test(`notices when ${mutant.story}`, async (t) => {
      const machines = (await mutate(t.testdir({}), mutant, CLUSTER_FILES)) as Machines
      const details = check(
        property(paceSchedules, (schedule) => playPaced(machines, schedule)),
        { numRuns: 2 * RUNS, seed: 1, endOnFailure: true }
      )
      t.equal(details.failed, true)
      t.comment(JSON.stringify(details.counterexample?.[0]?.steps))
    })
  t.end()
})
