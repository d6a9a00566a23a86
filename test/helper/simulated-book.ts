import type { AllowanceCore } from '../../src/admission/allowance-core.ts'
import type {
  AllowanceEvent,
  AllowanceState,
  nextAllowance,
  openAllowance
} from '../../src/control/allowances/allowance-ledger.ts'
import type { nextPage, openPage, Page, PageEvent } from '../../src/control/book/page.ts'
import type { AllowanceReport, AllowanceGrant } from '../../src/ipc/allowance.ts'
import type { Period } from '../../src/keys/period.ts'

/** The code under test; mutants come in by the same door. */
export interface BookMachines {
  readonly nextPage: typeof nextPage
  readonly openPage: typeof openPage
  readonly AllowanceCore: typeof AllowanceCore
  readonly nextAllowance: typeof nextAllowance
  readonly openAllowance: typeof openAllowance
}

type Core = InstanceType<BookMachines['AllowanceCore']>

/** One worker, with what its requests hold, and messages that are under way in their order. */
interface SimWorker {
  readonly name: string
  readonly core: Core
  readonly held: { readonly id: number; readonly amount: number; readonly period: number }[]
  /** Costs that no row has told of yet. */
  rows: Charge[]
  up: (AllowanceReport | readonly Charge[])[]
  down: AllowanceGrant[]
}

interface Charge {
  readonly period: number
  readonly credits: number
  /** So much of it is more than was reserved. */
  readonly over?: number
}

interface Batch {
  readonly seq: number
  readonly events: readonly PageEvent[]
}

/** One run of a gateway: a primary with its ledger, its copy of what the book said, and workers. */
class SimRun {
  readonly name: string
  state: AllowanceState
  share = 0
  usedElsewhere = 0
  heldElsewhere = 0
  workers: SimWorker[] = []
  /** Rows that were heard and are not in the book. */
  pending: Charge[] = []
  /** May be written, or not. */
  unsure: Batch | null = null
  seq = 0
  /** By worker: what its rows have charged in the period. */
  readonly charged = new Map<string, Charge>()

  constructor(name: string, state: AllowanceState) {
    this.name = name
    this.state = state
  }
}

/** What one period has really come to. */
interface Truth {
  /** What answers have cost. */
  cost: number
  /** What answers have cost beyond what was reserved for them. */
  overrun: number
  limit: number
  /** Credits of processes that died count, used or not. */
  hasLost: boolean
  /** What answers had cost beyond what was reserved when their process died before it had said so. */
  untold: number
}

const NO_LEASE = { held: 0, settled: 0, wish: 0 }

/**
 * One key in an account book on a disk that fails, with gateways and workers that die, in any order of events. Checks after
 * each step that nobody can use more than the limit, and at the end that nothing was forgotten or counted twice.
 */
export class SimulatedBook {
  readonly #machines: BookMachines
  readonly #random: () => number
  /** As SQLite shows it. */
  #page: Page
  #seqs = new Map<string, number>()
  /** As it is on the disk for certain, and each commit since then. */
  #synced: readonly [Page, ReadonlyMap<string, number>][] = []
  #limit: number
  #period = 1
  #runs: SimRun[] = []
  /** Have died, and nobody has noticed. */
  #dead = new Set<string>()
  /** By run: what another one has written off, since it was silent for long. */
  readonly #writtenOff = new Map<string, { period: number; held: number; settled: number }>()
  readonly #truths = new Map<number, Truth>()
  #nextId = 0
  #nextRun = 0
  steps = 0

  constructor(machines: BookMachines, random: () => number, limit: number) {
    this.#machines = machines
    this.#random = random
    this.#limit = limit
    this.#page = machines.openPage(this.#periodNow)
    this.#sync()
    this.#truth(1)
    this.#start()
  }

