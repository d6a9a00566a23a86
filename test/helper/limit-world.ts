import { AllowanceCore } from '../../src/admission/allowance-core.ts'
import {
  type AllowanceEvent,
  type AllowanceState,
  nextAllowance,
  openAllowance
} from '../../src/control/allowances/allowance-ledger.ts'
import { FleetLimit } from '../../src/control/fleet/fleet-limit.ts'
import type {
  FleetRecord,
  FleetRecords,
  RecordAnswer,
  RecordChange
} from '../../src/fleet/fleet-records.ts'
import { FleetSeal } from '../../src/fleet/fleet-seal.ts'
import type { AllowanceName } from '../../src/ipc/allowance.ts'
import type { VirtualClock } from './virtual-clock.ts'

const SEAL = new FleetSeal(['secret-of-the-fleet-for-all-tests'], 'test')

/** Contact with Valkey, as one gateway sees it. */
export type Contact = 'good' | 'none' | 'bad'

export type Random = () => number

/** A write that was not answered may arrive after whoever sent it has ended, and begun again. */
const LATE_MS = 100

/** A Valkey in memory, far away: answers come late, or not at all, and what was not answered may happen later. */
export class FarEngine {
  readonly #store = new Map<string, { rev: number; value: string }>()
  #rev = 1
  readonly #listeners = new Set<(name: string | null) => void>()
  readonly #random: Random
  readonly clock: VirtualClock
  commands = 0

  constructor(random: Random, clock: VirtualClock) {
    this.#random = random
    this.clock = clock
  }

  flush(): void {
    this.#store.clear()
  }

  records(contact: () => Contact): FleetRecords {
    const call = async <T>(run: () => T): Promise<T> => {
      this.commands += 1
      await this.clock.sleep(this.#random() * 3)
      const now = contact()
      if (now === 'none') throw new Error('gone')
      if (now === 'bad' && this.#random() < 0.5) {
        if (this.#random() < 0.5) this.clock.setTimeout(run, this.#random() * LATE_MS)
        throw new Error('late')
      }
      const answer = run()
      await this.clock.sleep(this.#random() * 3)
      if (contact() !== 'good' && this.#random() < 0.5) throw new Error('lost')
      return answer
    }
    return {
      read: (name) => call(() => this.#read(name)),
      cas: (name, change) => call(() => this.#cas(name, change)),
      onNews: (listener) => {
        const hear = (name: string | null): void => {
          if (contact() === 'good') this.clock.setTimeout(() => listener(name), this.#random() * 3)
        }
        this.#listeners.add(hear)
        return () => void this.#listeners.delete(hear)
      }
    }
  }

  #read(name: string): FleetRecord {
    const { rev = 0, value = null } = this.#store.get(name) ?? {}
    return { run: 'run', rev, value }
  }

  #cas(name: string, { rev, value }: RecordChange): RecordAnswer {
    if (this.#read(name).rev !== rev) return { isWritten: false, record: this.#read(name) }
    if (value !== null) this.#store.set(name, { rev: ++this.#rev, value })
    for (const listener of this.#listeners) listener(name)
    return { isWritten: true, record: this.#read(name) }
  }
}

export interface GatewayOptions {
  readonly engine: FarEngine
  readonly name: string
  readonly inc: string
  /** Those of earlier processes. */
  readonly ours: readonly string[]
  readonly limit: AllowanceName
  readonly size: number
  readonly replicas: number
  /** What earlier processes of it have used up. */
  readonly settled: number
  /** By incarnation: those that have ended for certain. */
  readonly gone: ReadonlySet<string>
}

/** A gateway with its ledger and one worker, as far as one limit is concerned. */
export class LimitGateway {
  contact: Contact = 'good'
  readonly name: string
  readonly inc: string
  readonly limit: FleetLimit
  readonly core: AllowanceCore
  readonly held = new Set<number>()
  refused = 0
  /** There is no seat for it. */
  isTurnedAway = false
  #state: AllowanceState
  #nextId = 0
  #isLooking = false
  #isDead = false
  readonly #endNews: () => void
  readonly #clock: VirtualClock

  constructor(options: GatewayOptions) {
    const { engine, name, inc, ours, limit, size, replicas, settled, gone } = options
    this.name = name
    this.inc = inc
    this.#clock = engine.clock
    this.core = new AllowanceCore(limit)
    const records = engine.records(() => this.contact)
    this.limit = new FleetLimit({
      name: limit,
      records,
      seal: SEAL,
      allowances: {
        stateOf: () => this.#state,
        setAway: (_name, { away, mayCome }) => {
          if (this.#state.away === away && this.#state.mayCome === mayCome) return
          this.#tell({ type: 'away', away, mayCome })
          this.#pump()
        }
      },
      view: () => ({
        member: name,
        replicas,
        self: { inc, era: 'era', rev: 1 },
        isOurs: (other) => ours.includes(other),
        isFirst: ours.length === 0,
        isGone: ({ inc: other }) => gone.has(other),
        isSettled: false,
        now: engine.clock.now()
      }),
      onFull: () => {
        this.isTurnedAway = true
      },
      clock: engine.clock
    })
    const facts = { name: limit, limit: size, period: 1, endsAt: null, settled }
    this.#state = openAllowance({ ...facts, ...this.limit.awayOf({ limit: size, period: 1 }) })
    this.#tell({ type: 'join', member: 'w' })
    this.#endNews = records.onNews(() => {
      if (!this.#isDead) this.limit.onNews()
    })
    this.limit.look()
  }

  get waiting(): number {
    return this.core.waiting
  }

  /** What is used up for good, in this process and before. */
  get usedUp(): number {
    return this.#state.settled + this.core.content.used
  }

  take(): void {
    const id = this.#nextId++
    if (this.core.take(id, 1, this.#clock.now()) === 'taken') this.held.add(id)
    this.#pump()
  }

  settle(cost: number): void {
    const [id] = this.held
    if (id === undefined) return
    this.held.delete(id)
    this.#obey(this.core.settle(id, cost))
    this.#pump()
  }

  end(): void {
    this.#isDead = true
    this.#endNews()
    this.limit.close()
  }

  #pump(): void {
    while (this.core.isReportDue && !this.#isDead) {
      this.#tell({ type: 'report', member: 'w', report: this.core.takeReport() })
    }
    if (this.#isLooking || this.#isDead) return
    this.#isLooking = true
    this.#clock.setImmediate(() => {
      this.#isLooking = false
      this.limit.look()
    })
  }

  #tell(event: AllowanceEvent): void {
    const { state, grants } = nextAllowance(this.#state, event)
    this.#state = state
    for (const news of grants.values()) this.#obey(this.core.onGrant(news))
  }

  #obey(commands: ReturnType<AllowanceCore['onGrant']>): void {
    for (const { type, id } of commands) {
      if (type === 'give') this.held.add(id)
      else this.refused += 1
    }
  }
}
