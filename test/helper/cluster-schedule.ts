import { ClusterRules, PromptRules } from './cluster-rules.ts'
import * as fc from './fast-check.ts'
import { type Machines, type Member, SimulatedCluster } from './simulated-cluster.ts'

/** A step of a schedule, written so that a counter-example reads like a story. */
export type Step = ClusterStep | MemberStep

type ClusterStep =
  | readonly ['all quiet']
  | readonly ['last sockets vanish']
  | readonly ['is replaced']
  | readonly ['time passes', number]
  | readonly ['resize', number | null, number]

/** The first number says which member, wrapped around. */
type MemberStep =
  | readonly ['acquire', number, 'a' | 'b' | 'c']
  | readonly ['burst', number, number]
  | readonly ['release' | 'abort' | 'socket closes', number, number]
  | readonly ['socket expires' | 'reports' | 'drains' | 'is killed', number]
  | readonly ['gets a successor' | 'retires', number]
  | readonly ['report arrives' | 'grant arrives', number, number]

export interface Schedule {
  readonly workers: number
  readonly maxConnections: number
  readonly maxWaiting: number
  readonly oneKey: boolean
  readonly steps: readonly Step[]
}

const who = fc.nat(4)
const nth = fc.nat(5)
const connections = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 2, max: 12 }) },
  { weight: 2, arbitrary: fc.integer({ min: 16, max: 70 }) }
)

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constant('acquire'), who, fc.constantFrom('a', 'b', 'c')) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('burst'), who, fc.integer({ min: 2, max: 70 })) },
  { weight: 6, arbitrary: fc.tuple(fc.constant('release'), who, nth) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('abort'), who, nth) },
  { weight: 5, arbitrary: fc.tuple(fc.constant('socket closes'), who, nth) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('socket expires'), who) },
  { weight: 5, arbitrary: fc.tuple(fc.constant('reports'), who) },
  { weight: 5, arbitrary: fc.tuple(fc.constant('report arrives'), who, nth) },
  { weight: 5, arbitrary: fc.tuple(fc.constant('grant arrives'), who, nth) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('all quiet')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('is killed'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('drains'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('gets a successor'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('retires'), who) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('last sockets vanish')) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('is replaced')) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('time passes'), fc.integer({ min: 1, max: 200 })) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('resize'), connections, fc.nat(40)) }
) as fc.Arbitrary<Step>

export const schedules: fc.Arbitrary<Schedule> = fc.record({
  workers: fc.integer({ min: 1, max: 4 }),
  maxConnections: connections,
  maxWaiting: fc.constantFrom(2, 5, 64, 100, 1000),
  oneKey: fc.boolean(),
  steps: fc.array(step, { maxLength: 80, size: 'max' })
})

/** Plays a schedule and checks every rule on the way; then lets everything come to rest and checks that. */
export function play(machines: Machines, schedule: Schedule): void {
  const { workers, maxConnections, maxWaiting, steps } = schedule
  const maxKeepalive = Math.ceil(maxConnections / 2)
  const size = { workers, maxConnections, maxKeepalive, maxWaiting, maxRequestsPerMinute: null }
  const cluster = new SimulatedCluster(machines, size)
  cluster.hasOneKey = schedule.oneKey
  const rules = new ClusterRules(cluster)
  rules.check()
  for (const step of steps) {
    take(cluster, step, rules)
    cluster.now += 1
    rules.check()
  }
  rest(cluster, rules)
  rules.checkAtRest()
  finish(cluster, rules)
  rules.checkAllBack()
}

/**
 * Plays a schedule in a cluster whose messages and sockets are faster than its clients: there the order of
 * service over all workers, the bound of the queue and "no waiter beside something free" hold at every step.
 */
