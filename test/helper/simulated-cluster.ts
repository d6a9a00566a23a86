import type { LeaseCommand, LeaseCore } from '../../src/admission/lease-core.ts'
import type { BudgetSize } from '../../src/control/budget/ledger-entry.ts'
import { MAX_CALLS_WAITING } from '../../src/control/budget/ledger-grants.ts'
import type { PaceWindow } from '../../src/control/budget/pace.ts'
import type {
  LedgerEvent,
  LedgerState,
  nextLedger,
  openLedger
} from '../../src/control/budget/ledger.ts'
import type { LeaseReport, LeaseGrant } from '../../src/ipc/messages.ts'
import type { Copied } from './mutant.ts'
import { SimulatedSockets } from './simulated-sockets.ts'

/** The code under test; mutants come in by the same door. */
export interface Machines {
  readonly LeaseCore: typeof LeaseCore
  readonly openLedger: typeof openLedger
  readonly nextLedger: typeof nextLedger
}

/** The files that the machines are in. */
export const CLUSTER_FILES: Copied = {
  parts: ['admission', 'control', 'ipc', 'shared'],
  files: ['admission/lease-core.ts', 'control/budget/ledger.ts']
}

export interface Waiter {
  readonly id: number
  readonly key: string
  readonly at: number
}

/** One member with its core, its sockets, and the messages that are under way. */
export class Member {
  readonly name: string
  readonly slot: number | 'control'
  readonly core: InstanceType<Machines['LeaseCore']>
  readonly sockets: SimulatedSockets
  readonly up: LeaseReport[] = []
  readonly down: LeaseGrant[] = []
  /** In order of arrival. */
  waiting: Waiter[] = []
  /** Requests that have a permit and are not sent yet: with a start, and without. */
  unsent = { started: 0, plain: 0 }
  state: 'running' | 'draining' | 'killed' = 'running'

  constructor(machines: Machines, name: string, slot: number | 'control', maxWaiting: number) {
    this.name = name
    this.slot = slot
    this.core = new machines.LeaseCore({
      maxWaiting: slot === 'control' ? MAX_CALLS_WAITING : maxWaiting
    })
    this.sockets = new SimulatedSockets(
      () => this.core.size,
      (permits) => this.core.trimmed(permits)
    )
  }
}

export interface Issue {
  readonly member: Member
  readonly waiter: Waiter
}

/** A primary and its workers, whose messages and sockets move only when the schedule says so. */
export class SimulatedCluster {
  readonly machines: Machines
  readonly members = new Map<string, Member>()
  state: LedgerState
  now = 1000
  /** When the primary's timer should fire. */
  wakeAt: number | null = null
  /** The pace that was in force when a start was granted last. */
  paceAtGrant = 0
  /** Called for each waiter that gets its permit, before it leaves the list. */
  onIssue: (issue: Issue) => void = () => {}
  /** Called for each request that may not wait. */
  onFull: (member: Member) => void = () => {}
  /** All requests come with the same client key, whatever the schedule says. */
  hasOneKey = false
  #nextId = 0
  #nextMember = 0

  constructor(machines: Machines, size: BudgetSize, window?: PaceWindow) {
    this.machines = machines
    this.state = machines.openLedger(size, window)
    this.join('control')
    for (let slot = 0; slot < size.workers; slot += 1) this.join(slot)
  }

  get size(): BudgetSize {
    return this.state.size
  }

  join(slot: number | 'control'): void {
    const name = slot === 'control' ? slot : `worker ${this.#nextMember++} in slot ${slot}`
    this.members.set(name, new Member(this.machines, name, slot, this.size.maxWaiting))
    this.tell({ type: 'join', member: name, slot })
  }

  tell(event: LedgerEvent): void {
    const step = this.machines.nextLedger(this.state, event, this.now)
    for (const [name, { starts }] of step.state.entries) {
      const before = this.state.entries.get(name)?.starts.granted ?? 0
      if (starts.granted > before) this.paceAtGrant = step.state.size.maxRequestsPerMinute ?? 0
    }
    this.state = step.state
    this.wakeAt = step.wakeAt
    for (const [name, grant] of step.grants) this.members.get(name)?.down.push(copyOf(grant))
  }

