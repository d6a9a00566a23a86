import type { FleetRecords } from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import type { FleetState } from '../../fleet/fleet-state.ts'
import type { LimitSeat, LimitSelf } from '../../fleet/limit-register.ts'
import type { AllowanceName } from '../../ipc/allowance.ts'
import type { Logger } from '../../observe/logger.ts'
import {
  type AllowanceControl,
  type LimitGovernor,
  UNLIMITED
} from '../allowances/allowance-control.ts'
import type { AllowanceState } from '../allowances/allowance-ledger.ts'
import { FleetLimit } from './fleet-limit.ts'
import type { LimitView } from './next-limit.ts'

export interface FleetLimitsOptions {
  readonly records: FleetRecords
  readonly seal: Pick<FleetSeal, 'seal' | 'open'>
  readonly allowances: AllowanceControl
  readonly member: string
  readonly replicas: number
  readonly status: () => { readonly inc: string; readonly state: FleetState | null }
  readonly incs: () => readonly string[]
  readonly log: Pick<Logger, 'warn'>
}

/** An earlier process may have counted requests of this minute until then. */
const SETTLED_MS = 61_000
const DAY_MS = 86_400_000
const FULL =
  'too many gateway names have held a share of a key limit, so none is left for this one: give gateways stable names (FLEET_MEMBER)'

/** Limits of named keys in a fleet, each a `FleetLimit` from its first use on. */
export class FleetLimits implements LimitGovernor {
  readonly #options: FleetLimitsOptions
  /** Bounded by the limits that keys have. */
  readonly #limits = new Map<AllowanceName, FleetLimit>()
  /** Bounded by the same. */
  readonly #changed = new Set<AllowanceName>()
  readonly #startedAt = performance.now()
  readonly #endNews: () => void
  #warnedAt = -Infinity

  constructor(options: FleetLimitsOptions) {
    this.#options = options
    options.allowances.governor = this
    this.#endNews = options.records.onNews((record) => this.#onNews(record))
  }

  awayOf(name: AllowanceName, ledger: Pick<AllowanceState, 'limit' | 'period'>) {
    // Each gateway learns prices for itself.
    const isShared = ledger.limit > 0 && ledger.limit < UNLIMITED && !name.endsWith('/unpriced')
    if (!isShared) return { away: 0, mayCome: false }
    return this.#limit(name).awayOf(ledger)
  }

  onChange(name: AllowanceName): void {
    if (!this.#limits.has(name)) return
    if (this.#changed.size === 0) setImmediate(() => this.#lookAll())
    this.#changed.add(name)
  }

  close(): void {
    this.#options.allowances.governor = null
    this.#endNews()
    for (const limit of this.#limits.values()) limit.close()
  }

  #lookAll(): void {
    const changed = [...this.#changed]
    this.#changed.clear()
    for (const name of changed) this.#limits.get(name)?.look()
  }

  #onNews(record: string | null): void {
    if (record === null) {
      for (const limit of this.#limits.values()) limit.onNews()
      return
    }
    const name = limitOf(record)
    // Another gateway may need a limit that is unused here.
    if (name !== null && this.#options.allowances.stateOf(name) !== null) this.#limit(name).onNews()
  }

  #limit(name: AllowanceName): FleetLimit {
    const known = this.#limits.get(name)
    if (known !== undefined) return known
    const { records, seal, allowances } = this.#options
    const limit = new FleetLimit({
      name,
      records,
      seal,
      allowances,
      view: () => this.#view(),
      onFull: () => this.#warnFull(name)
    })
    this.#limits.set(name, limit)
    return limit
  }

  #view(): Omit<LimitView, 'name'> {
    const { member, replicas, incs, status } = this.#options
    const now = performance.now()
    return {
      member,
      replicas,
      self: this.#self(),
      isOurs: (inc) => incs().includes(inc),
      isFirst: incs().every((inc) => inc === status().inc),
      isGone: (seat) => this.#isGone(seat),
      isSettled: now - this.#startedAt > SETTLED_MS,
      now
    }
  }

  #warnFull(limit: AllowanceName): void {
    const now = performance.now()
    if (now - this.#warnedAt < DAY_MS) return
    this.#warnedAt = now
    this.#options.log.warn({ limit, member: this.#options.member }, FULL)
  }

  #self(): LimitSelf | null {
    const { inc, state } = this.#options.status()
    if (state?.members[inc] === undefined) return null
    return { inc, era: state.era, rev: state.rev }
  }

  /** True if the register is newer than the seat, complete, and without the process: it has let go of everything. */
  #isGone({ inc, era, rev }: LimitSeat): boolean {
    const { state } = this.#options.status()
    if (state === null || state.phase !== 'open' || inc in state.members) return false
    return state.era !== era || state.rev >= rev
  }
}

const KINDS = /^limit\.([\w-]{1,64})\.(here\.)?(credits|requests|streams)$/

function limitOf(record: string): AllowanceName | null {
  const [, key, here, kind] = KINDS.exec(record) ?? []
  if (key === undefined) return null
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- by the pattern
  return (here === undefined ? `${key}/${kind}` : `${key}/here/${kind}`) as AllowanceName
}
