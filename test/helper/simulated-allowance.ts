import type { AllowanceCommand, AllowanceCore } from '../../src/admission/allowance-core.ts'
import type {
  AllowanceEvent,
  AllowanceState,
  nextAllowance,
  openAllowance
} from '../../src/control/allowances/allowance-ledger.ts'
import type { AllowanceKind, AllowanceReport, AllowanceGrant } from '../../src/ipc/allowance.ts'

/** The code under test; mutants come in by the same door. */
export interface AllowanceMachines {
  readonly AllowanceCore: typeof AllowanceCore
  readonly openAllowance: typeof openAllowance
  readonly nextAllowance: typeof nextAllowance
}

export interface Waiting {
  readonly id: number
  readonly amount: number
  readonly at: number
}

interface Held {
  readonly id: number
  readonly amount: number
  readonly period: number
}

/** One worker with its core, what its requests hold by our own count, and the messages that are under way. */
export class Holder {
  readonly name: string
  readonly core: InstanceType<AllowanceMachines['AllowanceCore']>
  readonly up: AllowanceReport[] = []
  readonly down: AllowanceGrant[] = []
  waiting: Waiting[] = []
  held: Held[] = []
  state: 'running' | 'killed' = 'running'

  constructor(machines: AllowanceMachines, kind: AllowanceKind, name: string) {
    this.name = name
    this.core = new machines.AllowanceCore(`key/${kind}`)
  }
}

/** What one period has really come to. */
export interface Truth {
  settled: number
  reserved: number
  /** What requests took beyond their reservations. */
  overrun: number
  /** The highest limit that was in force. */
  limit: number
}

export interface Admission {
  readonly waiter: Waiting
  readonly period: number
  /** It did not wait. */
  readonly isAtOnce: boolean
}

/** A primary and its workers, whose messages move only when the schedule says so. */
export class SimulatedAllowance {
  readonly machines: AllowanceMachines
  readonly kind: AllowanceKind
  readonly holders = new Map<string, Holder>()
  readonly truths = new Map<number, Truth>()
  state: AllowanceState
  now = 1000
  onAdmitted: (admission: Admission) => void = () => {}
  onRefused: (waiter: Waiting) => void = () => {}
  #nextId = 0
  #nextHolder = 0

  constructor(machines: AllowanceMachines, kind: AllowanceKind, limit: number, workers: number) {
    this.machines = machines
    this.kind = kind
    this.state = machines.openAllowance({ name: `key/${kind}`, limit, period: 1, endsAt: null })
    this.truths.set(1, { settled: 0, reserved: 0, overrun: 0, limit })
    for (let index = 0; index < workers; index += 1) this.join()
  }

  get running(): readonly Holder[] {
    return [...this.holders.values()].filter(({ state }) => state === 'running')
  }

  /** Of the period that is now. */
  get truth(): Truth {
    return this.truthOf(this.state.period)
  }

  truthOf(period: number): Truth {
    const truth = this.truths.get(period)
    if (truth === undefined) throw new Error(`period ${period} has never begun`)
    return truth
  }

  /** What is left of the limit. */
  get left(): number {
    return this.state.limit - this.truth.settled - this.truth.reserved
  }

  join(): void {
    const name = `worker ${this.#nextHolder++}`
    this.holders.set(name, new Holder(this.machines, this.kind, name))
    this.tell({ type: 'join', member: name })
  }

  tell(event: AllowanceEvent): void {
    const step = this.machines.nextAllowance(this.state, event)
    this.state = step.state
    for (const [name, grant] of step.grants) this.holders.get(name)?.down.push(copyOf(grant))
  }

