import { type PaceWindow, startsOut } from '../../src/control/budget/pace.ts'
import { ClusterRules, must } from './cluster-rules.ts'
import { buryKilled, replace } from './cluster-schedule.ts'
import * as fc from './fast-check.ts'
import { type Machines, type Member, SimulatedCluster } from './simulated-cluster.ts'

/** A minute of the schedules, in ms. What is sent arrives up to `marginMs` later, whatever was sent before it. */
export const SHORT_MINUTE: PaceWindow = { ms: 600, marginMs: 20 }

type Key = 'a' | 'b' | 'c'

/** A step of a schedule, written so that a counter-example reads like a story. */
type Step = ClusterStep | MemberStep

type ClusterStep =
  | readonly ['all quiet']
  | readonly ['is replaced']
  | readonly ['last sockets vanish']
  | readonly ['timer fires']
  | readonly ['time passes', number]
  | readonly ['pace', number | null]
  | readonly ['connections', number]

/** The first number says which member, wrapped around. */
type MemberStep =
  | readonly ['acquire', number, Key]
  | readonly ['burst', number, number, Key]
  | readonly ['sends', number, number]
  | readonly ['ends' | 'gives up' | 'reports' | 'wakes' | 'drains' | 'is killed', number]
  | readonly ['gets a successor' | 'retires' | 'sends and is killed', number]
  | readonly ['abort' | 'socket closes' | 'report arrives' | 'grant arrives', number, number]
  | readonly ['pauses', number, number]

export interface PaceSchedule {
  readonly workers: number
  readonly maxConnections: number
  readonly maxWaiting: number
  readonly limit: number | null
  readonly steps: readonly Step[]
}

const who = fc.nat(4)
const nth = fc.nat(5)
const key = fc.constantFrom('a', 'b', 'c')
const limit = fc.integer({ min: 1, max: 8 })

