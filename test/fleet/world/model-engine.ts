import type { FleetAnswer, FleetQuestion, FleetReading } from '../../../src/fleet/fleet-store.ts'
import { type FleetState, grantableIn, sumOfLeases } from '../../../src/fleet/fleet-state.ts'
import { type FleetEvent, nextFleet } from '../../../src/fleet/next-fleet.ts'
import { below, pick, type WorldPorts } from './world-terms.ts'

export interface EngineOptions extends WorldPorts {
  readonly onWritten: (rev: number) => void
  /** The limit is lowered at times: then there may be more than it says, which only goes down. */
  readonly isResized: boolean
}

interface Register {
  readonly run: string
  readonly rev: number
  readonly state: FleetState | null
  readonly beats: Readonly<Record<string, string>>
}

/** Valkey as its scripts make it: it forgets, comes back as it was before, and does late what nobody waits for. */
export class ModelEngine {
  readonly #options: EngineOptions
  #runs = 1
  #stamps = 0
  readonly #numbers = new WeakMap<FleetQuestion, string>()
  #register: Register
  #snapshots: FleetState[] = []
  /** Writes that nobody waits for any more, and that happen all the same. */
  #late: FleetQuestion[] = []
  /** Nothing arrives before. */
  upAt = 0

  constructor(options: EngineOptions) {
    this.#options = options
    this.#register = this.#empty('run1')
  }

  get isUp(): boolean {
    return this.#options.now() >= this.upAt
  }

  get register(): Register {
    return this.#register
  }

  get state(): FleetState | null {
    return this.#register.state
  }

  flush(): void {
    this.#register = this.#empty(this.#register.run)
  }

  /** What comes back is as it was, older, or nothing. */
  restart(): void {
    const { random } = this.#options
    this.#runs += 1
    const run = `run${this.#runs}`
    const state = random() < 0.4 ? this.#register.state : pick(random, this.#snapshots)
    if (state === undefined || state === null || random() < 0.3) {
      this.#register = this.#empty(run)
      return
    }
    const beats = Object.fromEntries(Object.keys(state.members).map((inc) => [inc, '0']))
    this.#register = { run, rev: state.rev, state, beats }
  }

  /** Nobody waits for it any more. */
  abandon(question: FleetQuestion): void {
    this.#late.push(question)
  }