  take(holder: Holder, amount: number): void {
    const waiter = { id: this.#nextId++, amount, at: this.now }
    this.now += 1
    const answer = holder.core.take(waiter.id, amount, waiter.at)
    if (answer === 'taken') this.#admit(holder, waiter, true)
    else holder.waiting.push(waiter)
  }

  /** One request ends. `cost` counts for what is used up. */
  settle(holder: Holder, nth: number, cost: number): void {
    const held = holder.held[nth % Math.max(1, holder.held.length)]
    if (held === undefined) return
    holder.held = holder.held.filter(({ id }) => id !== held.id)
    const paid = this.kind === 'streams' ? 0 : this.kind === 'requests' ? 1 : cost
    const truth = this.truthOf(held.period)
    truth.reserved -= held.amount
    truth.settled += paid
    truth.overrun += Math.max(0, paid - held.amount)
    this.#obey(holder, holder.core.settle(held.id, paid))
    checkSettled(holder, held.id)
  }

  leave(holder: Holder, nth: number): void {
    const waiter = holder.waiting[nth % Math.max(1, holder.waiting.length)]
    if (waiter === undefined) return
    holder.waiting = holder.waiting.filter(({ id }) => id !== waiter.id)
    this.#obey(holder, holder.core.leave(waiter.id))
  }

  setLimit(limit: number): void {
    this.truth.limit = Math.max(this.truth.limit, limit)
    this.tell({ type: 'limit', period: this.state.period, endsAt: null, limit })
  }

  /** By another gateway: nobody was asked. */
  useElsewhere(amount: number): void {
    if (this.kind !== 'credits') return
    this.truth.settled += amount
    this.truth.overrun += amount
    const { away, mayCome, elsewhere } = this.state
    const used = elsewhere.used + amount
    this.tell({ type: 'away', away: away + amount, mayCome, elsewhere: { ...elsewhere, used } })
  }

  beginPeriod(): void {
    const period = this.state.period + 1
    const { limit } = this.state
    this.truths.set(period, { settled: 0, reserved: 0, overrun: 0, limit })
    this.tell({ type: 'limit', period, endsAt: null, limit, away: 0 })
  }

  /** Nothing more comes from it; what it has sent still arrives. */
  kill(holder: Holder): void {
    holder.state = 'killed'
    holder.waiting = []
    for (const { amount, period } of holder.held) {
      const truth = this.truthOf(period)
      truth.reserved -= amount
      if (this.kind !== 'streams') truth.settled += amount
    }
    holder.held = []
  }

  /** Nobody knows more of it than what it was granted. */
  bury(holder: Holder): void {
    const holding = this.state.holdings.get(holder.name)
    if (holding !== undefined && this.kind !== 'streams') {
      const { period, used, reserved } = contentOf(holder.core)
      const counted = period === this.state.period ? used + reserved : 0
      this.truth.settled += holding.granted - holding.report.returned - counted
    }
    this.holders.delete(holder.name)
    this.tell({ type: 'left', member: holder.name, used: 0 })
  }

  /** A worker ends in order: it gives back what no request holds, and its last report arrives. */
  end(holder: Holder): void {
    for (const { id } of holder.waiting.slice())
      this.leave(
        holder,
        holder.waiting.findIndex((one) => one.id === id)
      )
    while (holder.held.length > 0) this.settle(holder, 0, 0)
    holder.core.giveBack()
    holder.up.push(copyOf(holder.core.takeReport()))
    while (holder.up.length > 0) this.deliverReport(holder, 0)
    const { granted = 0, report } = this.state.holdings.get(holder.name) ?? {}
    const { period, used } = contentOf(holder.core)
    const isNow = report !== undefined && period === this.state.period
    if (isNow && granted - report.returned !== used)
      throw new Error(`${granted - report.returned} of a worker count as used, and it was ${used}`)
    this.bury(holder)
  }

  /** All processes die at once. */
  restart(): void {
    for (const holder of this.running) this.kill(holder)
    const workers = this.holders.size
    for (const holder of this.holders.values()) this.bury(holder)
    const { name, limit, period, endsAt, settled, away, elsewhere } = this.state
    this.state = this.machines.openAllowance({
      name,
      limit,
      period,
      endsAt,
      settled,
      away,
      elsewhere
    })
    for (let index = 0; index < workers; index += 1) this.join()
  }

  /** Puts a due report on its way. */
  report(holder: Holder): boolean {
    if (holder.state === 'killed' || !holder.core.isReportDue) return false
    holder.up.push(copyOf(holder.core.takeReport()))
    return true
  }

  /** A worker looks at what its requests have not needed; a report is on its way if the primary must be told. */
  trim(holder: Holder): void {
    this.now += 1_000
    if (this.kind === 'credits' && holder.core.trim(this.now))
      holder.up.push(copyOf(holder.core.takeReport()))
  }

  deliverReport(holder: Holder, nth: number): boolean {
    const report = arrive(holder.up, nth)
    if (report !== undefined) this.tell({ type: 'report', member: holder.name, report })
    return report !== undefined
  }

  deliverGrant(holder: Holder, nth: number): boolean {
    const grant = arrive(holder.down, nth)
    if (grant === undefined) return false
    if (holder.state === 'running') this.#obey(holder, holder.core.onGrant(grant))
    return true
  }

  #obey(holder: Holder, commands: readonly AllowanceCommand[]): void {
    for (const { type, id } of commands) {
      const waiter = holder.waiting.find((one) => one.id === id)
      if (waiter === undefined) throw new Error(`${type} for ${id}, who does not wait`)
      holder.waiting = holder.waiting.filter((one) => one.id !== id)
      if (type === 'give') this.#admit(holder, waiter, false)
      else this.onRefused(waiter)
    }
  }

  #admit(holder: Holder, waiter: Waiting, isAtOnce: boolean): void {
    const { period } = holder.core
    holder.held.push({ id: waiter.id, amount: waiter.amount, period })
    this.truthOf(period).reserved += waiter.amount
    this.onAdmitted({ waiter, period, isAtOnce })
  }
}

/** What a worker's requests have used and hold, by its own count. */
export function contentOf(core: Holder['core']) {
  const { used, reserved } = core.content
  return { period: core.period, used, reserved }
}

/** Messages overtake each other, and one number stands for one that arrives twice. */
function arrive<Message>(underWay: Message[], nth: number): Message | undefined {
  const index = nth % Math.max(1, underWay.length)
  if (nth === DOUBLED) return underWay[index]
  return underWay.splice(index, 1)[0]
}

const DOUBLED = 5

/** A request is settled once, and what it has cost is not refunded. */
function checkSettled({ core }: Holder, id: number): void {
  try {
    core.settle(id, 0)
  } catch {
    return
  }
  throw new Error(`request ${id} was settled twice`)
}

/** As the channel does it. */
function copyOf<Message>(message: Message): Message {
  return JSON.parse(JSON.stringify(message)) as Message
}
