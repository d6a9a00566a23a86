import { leaseOf, reserveOf } from '../../src/control/budget/ledger-entry.ts'
import { MAX_CALLS_WAITING } from '../../src/control/budget/ledger-grants.ts'
import { LedgerView } from '../../src/control/budget/ledger-view.ts'
import { HEADS_TOLD } from '../../src/ipc/service-order.ts'
import type { Issue, Member, SimulatedCluster } from './simulated-cluster.ts'

/** What must hold after every single step of a cluster; throws with a sentence if it does not. */
export class ClusterRules {
  readonly cluster: SimulatedCluster
  #leasedBefore = Infinity
  #streamsBefore = Infinity

  constructor(cluster: SimulatedCluster) {
    this.cluster = cluster
    cluster.onIssue = (issue) => this.checkOrder(issue)
    cluster.onFull = (member) => {
      if (member.slot !== 'control') return this.checkFull()
      const { length } = member.waiting
      must(length >= MAX_CALLS_WAITING, `a call of the primary was refused, ${length} waited`)
    }
  }

  check(): void {
    const { state, members, size } = this.cluster
    let leased = 0
    let streams = 0
    let keepAlive = 0
    for (const [name, entry] of state.entries) {
      leased += leaseOf(entry)
      if (entry.slot !== 'control') streams += leaseOf(entry)
      if (!entry.hasStopped) keepAlive += entry.grant?.keepAlive ?? 0
      const member = members.get(name)
      if (member !== undefined) checkMember(member, leaseOf(entry))
    }
    const open = [...members.values()].reduce((sum, { sockets }) => sum + sockets.open, 0)
    must(open <= leased, `${open} sockets are open, ${leased} permits leased`)
    const max = size.maxConnections ?? Infinity
    must(leased <= Math.max(max, this.#leasedBefore), `${leased} permits leased of ${max}`)
    const forStreams = max - reserveOf(size)
    must(
      streams <= Math.max(forStreams, this.#streamsBefore),
      `streams have ${streams} of ${forStreams}, the reserve is touched`
    )
    must(keepAlive <= (size.maxKeepalive ?? Infinity), `${keepAlive} may idle`)
    this.#leasedBefore = leased
    this.#streamsBefore = streams
  }

  /** First come, first served inside a key. */
  checkOrder({ member, waiter }: Issue): void {
    const first = member.waiting.find(({ key }) => key === waiter.key)
    must(first?.id === waiter.id, `${waiter.id} was served before ${first?.id}, which came first`)
  }

  /** With messages under way, a request may be refused for a wait that has ended elsewhere. */
  checkFull(): void {}

  /** When all messages have arrived: nobody waits beside something free, and the bound of the queue holds. */
  checkAtRest(): void {
    const { state, members, size } = this.cluster
    const waiting = [...members.values()].reduce((sum, member) => sum + member.waiting.length, 0)
    for (const [name, entry] of state.entries) {
      const member = members.get(name)
      if (member === undefined || member.state === 'killed') continue
      const { core } = member
      must(core.size === leaseOf(entry), `${name} has ${core.size}, the ledger ${leaseOf(entry)}`)
      if (entry.isRetiring)
        must(core.size === core.held, `${name} retires and keeps ${core.size - core.held} idle`)
      const idle = core.size - core.held - (entry.slot === 'control' ? reserveOf(size) : 0)
      must(waiting === 0 || idle <= 0, `${waiting} wait and ${name} has ${idle} idle`)
    }
    const free = new LedgerView(size, state.entries).free
    must(waiting === 0 || free <= 0, `${waiting} wait and ${free} are free`)
    const requests = requestsWaiting(members.values())
    must(requests <= size.maxWaiting, `${requests} wait, ${size.maxWaiting} may`)
  }

  /** When all work is done: every permit is accounted for. */
  checkAllBack(): void {
    const { state, members, size } = this.cluster
    let held = 0
    for (const { core, waiting } of members.values()) {
      held += core.held
      must(waiting.length === 0, `${waiting.length} wait for ever`)
    }
    must(held === 0, `${held} permits are out`)
    const unleased = new LedgerView(size, state.entries).unleased
    must(unleased >= 0, `${-unleased} permits too many are leased at rest`)
    for (const [name, entry] of state.entries) {
      const lease = leaseOf(entry)
      must(!entry.isRetiring || lease === 0, `${name} retires and keeps ${lease} at rest`)
    }
  }
}

/** How much older than who is served another waiter of its key may be: the tolerance, and what is not reported. */
function slackMs(waitMs: number): number {
  return Math.max(50, waitMs / 4) + 2 * 25 + 2
}

/** What holds in addition where every message arrives before the next step. */
export class PromptRules extends ClusterRules {
  #isOrderKnown = true

  /** Over all workers the order is exact for one client key, and for as many waiters as are told of. */
  beforeStep(): void {
    const lines = [...this.cluster.members.values()].map(({ waiting }) => waiting)
    const keys = new Set(lines.flat().map(({ key }) => key))
    this.#isOrderKnown = keys.size <= 1 && lines.every((line) => line.length <= HEADS_TOLD)
  }

  override checkOrder(issue: Issue): void {
    super.checkOrder(issue)
    if (issue.member.slot === 'control' || !this.#isOrderKnown) return
    const { now, members, state } = this.cluster
    for (const { name, waiting, core } of members.values()) {
      const isGrantUnderWay = state.entries.get(name)?.granted !== core.grant.granted
      const older = waiting.find(({ key }) => key === issue.waiter.key)
      if (older === undefined || name === 'control' || isGrantUnderWay) continue
      const slack = slackMs(now - older.at)
      const { id, at } = issue.waiter
      must(older.at + slack >= at, `${id} of ${at} was served before ${older.id} of ${older.at}`)
    }
  }

  override checkFull(): void {
    const { members, size, state } = this.cluster
    const waiting = requestsWaiting(members.values())
    let idle = Math.max(0, new LedgerView(size, state.entries).free)
    for (const member of members.values()) {
      const { held, size } = member.core
      if (member.state === 'running' && member.slot !== 'control') idle += size - held
    }
    const room = size.maxWaiting + idle
    const untold = Math.floor(room / 32) // not worth a message each time
    must(waiting >= room - untold, `refused with ${waiting} waiting and room for ${room}`)
  }
}

/** Those of clients: the primary's own calls have a bound of their own. */
function requestsWaiting(members: Iterable<Member>): number {
  let waiting = 0
  for (const { slot, waiting: line } of members) waiting += slot === 'control' ? 0 : line.length
  return waiting
}

function checkMember({ name, core, sockets, state, waiting }: Member, lease: number): void {
  must(sockets.open <= lease, `${name} has ${sockets.open} sockets open with a lease of ${lease}`)
  if (state === 'killed') return
  must(core.held <= core.size, `${name} has ${core.held} in flight with a lease of ${core.size}`)
  must(core.size <= lease, `${name} believes in ${core.size}, the ledger in ${lease}`)
  must(core.waiting === waiting.length, `${name} counts ${core.waiting} of ${waiting.length}`)
  const isGated = core.grant.pace !== null || core.wakeAt !== null
  must(
    isGated || core.waiting === 0 || core.held === core.size,
    `${name} lets wait while a permit is idle`
  )
}

export function must(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise)
}
