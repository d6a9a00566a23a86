import { EventEmitter } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { setImmediate as turn } from 'node:timers/promises'
import type { Share } from '../../src/admission/allowances.ts'
import type { AllowanceControl } from '../../src/control/allowances/allowance-control.ts'
import type { BookDatabase } from '../../src/control/book/book-database.ts'
import type { BookReply, FromBook, ToBook } from '../../src/control/book/book-messages.ts'
import type { BookThread, UsageBook } from '../../src/control/book/usage-book.ts'
import { usagePath } from '../../src/control/book/usage-sums.ts'
import type { UsageRow } from '../../src/ipc/usage-row.ts'
import { MICROS_PER_CREDIT as CREDIT } from '../../src/keys/key.ts'
import { TeamWorker, namedKey } from './allowance-team.ts'
import { VirtualTime } from './virtual-time.ts'

/** The code under test; mutants come in by the same door. */
export interface BookShells {
  readonly AllowanceControl: typeof AllowanceControl
  readonly UsageBook: typeof UsageBook
  readonly BookDatabase: typeof BookDatabase
}

const NOON = Date.parse('2026-11-26T12:00:00Z')
const HOUR_MS = 3_600_000
/** A gateway that is silent for so long counts as dead. */
const SILENCE_MS = 130_000

const KEY = 'anna'

type Fate = 'done' | 'full' | 'dies before' | 'dies after'

/** The thread of a book, which does what it was told when the world says so, or fails or dies at it. */
export class SimThread extends EventEmitter implements BookThread {
  readonly #database: typeof BookDatabase
  readonly #place: string
  readonly #onLease: () => void
  readonly #told: ToBook[] = []
  #book: BookDatabase | null = null
  isGone = false

  constructor(database: typeof BookDatabase, place: string, onLease: () => void) {
    super()
    this.#database = database
    this.#place = place
    this.#onLease = onLease
    process.nextTick(() => this.emit('message', { type: 'started' } satisfies FromBook))
  }

  get isBusy(): boolean {
    return this.#told.length > 0 && !this.isGone
  }

  /** It is told to end the run in order. */
  get isClosing(): boolean {
    return this.#told[0]?.type === 'close'
  }

  postMessage(message: ToBook): void {
    this.#told.push(structuredClone(message))
  }

  ref(): void {}

  unref(): void {}

  async terminate(): Promise<number> {
    this.destroy()
    await turn()
    this.emit('exit', 1)
    return 1
  }

  /** As SIGKILL. */
  destroy(): void {
    if (!this.isGone) this.#book?.destroy()
    this.#book = null
    this.isGone = true
  }

  async work(fate: Fate): Promise<void> {
    const message = this.#told.shift()
    if (message === undefined || this.isGone) return
    const { id } = message
    if (fate === 'full') {
      const reason = { errcode: 13, code: '', message: 'full', damagedFile: null, isUnsure: false }
      this.emit('message', { type: 'failed', id, reason } satisfies FromBook)
      return
    }
    const answer = fate === 'dies before' ? null : await this.#obey(message)
    if (fate !== 'done') return void (await this.terminate())
    this.emit('message', {
      type: 'answered',
      id,
      answer: structuredClone(answer)
    } satisfies FromBook)
  }

  async #obey(message: ToBook): Promise<BookReply> {
    if (message.type === 'open') {
      const { run } = message.ask
      const mark = { ...run.mark, place: this.#place } // its processes cannot be seen
      const opening = { ...message.ask, run: { ...run, mark } }
      const { book, opened } = await this.#database.open(opening)
      this.#book = book
      return opened
    }
    if (this.#book === null) throw new Error('the book is not open')
    if (message.type === 'commit') {
      const answer = await this.#book.commit(message.ask)
      if (message.ask.asks.some(({ want }) => want > 0)) this.#onLease()
      return answer
    }
    this.#book.close()
    this.#book = null
    return null
  }
}

interface Held {
  readonly worker: TeamWorker
  readonly share: Share
}

/** What one period has really come to. */
interface Truth {
  cost: number
  /** Part of it that was not reserved. */
  overrun: number
  /** Part of that which died before it was told. */
  untold: number
}

/**
 * Gateways on one `STATE_DIR` with the real book, its real file and the real leases, under a simulated clock: threads, workers
 * and gateways die or stand still between any two steps. Checks after each step that nobody can use more than the limit, and
 * at the end that the file has what was used, once.
 */
export class SharedFolder {
  readonly #shells: BookShells
  readonly #random: () => number
  readonly #folder: string
  readonly #time = new VirtualTime()
  readonly #limit: number
  /** Part of what the disk is told that fails. */
  readonly #faults: number
  #wallOffset = NOON
  readonly #gateways: Gateway[] = []
  readonly #truths = new Map<number, Truth>()
  #count = 0
  #hasJumped = false
  /** Threads die, disks are full and gateways stand still in it, but nothing is lost. */
  readonly #isCalm: boolean
  steps = 0

