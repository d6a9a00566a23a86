import t from 'tap'
import { LeaseCore } from '../../src/admission/lease-core.ts'
import { nextLedger, openLedger } from '../../src/control/budget/ledger.ts'
import { ClusterRules } from '../helper/cluster-rules.ts'
import { rest } from '../helper/cluster-schedule.ts'
import { isNightly } from '../helper/nightly.ts'
import { seededRandom } from '../helper/seeded-random.ts'
import { type Member, SimulatedCluster } from '../helper/simulated-cluster.ts'

/** A client key and where its requests arrive: it always has `backlog` of them waiting or running. */
interface Client {
  readonly key: string
  readonly worker: number
  readonly backlog: number
}

interface Outcome {
  readonly served: Map<string, number>
  /** Longest wait of a request in ms, by key. */
  readonly longest: Map<string, number>
}

/** A request's time upstream, on average. */
const HOLD_MS = 4000
const CONNECTIONS = 12

/** Plays two workers under such clients for `minutes` of simulated time, after a warm-up of a quarter of it. */
function simulate(clients: readonly Client[], minutes: number, seed: number): Outcome {
  const size = {
    workers: 2,
    maxConnections: CONNECTIONS,
    maxKeepalive: CONNECTIONS,
    maxWaiting: 5000,
    maxRequestsPerMinute: null
  }
  const cluster = new SimulatedCluster({ LeaseCore, nextLedger, openLedger }, size)
  const rules = new ClusterRules(cluster)
  const random = seededRandom(seed)
  const workers = [...cluster.members.values()].filter(({ slot }) => slot !== 'control')
  const running: { readonly member: Member; readonly key: string; readonly endsAt: number }[] = []
  const served = new Map<string, number>()
  const longest = new Map<string, number>()
  const startsAt = cluster.now
  const endsAt = startsAt + minutes * 60_000
  const begin = (member: Member, key: string, at: number): void => {
    running.push({ member, key, endsAt: cluster.now + HOLD_MS * (0.5 + random()) })
    if (cluster.now < startsAt + (endsAt - startsAt) / 4) return
    served.set(key, (served.get(key) ?? 0) + 1)
    longest.set(key, Math.max(longest.get(key) ?? 0, cluster.now - at))
  }
  cluster.onIssue = (issue) => {
    rules.checkOrder(issue)
    begin(issue.member, issue.waiter.key, issue.waiter.at)
  }
  rest(cluster, rules)
  const ask = ({ key, worker }: Client): void => {
    const member = workers[worker] as Member
    const before = member.core.waiting
    cluster.acquire(member, key)
    if (member.core.waiting === before) begin(member, key, cluster.now)
  }
  for (const client of clients) for (let i = 0; i < client.backlog; i += 1) ask(client)
  rest(cluster, rules)
  while (cluster.now < endsAt) {
    running.sort((a, b) => a.endsAt - b.endsAt)
    const first = running.shift()
    if (first === undefined) throw new Error('nothing runs')
    cluster.now = Math.max(cluster.now, first.endsAt)
    cluster.release(first.member)
    const client = clients.find(({ key }) => key === first.key)
    if (client !== undefined) ask(client)
    rest(cluster, rules)
  }
  return { served, longest }
}

const greedy = { key: 'greedy', worker: 0, backlog: 500 }
const modest = (key: string) => ({ key, worker: 1, backlog: 20 })

t.test('client keys on different workers', (t) => {
  for (const seed of isNightly ? [1, 2, 3] : [1]) {
    t.test(`get equal shares, however much one of them asks for (seed ${seed})`, (t) => {
      for (const others of [
        [modest('b')],
        [modest('b'), modest('c')],
        ['b', 'c', 'd', 'e'].map(modest)
      ]) {
        const { served } = simulate([greedy, ...others], 20, seed)
        const all = [...served.values()].reduce((sum, one) => sum + one, 0)
        for (const [key, one] of served) {
          const share = (one / all) * served.size
          t.ok(share > 0.85 && share < 1.15, `${key} gets ${share.toFixed(2)} of its part`)
        }
      }
      t.end()
    })
    t.test(`one that asks for little hardly waits for a greedy one (seed ${seed})`, (t) => {
      const { longest, served } = simulate([greedy, { ...modest('little'), backlog: 1 }], 20, seed)
      const waited = longest.get('little') ?? Infinity
      t.ok(waited < HOLD_MS, `at most ${waited.toFixed(0)} ms, the other ${longest.get('greedy')}`)
      t.ok((served.get('little') ?? 0) > 150)
      t.end()
    })
  }
  t.end()
})

/** One request of 270 ms, and where it comes. */
interface Asked {
  readonly key: string
  readonly worker: number
}

/** Four connections, and all that is asked within 100 ms: when the last request of each key is over. */
function playOnce(asked: readonly Asked[], seed: number): ReadonlyMap<string, number> {
  const size = {
    workers: 2,
    maxConnections: 4,
    maxKeepalive: 4,
    maxWaiting: 1000,
    maxRequestsPerMinute: null
  }
  const cluster = new SimulatedCluster({ LeaseCore, nextLedger, openLedger }, size)
  const rules = new ClusterRules(cluster)
  const random = seededRandom(seed)
  const workers = [...cluster.members.values()].filter(({ slot }) => slot !== 'control')
  const running: { readonly member: Member; readonly key: string; readonly endsAt: number }[] = []
  const over = new Map<string, number>()
  const startsAt = cluster.now
  const begin = (member: Member, key: string): void => {
    running.push({ member, key, endsAt: cluster.now + 270 * (0.9 + random() / 5) })
  }
  cluster.onIssue = (issue) => {
    rules.checkOrder(issue)
    begin(issue.member, issue.waiter.key)
  }
  rest(cluster, rules)
  for (const { key, worker } of asked) {
    const member = workers[worker] as Member
    const before = member.core.waiting
    cluster.acquire(member, key)
    if (member.core.waiting === before) begin(member, key)
    cluster.now += random() * 2
    rest(cluster, rules)
  }
  while (running.length > 0) {
    running.sort((a, b) => a.endsAt - b.endsAt)
    const first = running.shift()
    if (first === undefined) break
    cluster.now = Math.max(cluster.now, first.endsAt)
    over.set(first.key, cluster.now - startsAt)
    cluster.release(first.member)
    rest(cluster, rules)
  }
  return over
}

/** When the few are over, as a part of the time that all take. The first worker has so much of all requests. */
function partOfTime(seed: number, share: number): number {
  const random = seededRandom(seed)
  const worker = (): number => (random() < share ? 0 : 1)
  const asked = Array.from({ length: 48 }, () => ({ key: 'many', worker: worker() }))
  for (let i = 0; i < 4; i += 1)
    asked.splice(Math.floor(random() * asked.length), 0, { key: 'few', worker: worker() })
  const over = playOnce(asked, seed)
  return (over.get('few') ?? Infinity) / (over.get('many') ?? 0)
}

t.test('four requests beside 48 of another key are over in their time', (t) => {
  for (const share of [0.5, 0.8]) {
    t.test(`where a worker has ${share * 100} % of all`, (t) => {
      const parts = Array.from({ length: 50 }, (_, seed) => partOfTime(seed + 1, share))
      const worst = Math.max(...parts)
      t.ok(worst < 0.45, `at the latest after ${worst.toFixed(2)} of the time of all`)
      t.end()
    })
  }
  t.end()
})