  /** Plays one random step. @throws {Error} where a promise is broken */
  step(): void {
    this.steps += 1
    const dice = this.#random()
    const run = this.#pick(this.#runs)
    const worker = run === undefined ? undefined : this.#pick(run.workers)
    if (run === undefined) this.#start()
    else if (dice < 0.18) this.#take(run, worker)
    else if (dice < 0.36) this.#settle(worker)
    else if (dice < 0.46) this.#report(worker)
    else if (dice < 0.62) this.#hear(run, worker)
    else if (dice < 0.74) this.#obeyGrant(worker)
    else if (dice < 0.914) this.#commit(run)
    else if (dice < 0.92) this.#pause(run)
    else if (dice < 0.94) this.#killWorker(run, worker)
    else if (dice < 0.96) this.#endWorker(run, worker)
    else if (dice < 0.97) this.#notice()
    else if (dice < 0.976 && this.#runs.length < 2) this.#start()
    else if (dice < 0.982) this.#killRun(run)
    else if (dice < 0.986) this.#powerLoss()
    else if (dice < 0.99) this.#setLimit(1 + Math.floor(this.#random() * 40))
    else if (dice < 0.992) this.#beginPeriod()
    else if (dice < 0.996) this.#endRun(run)
    this.#check()
  }

  /** Everything comes to rest, all processes end in order, and the sums are compared. */
  conclude(): void {
    for (const run of this.#runs.slice()) this.#endRun(run)
    this.#notice()
    for (const [period, { cost, hasLost, untold }] of this.#truths) {
      if (period !== this.#page.period.number) continue
      const { used } = this.#page
      if (used < cost - untold) throw new Error(`${used} in the book, and ${cost} were used`)
      if (!hasLost && used !== cost) throw new Error(`${used} in the book for ${cost}`)
      if (this.#held > 0) throw new Error(`${this.#held} are held by nobody`)
    }
  }

  get #periodNow(): Period {
    return { kind: 'day', number: this.#period, startsAt: 0, endsAt: null }
  }

  get #held(): number {
    return this.#page.leases.values().reduce((sum, { held }) => sum + held, 0)
  }

  #pick<T>(all: readonly T[]): T | undefined {
    return all[Math.floor(this.#random() * all.length)]
  }

  #truth(period: number): Truth {
    const known = this.#truths.get(period)
    if (known !== undefined) return known
    const truth = { cost: 0, overrun: 0, limit: this.#limit, hasLost: false, untold: 0 }
    this.#truths.set(period, truth)
    return truth
  }

  #start(): void {
    const name = `run ${this.#nextRun++}`
    const state = this.#machines.openAllowance({
      name: 'key/credits',
      limit: this.#limit,
      period: this.#period,
      endsAt: null,
      away: this.#limit
    })
    const run = new SimRun(name, state)
    this.#runs.push(run)
    for (let i = 0; i < 2; i++) this.#join(run)
  }

  #join(run: SimRun): void {
    const name = `worker ${this.#nextId++}`
    const core = new this.#machines.AllowanceCore('key/credits')
    run.workers.push({ name, core, held: [], rows: [], up: [], down: [] })
    this.#tell(run, { type: 'join', member: name })
  }

