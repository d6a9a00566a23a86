import { type Clock, SYSTEM_CLOCK } from '../../admission/clock.ts'
import type { FleetRecord, FleetRecords } from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import {
  type LimitRegister,
  limitRecordOf,
  parseLimitRegister
} from '../../fleet/limit-register.ts'
import type { AllowanceName } from '../../ipc/allowance.ts'
import type { AllowanceControl } from '../allowances/allowance-control.ts'
import { type AllowanceState, isShort } from '../allowances/allowance-ledger.ts'
import {
  type LimitCommand,
  type LimitEvent,
  type LimitView,
  NEW_LIMIT,
  nextLimit,
  withheldIn
} from './next-limit.ts'

export interface FleetLimitOptions {
  readonly name: AllowanceName
  readonly records: FleetRecords
  readonly seal: Pick<FleetSeal, 'seal' | 'open'>
  readonly allowances: Pick<AllowanceControl, 'stateOf' | 'setAway'>
  readonly view: () => Omit<LimitView, 'name'>
  /** Called when gateways of other names hold all shares. */
  readonly onFull: () => void
  readonly clock?: Pick<Clock, 'setTimeout'>
}

const [MINUTE_TTL_MS, TTL_MS] = [180_000, 40 * 86_400_000]

/** This gateway's share in one limit of a named key; `nextLimit()` decides. No messages while all have enough. */
export class FleetLimit {
  readonly #options: FleetLimitOptions
  readonly #record: string
  readonly #aad: string
  #state = NEW_LIMIT
  #stopTimer: (() => void) | null = null
  #isClosed = false

  constructor(options: FleetLimitOptions) {
    this.#options = options
    const { record, aad } = limitRecordOf(options.name)
    this.#record = record
    this.#aad = aad
  }

  awayOf({ limit, period }: Pick<AllowanceState, 'limit' | 'period'>) {
    if (period !== this.#state.register.period) this.#note({ type: 'period', period })
    return withheldIn(this.#state, limit, this.#view())
  }

  onNews(): void {
    this.#note({ type: 'news' })
    this.look()
  }

  close(): void {
    this.#isClosed = true
    this.#stopTimer?.()
  }

  look(): void {
    const { name, allowances } = this.#options
    const ledger = this.#isClosed ? null : allowances.stateOf(name)
    if (ledger === null) return
    this.#note({ type: 'ledger', ledger })
    allowances.setAway(name, this.awayOf(ledger))
    this.#note({ type: 'look', ledger: allowances.stateOf(name) ?? ledger })
  }

  #note(event: LimitEvent): void {
    const { state, commands } = nextLimit(this.#state, event, this.#view())
    this.#state = state
    for (const command of commands) this.#do(command)
  }

  #view(): LimitView {
    const { name, view } = this.#options
    return { name, ...view() }
  }

  #do(command: LimitCommand): void {
    const { name, allowances, records, onFull, clock = SYSTEM_CLOCK } = this.#options
    switch (command.type) {
      case 'read':
        void this.#exchange(async () => this.#found(await records.read(this.#record))) // never rejects
        break
      case 'write':
        allowances.setAway(name, this.awayOf(command.ledger)) // what it gives is ours no longer
        void this.#exchange(() => this.#write(command.register)) // never rejects
        break
      case 'wait':
        this.#stopTimer?.()
        this.#stopTimer = clock.setTimeout(() => this.look(), Math.max(1, Math.ceil(command.ms)))
        break
      case 'warn':
        onFull()
        break
    }
  }

  async #exchange(run: () => Promise<LimitEvent>): Promise<void> {
    let event: LimitEvent
    try {
      event = await run()
    } catch {
      event = { type: 'failed' } // what was to be written may be, or will be
    }
    this.#note(event)
    this.look()
  }

  async #write(register: LimitRegister): Promise<LimitEvent> {
    const { records, seal, name } = this.#options
    const { isWritten, record } = await records.cas(this.#record, {
      rev: this.#state.rev,
      value: seal.seal(JSON.stringify(register), this.#aad),
      ttlMs: isShort(name) ? MINUTE_TTL_MS : TTL_MS
    })
    return isWritten ? { type: 'written', rev: record.rev } : this.#found(record)
  }

  #found({ rev, value }: FleetRecord): LimitEvent {
    const text = this.#options.seal.open(value ?? '', this.#aad) ?? ''
    return { type: 'found', rev, register: parseLimitRegister(text) }
  }
}