const step = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant('acquire'), who, key) },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.constant('burst'), who, fc.integer({ min: 2, max: 9 }), key)
  },
  {
    weight: 9,
    arbitrary: fc.tuple(fc.constant('sends'), who, fc.nat(SHORT_MINUTE.marginMs))
  },
  { weight: 3, arbitrary: fc.tuple(fc.constant('ends'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('gives up'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('abort'), who, nth) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('socket closes'), who, nth) },
  { weight: 6, arbitrary: fc.tuple(fc.constant('reports'), who) },
  { weight: 6, arbitrary: fc.tuple(fc.constant('report arrives'), who, nth) },
  { weight: 6, arbitrary: fc.tuple(fc.constant('grant arrives'), who, nth) },
  { weight: 5, arbitrary: fc.tuple(fc.constant('all quiet')) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('timer fires')) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('wakes'), who) },
  { weight: 6, arbitrary: fc.tuple(fc.constant('time passes'), fc.integer({ min: 1, max: 400 })) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('pace'), fc.option(limit, { nil: null })) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('connections'), fc.integer({ min: 2, max: 12 })) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('is killed'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('sends and is killed'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('drains'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('gets a successor'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('retires'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('last sockets vanish')) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('is replaced')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('pauses'), who, fc.integer({ min: 1, max: 300 })) }
) as fc.Arbitrary<Step>

export const paceSchedules: fc.Arbitrary<PaceSchedule> = fc.record({
  workers: fc.integer({ min: 1, max: 3 }),
  maxConnections: fc.integer({ min: 2, max: 20 }),
  maxWaiting: fc.constantFrom(0, 5, 1000),
  limit: fc.option(limit, { nil: null, freq: 8 }),
  steps: fc.array(step, { maxLength: 60, size: 'max' })
})

interface Arrival {
  readonly at: number
  /** The pace in force when a start was granted last. */
  readonly allowed: number
}

/** A cluster, and an upstream that counts what arrives with a start. */
class PacedCluster extends SimulatedCluster {
  readonly arrivals: Arrival[] = []

  constructor(machines: Machines, { limit, ...size }: Omit<PaceSchedule, 'steps'>) {
    super(
      machines,
      { ...size, maxKeepalive: size.maxConnections, maxRequestsPerMinute: limit },
      SHORT_MINUTE
    )
  }

  arrive(member: Member, delayMs: number): boolean {
    const hasStart = member.unsent.started > 0
    if (!this.send(member, hasStart ? 'started' : 'plain')) return false
    if (hasStart) this.arrivals.push({ at: this.now + delayMs, allowed: this.paceAtGrant })
    return true
  }

  /** In no window more has arrived than the pace allowed when the last start of it was granted. */
  checkWindows(): void {
    const arrivals = this.arrivals.splice(0).toSorted((a, b) => a.at - b.at)
    let first = 0
    for (const [index, { at }] of arrivals.entries()) {
      while ((arrivals[first]?.at ?? at) <= at - SHORT_MINUTE.ms) first += 1
      const window = arrivals.slice(first, index + 1)
      const allowed = Math.max(...window.map((one) => one.allowed))
      must(
        window.length <= allowed,
        `${window.length} requests arrived within ${SHORT_MINUTE.ms} ms before ${at}, ${allowed} may`
      )
    }
  }
}

/** What must hold beside the rules of the budget, which hold here, too. */
class PaceRules extends ClusterRules {
  override check(): void {
    super.check()
    const { length } = this.cluster.state.cooling
    must(length <= 620, `${length} entries of starts are kept`)
  }

  /** When all messages have arrived and no timer is due: nobody waits for a start while one is free. */
  override checkAtRest(): void {
    const { state, members, size } = this.cluster
    for (const [name, { starts }] of state.entries) {
      const member = members.get(name)
      if (member === undefined || member.state === 'killed' || name === 'control') continue
      const out = startsOut(starts)
      if (size.maxRequestsPerMinute === null) continue
      must(
        out === member.unsent.started,
        `${out} starts are out in ${name}, which has ${member.unsent.started}`
      )
      const { core } = member
      const free = freeOf(this.cluster)
      const ready = Math.min(core.waiting, core.size - core.held)
      const isPaused = core.wakeAt !== null
      must(
        isPaused || ready === 0 || free === 0,
        `${ready} wait in ${name}, ${free} starts are free`
      )
    }
  }
}

function freeOf({ state, size }: SimulatedCluster): number {
  let free = size.maxRequestsPerMinute ?? Infinity
  for (const { count } of state.cooling) free -= count
  for (const { starts } of state.entries.values()) free -= startsOut(starts)
  return Math.max(0, free)
}

/** Plays a schedule and checks every rule on the way; then lets time pass until everybody was served. */
export function playPaced(machines: Machines, { steps, ...setting }: PaceSchedule): void {
  const cluster = new PacedCluster(machines, setting)
  const rules = new PaceRules(cluster)
  cluster.onFull = () => {}
  for (const step of steps) {
    take(cluster, step, rules)
    cluster.now += 1
    rules.check()
  }
  buryKilled(cluster)
  serveAll(cluster, rules)
  cluster.checkWindows()
}

function take(cluster: PacedCluster, step: Step, rules: PaceRules): void {
  const { size } = cluster
  if (step[0] === 'all quiet') rest(cluster, rules)
  else if (step[0] === 'time passes') cluster.now += step[1]
  else if (step[0] === 'last sockets vanish') buryKilled(cluster)
  else if (step[0] === 'is replaced') replace(cluster)
  else if (step[0] === 'timer fires') cluster.tick()
  else if (step[0] === 'pace') {
    if (step[1] === null) cluster.checkWindows() // without a pace nothing is remembered
    cluster.tell({ type: 'resize', size: { ...size, maxRequestsPerMinute: step[1] } })
  } else if (step[0] === 'connections') {
    cluster.tell({ type: 'resize', size: { ...size, maxConnections: step[1] } })
  } else {
    const all = [...cluster.members.values()].filter(({ slot }) => slot !== 'control')
    const member = all[step[1] % Math.max(1, all.length)]
    if (member !== undefined) takeAt(cluster, member, step)
  }
}

function takeAt(cluster: PacedCluster, member: Member, step: MemberStep): void {
  if (step[0] === 'report arrives') return void cluster.deliverReport(member, step[2])
  if (member.state === 'killed') {
    if (step[0] === 'socket closes') cluster.loseOrphan(member)
    return
  }
  switch (step[0]) {
    case 'acquire':
      return cluster.acquire(member, step[2])
    case 'burst':
      for (let i = 0; i < step[2]; i += 1) cluster.acquire(member, step[3])
      return
    case 'sends':
      return void cluster.arrive(member, step[2])
    case 'ends':
      return cluster.release(member)
    case 'gives up':
      return cluster.giveUp(member)
    case 'abort':
      return cluster.abort(member, step[2])
    case 'socket closes':
      return member.sockets.closeOne(step[2])
    case 'reports':
      return void cluster.report(member)
    case 'grant arrives':
      return void cluster.deliverGrant(member, step[2])
    case 'wakes':
      return void cluster.wake(member)
    case 'pauses':
      return member.core.pause(
        { opensAt: cluster.now + step[2], endsAt: cluster.now + step[2] * 1.25 },
        cluster.now
      )
    case 'gets a successor':
      return member.slot === 'control' ? undefined : cluster.join(member.slot)
    case 'retires':
      return cluster.retire(member)
    case 'drains':
      return cluster.drain(member)
    case 'sends and is killed':
      while (member.unsent.started > 0) cluster.arrive(member, 0) // and nobody hears of it
      return cluster.kill(member)
    case 'is killed':
      return cluster.kill(member)
  }
}

/** Everything under way arrives, what is due happens and every closing socket closes, until nothing moves any more. */
function rest(cluster: PacedCluster, rules: ClusterRules): void {
  for (let rounds = 0; ; rounds += 1) {
    if (rounds > 500) throw new Error('messages go round and round')
    let moved = cluster.tick()
    for (const member of cluster.members.values()) {
      if (cluster.wake(member)) moved = true
      for (; member.state !== 'killed' && member.sockets.closing > 0; moved = true)
        member.sockets.closeOne(0)
      while (cluster.report(member) || cluster.deliverReport(member, 0)) moved = true
      while (cluster.deliverGrant(member, 0)) moved = true
    }
    rules.check()
    if (!moved) break
  }
  rules.checkAtRest()
}

/** Whoever waits is served, a window after the other. */
function serveAll(cluster: PacedCluster, rules: ClusterRules): void {
  rest(cluster, rules)
  for (let rounds = 0; rounds < 4000; rounds += 1) {
    const busy = [...cluster.members.values()].filter((member) => member.core.held > 0)
    const waits = [...cluster.members.values()].some((member) => member.waiting.length > 0)
    if (busy.length === 0 && !waits) return
    const due = [cluster.wakeAt, ...[...cluster.members.values()].map(({ core }) => core.wakeAt)]
    const next = Math.min(...due.filter((at) => at !== null))
    cluster.now =
      busy.length > 0 || next === Infinity ? cluster.now + 1 : Math.max(next, cluster.now)
    for (const member of busy) {
      cluster.arrive(member, 0)
      cluster.release(member)
    }
    rest(cluster, rules)
  }
  throw new Error('somebody waits for ever')
}
