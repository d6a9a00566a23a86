import { type LoanBook, withEntry } from '../../src/fleet/loan-book.ts'
import type { RateLoans } from '../../src/fleet/rate-loans.ts'
import type { Instant } from '../../src/shared/elapsed.ts'
import * as fc from '../helper/fast-check.ts'

/** A minute of these worlds, in ms, what is left for what arrives late, and how late that may be: clocks differ, too. */
const WINDOW_MS = 6_000
const MARGIN_MS = 50
const ARRIVAL_MS = 20
const TERM_MS = 3_000

type Step =
  | readonly ['load', number, number]
  | readonly ['reads', number]
  | readonly ['reads late', number, number]
  | readonly ['writes', number]
  | readonly ['writes late', number]
  | readonly ['late write arrives', number]
  | readonly ['time passes', number]
  | readonly ['all talk', number]
  | readonly ['is killed', number]
  | readonly ['leaves', number]
  | readonly ['engine forgets']
  | readonly ['engine is set back', number]

export interface LoanStory {
  readonly rate: number
  readonly members: number
  readonly steps: readonly Step[]
}

const who = fc.nat(3)
const step = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant('load'), who, fc.integer({ min: 0, max: 30 })) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('reads'), who) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('reads late'), who, fc.nat(6)) },
  { weight: 5, arbitrary: fc.tuple(fc.constant('writes'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('writes late'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('late write arrives'), fc.nat(3)) },
  { weight: 8, arbitrary: fc.tuple(fc.constant('time passes'), fc.integer({ min: 1, max: 4000 })) },
  { weight: 8, arbitrary: fc.tuple(fc.constant('all talk'), fc.integer({ min: 1, max: 6 })) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('is killed'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('leaves'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('engine forgets')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('engine is set back'), fc.nat(6)) }
) as fc.Arbitrary<Step>

export const loanStories: fc.Arbitrary<LoanStory> = fc.record({
  rate: fc.integer({ min: 4, max: 40 }),
  members: fc.integer({ min: 2, max: 4 }),
  steps: fc.array(step, { maxLength: 60, size: 'max' })
})

interface Member {
  readonly name: string
  readonly id: string
  readonly loans: RateLoans
  /** Its clock: where it began, and how fast it runs. */
  readonly clock: { readonly offset: number; readonly speed: number }
  /** How many changes of the register there were when it began. */
  readonly since: number
  /** What it last read, on which its next change rests. */
  seen: { readonly rev: number; readonly book: LoanBook }
  waiting: number
  /** When it sent, by its own clock. */
  sent: number[]
}

interface Register {
  readonly rev: number
  readonly book: LoanBook
}

/** Gateways that share a rate, an engine that may do anything, and an upstream that counts. */
export class LoanWorld {
  readonly #Loans: typeof RateLoans
  readonly #rate: number
  readonly #members: Member[]
  #now = 1_000_000
  #ids = 0
  /** All that ever stood in the register, the newest last. */
  readonly #past: Register[] = [{ rev: 0, book: {} }]
  readonly #late: Register[] = []
  /** When requests came to the upstream. */
  readonly #arrivals: number[] = []

  constructor(Loans: typeof RateLoans, { rate, members }: Omit<LoanStory, 'steps'>) {
    this.#Loans = Loans
    this.#rate = rate
    const names = Array.from({ length: members }, (_, at) => `m${at}`)
    this.#members = names.map((name) => this.#create(name, members, false))
  }

  /** @throws where more has come within a window than may */
  play(steps: readonly Step[]): void {
    for (const one of steps) {
      this.#step(one)
      this.#check()
    }
  }

  /** All may talk as often as they like for a time. */
  calm(ms: number): void {
    for (let passed = 0; passed < ms; passed += 100) {
      this.#now += 100
      for (const member of this.#members) this.#talk(member)
    }
    this.#check()
  }

  load(at: number, requests: number): void {
    const member = this.#member(at)
    member.waiting += requests
    this.#send(member)
  }

  /** Requests that have not gone yet. */
  waiting(at: number): number {
    return this.#member(at).waiting
  }

  limit(at: number): number {
    const member = this.#member(at)
    return member.loans.limit(this.#instant(member))
  }

  /** A process of the same name follows at once. */
  kill(at: number): void {
    const { name } = this.#member(at)
    const { length } = this.#members
    this.#members[at % length] = this.#create(name, length, true)
  }

  leave(at: number): void {
    const member = this.#member(at)
    this.#use(member)
    member.loans.leave(this.#instant(member))
    this.#cas(this.#change(member))
    this.kill(at)
  }

  /** Changes of the register so far. */
  get changes(): number {
    return this.#past.length - 1
  }

  #step(one: Step): void {
    switch (one[0]) {
      case 'load':
        return this.load(one[1], one[2])
      case 'reads':
        return this.#read(this.#member(one[1]), this.#top)
      case 'reads late':
        return this.#read(this.#member(one[1]), this.#earlier(one[2], this.#member(one[1]).since))
      case 'writes':
        return void this.#cas(this.#change(this.#member(one[1])))
      case 'writes late': {
        const change = this.#change(this.#member(one[1]))
        if (change !== null) this.#late.push(change)
        return
      }
      case 'late write arrives':
        return void this.#cas(this.#late.splice(one[1], 1)[0] ?? null)
      case 'time passes':
        this.#now += one[1]
        for (const member of this.#members) this.#send(member)
        return
      case 'all talk':
        return this.calm(one[1] * 100)
      case 'is killed':
        return this.kill(one[1])
      case 'leaves':
        return this.leave(one[1])
      case 'engine forgets':
        this.#past.push({ rev: this.#top.rev + 1_000, book: {} })
        return
      case 'engine is set back':
        this.#setBack(this.#earlier(one[1], 0))
    }
  }

  /** Not to a goodbye: nobody could tell it from one that was said just now. */
  #setBack(register: Register): void {
    const hasGoodbye = Object.values(register.book).some(({ left }) => left !== null)
    if (!hasGoodbye) this.#past.push(register)
  }

  /** As the register was so many changes ago, but not before `since`. */
  #earlier(changes: number, since: number): Register {
    return this.#past[Math.max(since, this.changes - changes)] ?? this.#top
  }

  #create(name: string, replicas: number, hasPredecessor: boolean): Member {
    this.#ids += 1
    const id = `${name}.${this.#ids}`
    const timing = { termMs: TERM_MS, windowMs: WINDOW_MS + MARGIN_MS }
    return {
      id,
      loans: new this.#Loans({ id, name, replicas, hasPredecessor, ...timing }),
      name,
      clock: { offset: this.#ids * 86_400_000, speed: 1 + ((this.#ids % 5) - 2) / 1_000 },
      since: this.changes,
      seen: { rev: -1, book: {} },
      waiting: 0,
      sent: []
    }
  }

  get #top(): Register {
    return this.#past.at(-1) ?? { rev: 0, book: {} }
  }

  #member(at: number): Member {
    const member = this.#members[at % this.#members.length]
    if (member === undefined) throw new Error('nobody is there')
    return member
  }

  #instant({ clock }: Member): Instant {
    const time = clock.offset + this.#now * clock.speed
    return { mono: time, wall: time, up: time }
  }

  #use(member: Member): void {
    const since = this.#instant(member).mono - WINDOW_MS - MARGIN_MS
    member.sent = member.sent.filter((at) => at > since)
    const { sent, waiting } = member
    member.loans.setUse({ rate: this.#rate, used: sent.length, waiting })
  }

  /** What may go, goes; it arrives at once or a little later. */
  #send(member: Member): void {
    this.#use(member)
    const now = this.#instant(member)
    while (member.waiting > 0 && member.sent.length < member.loans.limit(now)) {
      member.waiting -= 1
      member.sent.push(now.mono)
      this.#arrivals.push(this.#now + ((this.#arrivals.length * 7) % ARRIVAL_MS))
    }
    this.#use(member)
  }

  #talk(member: Member): void {
    this.#read(member, this.#top)
    if (this.#cas(this.#change(member))) this.#read(member, this.#top)
  }

  #read(member: Member, register: Register): void {
    member.seen = register
    member.loans.onBook(register.book, this.#instant(member))
    this.#send(member)
  }

  /** What it would write now, as far as it knows. */
  #change(member: Member): Register | null {
    if (member.seen.rev < 0) return null // it reads first
    this.#use(member)
    member.loans.look(this.#instant(member))
    this.#send(member) // it may have less by now
    const book = withEntry(member.seen.book, member.id, member.loans.own)
    return book === null ? null : { rev: member.seen.rev, book }
  }

  #cas(change: Register | null): boolean {
    if (change === null || change.rev !== this.#top.rev) return false
    this.#past.push({ rev: change.rev + 1, book: change.book })
    return true
  }

  #check(): void {
    const times = this.#arrivals.toSorted((a, b) => a - b)
    let first = 0
    for (const [index, at] of times.entries()) {
      while ((times[first] ?? at) <= at - WINDOW_MS) first += 1
      const count = index + 1 - first
      if (count > this.#rate) throw new Error(`${count} came within a window, ${this.#rate} may`)
    }
    const since = this.#now - 2 * WINDOW_MS
    this.#arrivals.splice(0, this.#arrivals.length, ...times.filter((at) => at > since))
  }
}