  constructor(shells: BookShells, random: () => number, folder: string) {
    this.#shells = shells
    this.#random = random
    this.#folder = folder
    this.#isCalm = random() < 0.4
    this.#limit = (1 + Math.floor(random() * 20)) * CREDIT
    this.#faults = random() * 0.6
  }

  /** Plays a world. @throws {Error} where a promise is broken */
  async play(steps: number): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true })
    mkdirSync(this.#folder, { recursive: true })
    this.#time.install()
    try {
      this.#start()
      if (this.#random() < 0.5) this.#start()
      for (this.steps = 0; this.steps < steps; this.steps++) {
        await this.#step()
        this.#check()
      }
      await this.#conclude()
    } finally {
      for (const gateway of this.#gateways.slice()) this.#kill(gateway)
      this.#time.remove()
      rmSync(this.#folder, { recursive: true, force: true })
    }
  }

  async #step(): Promise<void> {
    const dice = this.#random()
    const gateway = this.#pick(this.#gateways)
    if (gateway === undefined) this.#start()
    else if (dice < 0.3) this.#take(gateway)
    else if (dice < 0.5) this.#end(gateway)
    else if (dice < 0.7) await this.#work(gateway, this.#fate())
    else if (dice < 0.85) this.#pass(this.#pick([5, 50, 200, 1_500]) ?? 0)
    else if (dice < 0.89) await this.#passLong(9_500)
    else if (dice < 0.9) this.#killWorker(gateway)
    else if (dice < 0.915) gateway.isPaused = !gateway.isPaused
    else if (dice < 0.93) await this.#passLong(SILENCE_MS)
    else if (dice < 0.962 && this.#gateways.length < 2) this.#start()
    else if (dice < 0.967 && !this.#isCalm) this.#kill(gateway)
    else if (dice < 0.972) await this.#close(gateway)
    else if (dice < 0.976) this.#powerLoss()
    else if (dice < 0.978) this.#jump(this.#random() < 0.5 ? 24 * HOUR_MS : -5 * HOUR_MS)
    await this.#settle()
  }

  #fate(): Fate {
    const dice = this.#random()
    if (dice > this.#faults) return 'done'
    return this.#pick(['full', 'dies before', 'dies after']) ?? 'done'
  }

  #pick<T>(all: readonly T[]): T | undefined {
    return all[Math.floor(this.#random() * all.length)]
  }

  /** Messages between processes arrive, other than those to the disk. */
  async #settle(): Promise<void> {
    for (let turns = 0; turns < 6; turns++) await turn()
  }

  #truth(period: number): Truth {
    const truth = this.#truths.get(period) ?? { cost: 0, overrun: 0, untold: 0 }
    this.#truths.set(period, truth)
    return truth
  }

  #start(): void {
    const gateway: Gateway = new Gateway(this.#shells, {
      stateDir: this.#folder,
      limit: this.#limit,
      place: `place ${this.#count++}`,
      now: () => this.#wallOffset + this.#time.now,
      onLease: () => {
        this.#sync()
        this.#checkBook()
      }
    })
    this.#gateways.push(gateway)
    this.#time.as(gateway, () => gateway.start())
  }

  #take(gateway: Gateway): void {
    const worker = this.#pick(gateway.workers)
    if (worker === undefined || gateway.isPaused) return
    const amount = Math.ceil(this.#random() * 4 * CREDIT)
    this.#time.as(gateway, () => gateway.take(worker, amount))
  }

  #end(gateway: Gateway): void {
    const held = gateway.held.shift()
    if (held === undefined) return
    const { amount, period } = held.share
    const over = this.#random() < 0.05 ? 5 * CREDIT : 0
    const credits = Math.floor(this.#random() * amount) + over
    const truth = this.#truth(period)
    truth.cost += credits
    truth.overrun += Math.max(0, credits - amount)
    this.#time.as(gateway, () => held.worker.end(held.share, credits, KEY))
  }

  async #work(gateway: Gateway, fate: Fate): Promise<void> {
    if (gateway.isPaused) return
    const thread = gateway.threads.find(({ isBusy }) => isBusy)
    const isClosing = thread?.isClosing === true && !this.#isCalm
    await this.#time.as(gateway, () => thread?.work(isClosing ? this.#fate() : fate))
  }

  #pass(ms: number): void {
    this.#time.pass(ms, (owner) => owner instanceof Gateway && owner.isPaused)
  }

  /** Time passes while the disk answers. */
  async #passLong(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 10_000) {
      this.#pass(Math.min(ms, 10_000))
      for (const gateway of this.#gateways) await this.#workOff(gateway)
    }
  }

  async #workOff(gateway: Gateway): Promise<void> {
    await this.#settle()
    for (let n = 0; n < 9 && gateway.threads.some(({ isBusy }) => isBusy); n++) {
      await this.#work(gateway, 'done')
      await this.#settle()
    }
  }

  #killWorker(gateway: Gateway): void {
    const worker = this.#pick(gateway.workers)
    if (worker === undefined || gateway.isPaused || this.#isCalm) return
    this.#lose(gateway, worker)
    this.#time.as(gateway, () => gateway.onLeft(worker))
  }

  /** Nobody knows what requests that died had cost. */
  #lose(gateway: Gateway, worker: TeamWorker): void {
    for (const { share } of gateway.held.filter((held) => held.worker === worker))
      this.#truth(share.period).cost += Math.floor(this.#random() * share.amount)
    gateway.held = gateway.held.filter((held) => held.worker !== worker)
  }

  #kill(gateway: Gateway): void {
    for (const worker of gateway.workers) this.#lose(gateway, worker)
    for (const truth of this.#truths.values()) truth.untold = truth.overrun
    this.#remove(gateway)
    for (const thread of gateway.threads) thread.destroy()
  }

  #remove(gateway: Gateway): void {
    this.#time.end(gateway)
    gateway.workers = []
    this.#gateways.splice(this.#gateways.indexOf(gateway), 1)
  }

  /** Ends a gateway in order. */
  async #close(gateway: Gateway): Promise<void> {
    gateway.isPaused = false
    await this.#workOff(gateway)
    this.#time.as(gateway, () => {
      for (const { allowances } of gateway.workers) allowances.drain()
    })
    await this.#settle() // some may have been given what others waited for
    while (gateway.held.length > 0) this.#end(gateway)
    this.#time.as(gateway, () => {
      for (const { allowances } of gateway.workers) allowances.giveBack()
    })
    await this.#settle()
    for (const worker of gateway.workers.slice())
      this.#time.as(gateway, () => gateway.onLeft(worker, false))
    let isClosed = false
    const closed = this.#time.as(gateway, () => gateway.book.close())
    void closed.then(() => (isClosed = true))
    for (let tries = 0; !isClosed; tries++) {
      if (tries > 100) throw new Error('the book does not close')
      await this.#workOff(gateway)
    }
    gateway.allowances.close()
    this.#remove(gateway)
    if (gateway.threads.some(({ isGone }) => !isGone)) throw new Error('a thread was left')
  }

  #jump(ms: number): void {
    this.#wallOffset += ms
    this.#hasJumped = true
  }

  /** A lease has been written: all that was written until now is on the disk. */
  #sync(): void {
    if (this.#isCalm) return
    for (const end of ['', '-wal']) {
      const path = usagePath(this.#folder) + end
      rmSync(`${path}.synced`, { force: true })
      if (existsSync(path)) copyFileSync(path, `${path}.synced`)
    }
  }

  /** Everything stops, and what was not on the disk for certain is gone. */
  #powerLoss(): void {
    const path = usagePath(this.#folder)
    if (this.#isCalm || !existsSync(`${path}.synced`)) return
    for (const gateway of this.#gateways.slice()) this.#kill(gateway)
    for (const end of ['', '-wal', '-shm']) {
      rmSync(path + end, { force: true })
      if (existsSync(`${path}${end}.synced`)) copyFileSync(`${path}${end}.synced`, path + end)
    }
  }

  #check(): void {
    const used = new Map([...this.#truths].map(([period, { cost }]) => [period, cost]))
    for (const { held } of this.#gateways)
      for (const { share } of held)
        used.set(share.period, (used.get(share.period) ?? 0) + share.amount)
    for (const [period, credits] of used) {
      const most = this.#limit + this.#truth(period).overrun
      if (credits > most) throw new Error(`${credits} used and reserved of ${most} in ${period}`)
    }
  }

  /** What is used and held in the book is within the limit, and enough for all that was used and is reserved. */
  #checkBook(): void {
    const db = new DatabaseSync(usagePath(this.#folder), { readOnly: true })
    const row = db.prepare('SELECT page FROM pages').get()
    db.close()
    if (row === undefined) return
    const { period, used, leases } = JSON.parse(String(row['page'])) as WrittenPage
    const held = Object.values(leases).reduce((sum, lease) => sum + lease.held, 0)
    const most = this.#limit + this.#truth(period.number).overrun
    if (used + held > most) throw new Error(`${used} used and ${held} held of ${most} in the book`)
    if (used < 0 || held < 0) throw new Error('less than nothing in the book')
    const { cost, overrun } = this.#truth(period.number)
    const running = this.#gateways
      .flatMap((gateway) => gateway.held)
      .filter(({ share }) => share.period === period.number)
      .reduce((sum, { share }) => sum + share.amount, 0)
    if (used + held < cost + running - overrun)
      throw new Error(`${used} used and ${held} held for ${cost} used and ${running} reserved`)
  }

  /** Everything comes to rest, and the file is compared with what was really used. */
  async #conclude(): Promise<void> {
    for (const gateway of this.#gateways.slice()) await this.#close(gateway)
    await this.#passLong(SILENCE_MS)
    this.#start()
    await this.#passLong(SILENCE_MS)
    for (const gateway of this.#gateways.slice()) await this.#close(gateway)
    const db = new DatabaseSync(usagePath(this.#folder), { readOnly: true })
    const text = String(db.prepare('SELECT page FROM pages').get()?.['page'])
    const days = Number(db.prepare('SELECT total(credits) AS sum FROM days').get()?.['sum'])
    const rows = Number(db.prepare('SELECT total(credits) AS sum FROM requests').get()?.['sum'])
    db.close()
    const page = JSON.parse(text) as WrittenPage
    const { cost, untold } = this.#truth(page.period.number)
    const { used, leases } = page
    // A clock that was set back may have the dead be silent for hours more.
    const held = Object.values(leases).reduce((sum, lease) => sum + lease.held, 0)
    if (!this.#hasJumped && held > 0) throw new Error(`held by nobody: ${text}`)
    if (used + held < cost - untold) throw new Error(`${used} in the book, and ${cost} were used`)
    if (this.#isCalm && used !== cost) throw new Error(`${used} in the book for ${cost}`)
    if (rows !== days) throw new Error(`${rows} in rows, ${days} in days`)
    if (!this.#hasJumped && days !== used) throw new Error(`${days} in days, ${used} used`)
  }
}

interface WrittenPage {
  readonly period: { readonly number: number }
  readonly used: number
  readonly leases: Readonly<Record<string, { readonly held: number }>>
}

interface GatewayOptions {
  readonly stateDir: string
  readonly limit: number
  readonly place: string
  readonly now: () => number
  readonly onLease: () => void
}

function silent(): void {}

/** One gateway: the book and the allowances of its primary, and its workers. */
class Gateway {
  readonly book: UsageBook
  readonly allowances: AllowanceControl
  readonly threads: SimThread[] = []
  readonly #limit: number
  workers: TeamWorker[] = []
  held: Held[] = []
  isPaused = false
  #count = 0

  constructor({ UsageBook, AllowanceControl, BookDatabase }: BookShells, options: GatewayOptions) {
    const { stateDir, limit, place, now, onLease } = options
    this.#limit = limit
    this.book = new UsageBook({
      stateDir,
      settings: () => ({ isKept: true, retentionDays: 90 }),
      log: { info: silent, warn: silent, error: silent },
      periods: () => this.allowances.periods(),
      onOpened: silent,
      onPages: (pages) => this.allowances.onPages(pages),
      onChange: () => this.allowances.onBook(),
      now,
      startThread: () => {
        const thread = new SimThread(BookDatabase, place, onLease)
        this.threads.push(thread)
        return thread
      }
    })
    this.allowances = new AllowanceControl({
      book: this.book,
      send: (member, grants) =>
        setImmediate(() => {
          this.workers.find(({ name }) => name === member)?.allowances.onGrants(grants)
        }),
      now
    })
  }

  start(): void {
    const credits = { limit: this.#limit / CREDIT, period: 'day' } as const
    this.allowances.setKeys([namedKey(KEY, { credits })])
    void this.book.start() // never rejects
    for (let n = 0; n < 2; n++) this.#join()
  }

  #join(): void {
    const name = `worker ${this.#count++}`
    const isThere = (): boolean => this.workers.includes(worker)
    const worker: TeamWorker = new TeamWorker(
      name,
      (reports) =>
        setImmediate(() => {
          if (isThere()) this.allowances.onReports(name, reports)
        }),
      (rows) =>
        setImmediate(() => {
          if (!isThere()) return
          this.allowances.onRows(name, rows)
          this.#record(rows)
        })
    )
    this.workers.push(worker)
  }

  #record(rows: readonly UsageRow[]): void {
    this.book.record(rows)
  }

  take(worker: TeamWorker, amount: number): void {
    const onShare = (share: Share): void => {
      if (this.workers.includes(worker)) this.held.push({ worker, share })
    }
    worker.take(`${KEY}/credits`, amount).then(onShare, silent) // refused
  }

  onLeft(worker: TeamWorker, isReplaced = true): void {
    this.workers.splice(this.workers.indexOf(worker), 1)
    this.#record(this.allowances.onLeft(worker.name))
    if (isReplaced) this.#join()
  }
}
