import t from 'tap'
import { LeaseCore } from '../../src/admission/lease-core.ts'
import { nextLedger, openLedger } from '../../src/control/budget/ledger.ts'
import { ClusterRules } from '../helper/cluster-rules.ts'
import { rest } from '../helper/cluster-schedule.ts'
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
  for (const seed of [1, 2, 3]) {
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