  runLate(): void {
    const { random } = this.#options
    if (!this.isUp || this.#late.length === 0) return
    const [question] = this.#late.splice(below(random, this.#late.length), 1)
    if (question === undefined) return
    this.#options.tell?.('late:')
    this.execute(question)
    if (this.#late.length < 20 && random() < 0.1) this.#late.push(question) // doubled
  }

  /** Somebody writes into the register what no member has made of it. */
  lie(change: (register: Pick<Register, 'state' | 'beats'>) => Partial<Register>): void {
    this.#register = { ...this.#register, ...change(this.#register) }
  }

  /** An operator's word, as the commands give it. */
  command(event: FleetEvent): void {
    const { state, run } = this.#register
    if (state !== null && state.run === run) this.#write(nextFleet(state, [event]))
  }

  execute(question: FleetQuestion): FleetAnswer {
    const answer = this.#answer(question)
    this.#options.tell?.(`engine: ${toText(question, answer)}`)
    return answer
  }

  #answer(question: FleetQuestion): FleetAnswer {
    const register = this.#register
    const { fault } = this.#options
    switch (question.type) {
      case 'read':
        return { type: 'read', reading: this.#reading() }
      case 'beat': {
        const { run, inc } = question.beat
        const last = register.beats[inc]
        const isKept = run === register.run && last !== undefined
        if (isKept) {
          const beat = this.#numberOf(question) ?? String(Number(last) + 1)
          this.#register = { ...register, beats: { ...register.beats, [inc]: beat } }
        }
        const { rev, beats } = this.#register
        return { type: 'beat', answer: { run: register.run, rev, beats, isKept } }
      }
      case 'cas': {
        const { run, rev, next, expects } = question.proposal
        const isExpected =
          fault === 'lapses without a look at the beats' ||
          Object.entries(expects).every(([inc, beat]) => register.beats[inc] === beat)
        const isBlind = fault === 'a register that was read is written without a look at its number'
        const isFresh = rev === register.rev || (isBlind && register.state !== null)
        const isWritten = run === register.run && isFresh && isExpected
        if (isWritten) this.#write(next)
        return { type: 'cas', answer: { isWritten, reading: this.#reading() } }
      }
    }
  }

  /** With this fault a beat has a number of the sender's. */
  #numberOf(question: FleetQuestion): string | null {
    if (this.#options.fault !== 'a beat that comes twice hides those between') return null
    const number = this.#numbers.get(question) ?? String((this.#stamps += 1))
    this.#numbers.set(question, number)
    return number
  }

  /** An empty register is read with a number that it never had before: what was to be written to an earlier one is not. */
  #empty(run: string): Register {
    const isBlank = this.#options.fault === 'an empty register has no number of its own'
    const rev = isBlank ? 0 : this.#options.now() * 1_000 + (this.#stamps += 1)
    return { run, rev, state: null, beats: {} }
  }

  #write(next: FleetState): void {
    const { state, beats, run } = this.#register
    const isEra = state?.era === next.era
    judgeChange(isEra ? state : null, next, this.#options.isResized)
    const kept: Record<string, string> = {}
    for (const inc in next.members) kept[inc] = (isEra ? beats[inc] : undefined) ?? '0'
    this.#register = { run, rev: next.rev, state: next, beats: kept }
    if (this.#options.random() < 0.1) this.#snapshots = [...this.#snapshots.slice(-3), next]
    this.#options.onWritten(next.rev)
  }

  #reading(): FleetReading {
    const { run, rev, state, beats } = this.#register
    const reading = state === null ? { type: 'none' as const } : { type: 'state' as const, state }
    return { run, rev, beats, reading }
  }
}

/** Leases add up to what there is; after the limit was lowered they grow by what was claimed alone. */
function judgeChange(before: FleetState | null, next: FleetState, isResized: boolean): void {
  const sum = sumOfLeases(next.members)
  const known = before?.members ?? {}
  let most = grantableIn(next)
  if (isResized) {
    const claimed = Object.entries(next.members).filter(([inc]) => !(inc in known))
    most = Math.max(most, sumOfLeases(known) + sumOfLeases(Object.fromEntries(claimed)))
  }
  if (sum > most) {
    throw new Error(`more is leased than there is: ${JSON.stringify({ before, next }, null, 1)}`)
  }
  for (const { granted, returned } of Object.values(next.members)) {
    if (returned > granted) throw new Error(`a lease below nothing: ${JSON.stringify(next)}`)
  }
}

function toText(question: FleetQuestion, answer: FleetAnswer): string {
  if (question.type === 'beat' && answer.type === 'beat') {
    const { inc } = question.beat
    const { beats, isKept } = answer.answer
    return `beat of ${inc} ${isKept ? `kept as ${beats[inc]}` : 'not kept'}`
  }
  if (question.type === 'cas' && answer.type === 'cas') {
    const { rev, next } = question.proposal
    const members = Object.entries(next.members).map(
      ([inc, { name, granted, returned, isQuiet }]) =>
        `${name}/${inc}:${granted}-${returned}${isQuiet ? 'q' : ''}`
    )
    const what = `${next.era} ${next.phase} cap ${next.cap} max ${next.max} [${members.join(' ')}]`
    const missing = Object.keys(next.awaited).join(' ')
    return `cas ${rev}→${next.rev} ${answer.answer.isWritten ? 'WRITTEN' : 'refused'}: ${what} awaits [${missing}]`
  }
  return 'read'
}