export function playPromptly(machines: Machines, schedule: Schedule): void {
  const { workers, maxConnections, maxWaiting, steps } = schedule
  const maxKeepalive = maxConnections
  const size = { workers, maxConnections, maxKeepalive, maxWaiting, maxRequestsPerMinute: null }
  const cluster = new SimulatedCluster(machines, size)
  cluster.hasOneKey = schedule.oneKey
  const rules = new PromptRules(cluster)
  rest(cluster, rules)
  for (const step of steps) {
    rules.beforeStep()
    take(cluster, step, rules)
    rest(cluster, rules)
    cluster.now += 1
    rules.checkAtRest()
  }
}

function take(cluster: SimulatedCluster, step: Step, rules: ClusterRules): void {
  if (step[0] === 'all quiet') rest(cluster, rules)
  else if (step[0] === 'time passes') cluster.now += step[1]
  else if (step[0] === 'last sockets vanish') buryKilled(cluster)
  else if (step[0] === 'is replaced') replace(cluster)
  else if (step[0] === 'resize') {
    const [, maxConnections, maxKeepalive] = step
    cluster.tell({ type: 'resize', size: { ...cluster.size, maxConnections, maxKeepalive } })
  } else {
    const all = [...cluster.members.values()]
    takeAt(cluster, all[step[1] % all.length] as Member, step)
  }
}

function takeAt(cluster: SimulatedCluster, member: Member, step: MemberStep): void {
  if (step[0] === 'report arrives') return void cluster.deliverReport(member, step[2])
  if (member.state === 'killed') {
    if (step[0] === 'socket closes') cluster.loseOrphan(member)
    return
  }
  switch (step[0]) {
    case 'acquire':
      return cluster.acquire(member, step[2])
    case 'burst':
      for (let i = 0; i < step[2]; i += 1) cluster.acquire(member, 'a')
      return
    case 'release':
      return cluster.release(member)
    case 'abort':
      return cluster.abort(member, step[2])
    case 'socket closes':
      return member.sockets.closeOne(step[2])
    case 'socket expires':
      return member.sockets.expireOne()
    case 'reports':
      return void cluster.report(member)
    case 'grant arrives':
      return void cluster.deliverGrant(member, step[2])
    case 'gets a successor':
      return member.slot === 'control' ? undefined : cluster.join(member.slot)
    case 'retires':
      return member.slot === 'control' ? undefined : cluster.retire(member)
    case 'drains':
      return member.slot === 'control' ? undefined : cluster.drain(member)
    case 'is killed':
      return member.slot === 'control' ? undefined : cluster.kill(member)
  }
}

/** Everything under way arrives and every closing socket closes, until nothing moves any more. */
export function rest(cluster: SimulatedCluster, rules: ClusterRules): void {
  for (let rounds = 0; ; rounds += 1) {
    if (rounds > 500) throw new Error('messages go round and round')
    let moved = false
    for (const member of cluster.members.values()) {
      for (; member.state !== 'killed' && member.sockets.closing > 0; moved = true)
        member.sockets.closeOne(0)
      while (cluster.report(member) || cluster.deliverReport(member, 0)) moved = true
      while (cluster.deliverGrant(member, 0)) moved = true
    }
    rules.check()
    if (!moved) return
  }
}

export function buryKilled(cluster: SimulatedCluster): void {
  for (const member of cluster.members.values())
    if (member.state === 'killed') cluster.leave(member)
}

/** Every slot without a running worker gets a new one. */
export function replace(cluster: SimulatedCluster): void {
  const running = [...cluster.members.values()].filter(({ state }) => state === 'running')
  for (let slot = 0; slot < cluster.size.workers; slot += 1)
    if (!running.some((member) => member.slot === slot)) cluster.join(slot)
}

/** Every request ends; those who waited are served on the way, or never. */
function finish(cluster: SimulatedCluster, rules: ClusterRules): void {
  buryKilled(cluster)
  rest(cluster, rules)
  for (let rounds = 0; rounds < 2000; rounds += 1) {
    const busy = [...cluster.members.values()].filter(({ core }) => core.held > 0)
    if (busy.length === 0) return
    for (const member of busy) {
      cluster.now += 1
      cluster.release(member)
    }
    rest(cluster, rules)
  }
}
