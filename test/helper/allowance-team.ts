import { setImmediate as turn } from 'node:timers/promises'
import { Allowances, type Share } from '../../src/admission/allowances.ts'
import { monotonicNow } from '../../src/admission/clock.ts'
import { AllowanceControl } from '../../src/control/allowances/allowance-control.ts'
import type { AllowanceName, AllowanceReport, AllowanceGrant } from '../../src/ipc/allowance.ts'
import type { UsageRow } from '../../src/ipc/usage-row.ts'
import { type CreditLimit, MICROS_PER_CREDIT, type NamedKey } from '../../src/keys/key.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { MemoryBook, MemoryRun } from './memory-book.ts'
import { namedKey as anyKey } from './named-key.ts'
import { usageRow } from './usage-row.ts'

export function namedKey(id: string, limits: Partial<NamedKey> = {}): NamedKey {
  return anyKey({ id, name: id, hashes: [], createdAt: 0, ...limits })
}

export function perDay(limit: number): CreditLimit {
  return { limit, period: 'day' }
}

/** A worker without its process: its allowances and its end of the channel. */
export class TeamWorker {
  readonly name: string
  readonly allowances: Allowances
  readonly silence = new AbortController()
  /** Messages to the primary. */
  sent = 0
  readonly #tell: (rows: readonly UsageRow[]) => void

  constructor(
    name: string,
    send: (reports: readonly AllowanceReport[]) => void,
    tell: (rows: readonly UsageRow[]) => void
  ) {
    this.name = name
    this.#tell = tell
    this.allowances = new Allowances({
      send: (reports) => {
        this.sent += 1
        send(reports)
      },
      silence: () => this.silence.signal
    })
  }

  take(name: AllowanceName, amount: number, signal = new AbortController().signal): Promise<Share> {
    return this.allowances.take({ name, amount, arrivedAt: monotonicNow(), refusal }, signal)
  }

  /** Takes a whole credit. */
  takeCredit(keyId = 'anna'): Promise<Share> {
    return this.take(`${keyId}/credits`, MICROS_PER_CREDIT)
  }

  /** Ends a request as a turn does: it is settled, and its row goes to the primary. */
  end(share: Share, credits: number, key = 'anna'): void {
    share.settle(credits)
    this.#tell([usageRow({ key, credits, charges: [{ period: share.period, credits }] })])
    this.allowances.tell()
  }
}

/** The primary's allowances with a book in memory, and workers that speak with it as over the channel. */
export class Team {
  readonly allowances: AllowanceControl
  readonly book: MemoryBook
  readonly run: MemoryRun
  readonly workers: TeamWorker[] = []
  /** Rows for credits that died with a worker. */
  readonly lost: UsageRow[] = []
  now = Date.parse('2026-11-26T12:00:00Z')
  static #count = 0

  constructor(keys: readonly NamedKey[], workers: number, book = new MemoryBook()) {
    this.book = book
    this.run = new MemoryRun(book, `run ${Team.#count++}`)
    this.allowances = new AllowanceControl({
      book: this.run,
      send: (member, grant) => this.#deliver(member, grant),
      now: () => this.now
    })
    this.allowances.setKeys(keys)
    for (let i = 0; i < workers; i += 1) this.join()
  }

  join(): TeamWorker {
    const name = `worker ${Team.#count++}`
    const isThere = (): boolean => this.workers.includes(worker)
    const worker: TeamWorker = new TeamWorker(
      name,
      (reports) =>
        setImmediate(() => {
          if (isThere()) this.allowances.onReports(name, copyOf(reports))
        }),
      (rows) =>
        setImmediate(() => {
          if (isThere()) this.#onRows(name, rows)
        })
    )
    this.workers.push(worker)
    return worker
  }

  /** As SIGKILL: nothing more is heard. */
  kill(worker: TeamWorker): void {
    this.workers.splice(this.workers.indexOf(worker), 1)
    const rows = this.allowances.onLeft(worker.name)
    this.lost.push(...rows)
    this.#settle(rows)
  }

  /** As SIGKILL of all processes, which another run has noticed. */
  killAll(): void {
    this.workers.splice(0)
    this.allowances.close()
    this.run.end('lose')
  }

  /** In order. */
  async close(): Promise<void> {
    for (const worker of this.workers) worker.allowances.giveBack()
    for (let i = 0; i < 5; i++) await turn()
    for (const worker of this.workers.slice()) this.kill(worker)
    this.allowances.close()
    this.run.end('end')
  }

  #onRows(member: string, rows: readonly UsageRow[]): void {
    this.allowances.onRows(member, rows)
    this.#settle(rows)
  }

  #settle(rows: readonly UsageRow[]): void {
    const charges = rows.flatMap(({ key, charges: of = [] }) => of.map((one) => ({ key, ...one })))
    setImmediate(() => this.allowances.onPages(this.run.settle(charges)))
  }

  #deliver(member: string, grants: readonly AllowanceGrant[]): void {
    setImmediate(() => {
      this.workers.find(({ name }) => name === member)?.allowances.onGrants(copyOf(grants))
    })
  }
}

function refusal(): GatewayError {
  return new GatewayError('GW_KEY_INVALID')
}

function copyOf<Message>(message: Message): Message {
  return JSON.parse(JSON.stringify(message)) as Message
}