  acquire(member: Member, givenKey: string): void {
    const key = this.hasOneKey ? 'a' : givenKey
    const waiter = { id: this.#nextId++, key, at: this.now }
    const answer = member.core.acquire(waiter.id, key, this.now)
    if (answer === 'issued') {
      member.sockets.take(waiter.id % 5 === 0)
      member.unsent.plain += 1
    }
    if (answer === 'waiting') member.waiting.push(waiter)
    if (answer === 'full') this.onFull(member)
  }

  /** Ends a request; one that was sent, if there is any. */
  release(member: Member): void {
    const { core, sockets, unsent } = member
    if (core.held === 0) return
    const isUnsent = core.held === unsent.started + unsent.plain
    const isStarted = isUnsent && unsent.started > 0
    if (isStarted) unsent.started -= 1
    else if (isUnsent) unsent.plain -= 1
    sockets.giveBack(core.grant.keepAlive)
    this.#obey(member, core.release(this.now, isStarted))
  }

  /** Ends a request that had a start and was not sent. */
  giveUp(member: Member): void {
    if (member.unsent.started === 0) return
    member.unsent.started -= 1
    member.sockets.giveBack(member.core.grant.keepAlive)
    this.#obey(member, member.core.release(this.now, true))
  }

  /** Sends a request that has its permit. False if there is none. */
  send(member: Member, as: 'started' | 'plain'): boolean {
    if (member.state === 'killed' || member.unsent[as] === 0) return false
    member.unsent[as] -= 1
    member.core.sent(as === 'started')
    return true
  }

  /** The worker's timer fires, if it is due. */
  wake(member: Member): boolean {
    const { core } = member
    if (member.state === 'killed' || core.wakeAt === null || core.wakeAt > this.now) return false
    this.#obey(member, core.wake(this.now))
    return true
  }

  /** The primary's timer fires, if it is due. */
  tick(): boolean {
    if (this.wakeAt === null || this.wakeAt > this.now) return false
    this.tell({ type: 'tick' })
    return true
  }

  abort(member: Member, nth: number): void {
    const waiter = member.waiting[nth % Math.max(1, member.waiting.length)]
    if (waiter === undefined) return
    member.core.abort(waiter.id)
    member.waiting = member.waiting.filter(({ id }) => id !== waiter.id)
  }

  drain(member: Member): void {
    member.state = 'draining'
    this.#obey(member, member.core.drain(this.now))
  }

  /** Its successor serves. */
  retire(member: Member): void {
    this.tell({ type: 'retire', member: member.name })
  }

  kill(member: Member): void {
    member.state = 'killed'
    member.sockets.kill()
    member.waiting = []
    this.tell({ type: 'stopped', member: member.name })
  }

  /** One socket of a killed member is gone, and the primary is told what is left. */
  loseOrphan(member: Member): void {
    member.sockets.loseOne()
    this.tell({ type: 'remains', member: member.name, sockets: member.sockets.open })
  }

  /** The last socket of a member is gone. */
  leave(member: Member): void {
    this.members.delete(member.name)
    this.tell({ type: 'left', member: member.name })
  }

  /** Puts a due report on its way. */
  report(member: Member): boolean {
    if (member.state === 'killed' || !member.core.isReportDue) return false
    member.up.push(copyOf(member.core.takeReport()))
    return true
  }

  deliverReport(member: Member, nth: number): boolean {
    const report = arrive(member.up, nth)
    if (report !== undefined) this.tell({ type: 'report', member: member.name, report })
    return report !== undefined
  }

  deliverGrant(member: Member, nth: number): boolean {
    const grant = arrive(member.down, nth)
    if (grant === undefined) return false
    if (member.state === 'killed') return true
    this.#obey(member, member.core.onGrant(grant, this.now))
    member.sockets.capIdle(member.core.grant.keepAlive)
    return true
  }

  #obey(member: Member, commands: readonly LeaseCommand[]): void {
    for (const command of commands) {
      if (command.type === 'trim') {
        member.sockets.trim(command.max, command.permits)
        continue
      }
      const waiter = member.waiting.find(({ id }) => id === command.id)
      if (waiter === undefined)
        throw new Error(`${command.type} for ${command.id}, who does not wait`)
      if (command.type === 'refuse' && command.reason === 'full') this.onFull(member)
      if (command.type === 'issue') {
        this.onIssue({ member, waiter })
        member.unsent[command.hasStart ? 'started' : 'plain'] += 1
        member.sockets.take(waiter.id % 5 === 0)
      }
      member.waiting = member.waiting.filter(({ id }) => id !== command.id)
    }
  }
}

/** Messages overtake each other, and one number stands for one that arrives twice. */
function arrive<Message>(underWay: Message[], nth: number): Message | undefined {
  const index = nth % Math.max(1, underWay.length)
  if (nth === DOUBLED) return underWay[index]
  return underWay.splice(index, 1)[0]
}

const DOUBLED = 5

/** As the channel does it. */
function copyOf<Message>(message: Message): Message {
  return JSON.parse(JSON.stringify(message)) as Message
}