  #tell(run: SimRun, event: AllowanceEvent): void {
    const { state, grants } = this.#machines.nextAllowance(run.state, event)
    run.state = state
    for (const [member, news] of grants) {
      run.workers.find(({ name }) => name === member)?.down.push(news)
    }
  }

  #take(run: SimRun, worker: SimWorker | undefined): void {
    if (worker === undefined) return
    const amount = 1 + Math.floor(this.#random() * 4)
    const id = this.#nextId++
    if (worker.core.take(id, amount, this.steps) === 'taken') this.#hold(worker, id, amount)
    else this.#waiting.set(id, { worker, amount })
    void run
  }

  readonly #waiting = new Map<number, { readonly worker: SimWorker; readonly amount: number }>()

  #hold(worker: SimWorker, id: number, amount: number): void {
    worker.held.push({ id, amount, period: worker.core.period })
  }

  #obey(worker: SimWorker, commands: ReturnType<Core['settle']>): void {
    for (const { type, id } of commands) {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (type === 'give' && waiting !== undefined) this.#hold(worker, id, waiting.amount)
    }
  }

  #settle(worker: SimWorker | undefined): void {
    const held = worker?.held.shift()
    if (worker === undefined || held === undefined) return
    const credits = Math.floor(this.#random() * (this.#random() < 0.1 ? 9 : held.amount + 1))
    const truth = this.#truth(held.period)
    truth.cost += credits
    truth.overrun += Math.max(0, credits - held.amount)
    this.#obey(worker, worker.core.settle(held.id, credits))
    const over = Math.max(0, credits - held.amount)
    worker.rows.push({ period: held.period, credits, over })
  }

  /** The worker tells how it stands, and what its rows say. */
  #report(worker: SimWorker | undefined): void {
    if (worker === undefined) return
    if (this.#random() < 0.2) worker.core.trim(this.steps)
    worker.up.push(worker.core.takeReport(), worker.rows)
    worker.rows = []
  }

  #hear(run: SimRun, worker: SimWorker | undefined): void {
    const message = worker?.up.shift()
    if (worker === undefined || message === undefined) return
    if ('seq' in message)
      return this.#tell(run, { type: 'report', member: worker.name, report: message })
    for (const charge of message) {
      run.pending.push(charge)
      const before = run.charged.get(worker.name)
      const sum = before?.period === charge.period ? before.credits : 0
      if ((before?.period ?? 0) <= charge.period)
        run.charged.set(worker.name, { period: charge.period, credits: sum + charge.credits })
    }
  }

  #obeyGrant(worker: SimWorker | undefined): void {
    const grant = worker?.down.shift()
    if (worker !== undefined && grant !== undefined) this.#obey(worker, worker.core.onGrant(grant))
  }

  /** The primary writes what it has, asks for more, and perhaps gives something back. */
  #commit(run: SimRun): void {
    if (this.#writtenOff.has(run.name) && this.#random() < 0.9) return // it is still silent
    const batch = run.unsure ?? this.#batchOf(run)
    const fate = this.#random()
    if (fate < 0.05) {
      if (run.unsure === null) this.#putBack(run, batch)
      return
    }
    if (fate < 0.1) {
      // The thread has died, before it wrote or after.
      if (fate < 0.075) this.#write(run.name, batch)
      run.unsure = { ...batch, events: batch.events.filter(({ type }) => type === 'settle') }
      return
    }
    run.unsure = null
    this.#write(run.name, batch)
    this.#learn(run)
  }

  #batchOf(run: SimRun): Batch {
    const settled: PageEvent[] = run.pending.map(({ period, credits: amount }) => ({
      type: 'settle',
      run: run.name,
      period,
      amount
    }))
    run.pending = []
    const free = this.#freeIn(run)
    const amount = this.#random() < 0.2 ? Math.max(0, Math.floor(this.#random() * (free + 1))) : 0
    if (amount > 0) {
      run.share -= amount // not the ledger's any more, whatever becomes of the batch
      this.#setAway(run)
    }
    const want = this.#random() < 0.5 ? Math.floor(this.#random() * 12) : 0
    const period = { ...this.#periodNow, number: run.state.period }
    const events: PageEvent[] = [
      ...settled,
      { type: 'begin', period },
      { type: 'release', run: run.name, amount },
      { type: 'lease', run: run.name, want, cap: this.#limit }
    ]
    return { seq: run.seq++, events }
  }

  #putBack(run: SimRun, { events }: Batch): void {
    for (const event of events)
      if (event.type === 'settle') run.pending.push({ period: event.period, credits: event.amount })
  }

  /** One transaction. What leases credits is on the disk before it is answered. */
  #write(run: string, { seq, events }: Batch): void {
    this.#regain(run)
    const isWritten = (this.#seqs.get(run) ?? -1) >= seq
    const some = isWritten ? events.filter(({ type }) => type !== 'settle') : events
    this.#page = some.reduce(this.#machines.nextPage, this.#page)
    this.#seqs = new Map(this.#seqs).set(run, Math.max(seq, this.#seqs.get(run) ?? -1))
    const isLease = events.some((event) => event.type === 'lease' && event.want > 0)
    if (isLease) this.#sync()
    else this.#synced = [...this.#synced, [this.#page, this.#seqs]]
  }

  #sync(): void {
    this.#synced = [[this.#page, this.#seqs]]
  }

  #learn(run: SimRun): void {
    const { period, used, leases } = this.#page
    if (period.number > run.state.period) this.#begin(run)
    if (period.number !== run.state.period) return
    const { held, settled } = leases.get(run.name) ?? NO_LEASE
    run.share = held + settled
    run.usedElsewhere = used - settled
    run.heldElsewhere = this.#held - held
    this.#setAway(run)
  }

  #setAway(run: SimRun): void {
    const { limit } = run.state
    const most = Math.max(0, limit - run.usedElsewhere - run.heldElsewhere)
    const elsewhere = { used: run.usedElsewhere, held: run.heldElsewhere, problem: null }
    const away = limit - Math.min(run.share, most)
    this.#tell(run, { type: 'away', away, mayCome: this.#random() < 0.5, elsewhere })
  }

  /** What no worker of a run holds. */
  #freeIn({ state, share }: SimRun): number {
    let free = share - state.settled
    for (const { granted, report } of state.holdings.values()) free -= granted - report.returned
    return free
  }

  #killWorker(run: SimRun, worker: SimWorker | undefined): void {
    if (worker === undefined) return
    for (const { amount, period } of worker.held.splice(0)) void [amount, period]
    this.#forget(worker)
    // What it has sent still arrives.
    while (worker.up.length > 0) this.#hear(run, worker)
    this.#bury(run, worker)
    this.#join(run)
  }

  #endWorker(run: SimRun, worker: SimWorker | undefined): void {
    if (worker === undefined) return
    this.#forget(worker)
    while (worker.held.length > 0) this.#settle(worker)
    worker.core.giveBack()
    this.#report(worker)
    while (worker.up.length > 0) this.#hear(run, worker)
    if (this.#lostWith(run, worker) > 0)
      throw new Error('a worker that ended in order lost something')
    this.#bury(run, worker)
    this.#join(run)
  }

  #forget(worker: SimWorker): void {
    for (const [id, waiting] of this.#waiting) {
      if (waiting.worker !== worker) continue
      this.#waiting.delete(id)
      this.#obey(worker, worker.core.leave(id))
    }
  }

  /** All that it held counts as used: a row says so. */
  #bury(run: SimRun, worker: SimWorker): void {
    const { period } = run.state
    const told = run.charged.get(worker.name)
    const used = told?.period === period ? told.credits : 0
    const lost = this.#lostWith(run, worker)
    if (lost > 0) {
      run.pending.push({ period, credits: lost })
      this.#truth(period).hasLost = true
    }
    for (const row of worker.rows) {
      const truth = this.#truth(row.period)
      truth.hasLost = true
      // In another period its primary does not know any more what it held of this one, which is over.
      truth.untold += row.period === period ? (row.over ?? 0) : row.credits
    }
    run.charged.delete(worker.name)
    run.workers = run.workers.filter((one) => one !== worker)
    this.#tell(run, { type: 'left', member: worker.name, used })
  }

  /** It says nothing for so long that another run takes it for dead; its workers go on with what they hold. */
  #pause({ name: run }: SimRun): void {
    const lease = this.#page.leases.get(run)
    if (lease === undefined || this.#writtenOff.has(run)) return
    this.#writtenOff.set(run, { ...lease, period: this.#page.period.number })
    this.#page = this.#machines.nextPage(this.#page, { type: 'lose', run })
    this.#sync()
  }

  #regain(run: string): void {
    const off = this.#writtenOff.get(run)
    if (off === undefined) return
    this.#writtenOff.delete(run)
    this.#page = this.#machines.nextPage(this.#page, { type: 'regain', run, ...off })
    this.#sync()
  }

  #killRun(run: SimRun): void {
    this.#runs = this.#runs.filter((one) => one !== run)
    for (const worker of run.workers) this.#forget(worker)
    this.#dead.add(run.name)
    for (const truth of this.#truths.values()) {
      truth.hasLost = true
      truth.untold = truth.overrun
    }
  }

  /** What a worker held that no row has told of. */
  #lostWith({ state, charged }: SimRun, { name }: SimWorker): number {
    const holding = state.holdings.get(name)
    const told = charged.get(name)
    const used = told?.period === state.period ? told.credits : 0
    return holding === undefined ? 0 : holding.granted - holding.report.returned - used
  }

  /** Another run, or the next start, sees that runs have died. */
  #notice(): void {
    for (const run of this.#dead) {
      this.#page = this.#machines.nextPage(this.#page, { type: 'lose', run })
      this.#synced = [...this.#synced, [this.#page, this.#seqs]]
    }
    this.#dead.clear()
  }

  /** All processes are gone, and so is what was not on the disk yet, the newest first. */
  #powerLoss(): void {
    for (const run of this.#runs) this.#killRun(run)
    const [page, seqs] = this.#pick(this.#synced) ?? [this.#page, this.#seqs]
    this.#page = page
    this.#seqs = new Map(seqs)
    for (const run of page.leases.keys()) this.#dead.add(run)
    this.#sync()
  }

  #endRun(run: SimRun): void {
    for (const worker of run.workers.slice()) {
      this.#endWorker(run, worker)
      const joined = run.workers.at(-1)
      if (joined !== undefined) this.#bury(run, joined)
    }
    if (run.unsure !== null) this.#write(run.name, run.unsure)
    run.unsure = null
    this.#write(run.name, {
      seq: run.seq++,
      events: run.pending.map(({ period, credits: amount }) => ({
        type: 'settle',
        run: run.name,
        period,
        amount
      }))
    })
    this.#page = this.#machines.nextPage(this.#page, { type: 'end', run: run.name })
    this.#synced = [...this.#synced, [this.#page, this.#seqs]]
    this.#runs = this.#runs.filter((one) => one !== run)
  }

  #setLimit(limit: number): void {
    this.#limit = limit
    for (const truth of this.#truths.values()) truth.limit = Math.max(truth.limit, limit)
    for (const run of this.#runs) {
      const { period } = run.state
      const away =
        limit - Math.min(run.share, Math.max(0, limit - run.usedElsewhere - run.heldElsewhere))
      this.#tell(run, { type: 'limit', limit, period, endsAt: null, away })
    }
  }

  /** One gateway's clock is ahead; the others hear of it by the book. */
  #beginPeriod(): void {
    const run = this.#pick(this.#runs)
    if (run === undefined) return
    this.#period += 1
    this.#truth(this.#period)
    this.#begin(run)
  }

  #begin(run: SimRun): void {
    run.share = 0
    run.usedElsewhere = 0
    run.heldElsewhere = 0
    const limit = this.#limit
    this.#tell(run, { type: 'limit', limit, period: this.#period, endsAt: null, away: limit })
  }

  #check(): void {
    const { number } = this.#page.period
    const { limit, overrun } = this.#truth(number)
    const inBook = this.#page.used + this.#held
    if (inBook > limit + overrun)
      throw new Error(`${inBook} used and held of ${limit} + ${overrun}`)
    let used = this.#truth(number).cost
    for (const run of this.#runs)
      for (const worker of run.workers)
        for (const { amount, period } of worker.held) if (period === number) used += amount
    if (used > limit + overrun)
      throw new Error(`${used} used and reserved of ${limit} + ${overrun}`)
    if (this.#page.used < 0 || this.#held < 0) throw new Error('less than nothing')
  }
}
