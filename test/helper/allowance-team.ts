import { setImmediate as turn } from 'node:timers/promises'
import type { AllowanceEntry } from '../../src/admission/allowance-core.ts'
import { AllowanceJournal } from '../../src/admission/allowance-journal.ts'
import { Allowances, type Share } from '../../src/admission/allowances.ts'
import { AllowanceDesk } from '../../src/control/allowances/allowance-desk.ts'
import { AllowanceStore } from '../../src/control/allowances/allowance-store.ts'
import type { AllowanceName, AllowanceReport, AllowanceTerms } from '../../src/ipc/allowance.ts'
import { type CreditLimit, MICROS_PER_CREDIT, type NamedKey } from '../../src/keys/key.ts'
import type { UsageRow } from '../../src/ipc/usage-row.ts'
import { RowJournal } from '../../src/server/plane/primary-links.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { recordedLog } from './recorded-log.ts'

export function namedKey(id: string, limits: Partial<NamedKey> = {}): NamedKey {
  return {
    id,
    name: id,
    hashes: [],
    credits: null,
    requestsPerMinute: null,
    maxStreams: null,
    models: null,
    expiresAt: null,
    revokedAt: null,
    createdAt: 0,
    ...limits
  }
}

export function perDay(limit: number): CreditLimit {
  return { limit, period: 'day' }
}

/** A worker without its process: its allowances, its journal and its end of the channel. */
export class TeamWorker {
  readonly name: string
  readonly journal: string
  /** Of its journal. */
  readonly path: string
  readonly allowances: Allowances
  readonly silence = new AbortController()
  /** Messages to the primary. */
  sent = 0
  isAlive = true
  readonly #written: AllowanceJournal
  readonly #rows: RowJournal
  #seq = 0

  constructor(
    name: string,
    { desk, store }: Pick<Team, 'desk' | 'store'>,
    send: (reports: readonly AllowanceReport[]) => void
  ) {
    this.name = name
    this.journal = name.replaceAll(' ', '-')
    this.path = desk.journalPath(this.journal)
    this.#written = new AllowanceJournal(this.path, {
      onFailure: (cause) => {
        throw cause
      }
    })
    this.#rows = new RowJournal(store.rowsPath(store.journalId(this.journal)), {
      onFailure: (cause) => {
        throw cause
      },
      onNextFile: () => this.#written.flush()
    })
    this.allowances = new Allowances({
      send: (reports) => {
        this.sent += 1
        send(reports)
      },
      note: (entry) => {
        if (this.isAlive) this.#written.note(entry)
      },
      owe: (entry) => {
        if (this.isAlive) this.#written.owe(entry)
      },
      silence: () => this.silence.signal
    })
  }

  take(name: AllowanceName, amount: number, signal = new AbortController().signal): Promise<Share> {
    return this.allowances.take({ name, amount, arrivedAt: performance.now(), refusal }, signal)
  }

  /** Takes a whole credit. */
  takeCredit(keyId = 'anna'): Promise<Share> {
    return this.take(`${keyId}/credits`, MICROS_PER_CREDIT)
  }

  /** As at the end of a request: its row says what it has cost. */
  record(share: Share, row: UsageRow): void {
    const seq = this.#seq++
    share.record((entry) => {
      if (entry === null) return false
      const { name: _, ...credits } = entry
      return this.#rows.note({ seq, row, credits })
    })
  }

  /** A killed process writes nothing more. */
  close(): void {
    if (this.isAlive) this.#written.close()
    this.#rows.close()
  }
}

/** How long a run is waited for, and how often others are looked at. */
interface TeamPace {
  readonly staleMs?: number
  readonly surveyMs?: number
}

/** The primary's desk with its files, and workers that speak with it as over the channel. */
export class Team {
  readonly desk: AllowanceDesk
  readonly store: AllowanceStore
  readonly workers: TeamWorker[] = []
  /** What workers have left that are gone. */
  readonly lost: AllowanceEntry[] = []
  readonly log = recordedLog()
  now = Date.parse('2026-11-26T12:00:00Z')
  static #count = 0

  constructor(stateDir: string, { staleMs = 120_000, surveyMs = 10_000 }: TeamPace = {}) {
    this.store = new AllowanceStore({ stateDir, log: this.log.log, staleMs })
    this.desk = new AllowanceDesk({
      store: this.store,
      log: this.log.log,
      send: (member, terms) => this.#deliver(member, terms),
      onLeft: (left) => this.lost.push(...left.flatMap(({ entries }) => entries)),
      now: () => this.now,
      surveyMs
    })
  }

  static async start(
    stateDir: string,
    keys: readonly NamedKey[],
    workers: number,
    pace?: TeamPace
  ): Promise<Team> {
    const team = new Team(stateDir, pace)
    await team.desk.start()
    team.desk.setKeys(keys)
    for (let i = 0; i < workers; i += 1) team.join()
    return team
  }

  join(): TeamWorker {
    const worker: TeamWorker = new TeamWorker(`worker ${Team.#count++}`, this, (reports) =>
      setImmediate(() => {
        if (this.workers.includes(worker)) this.desk.onReports(worker.name, copyOf(reports))
      })
    )
    this.workers.push(worker)
    return worker
  }

  /** As SIGKILL: nothing more is written, and nothing more heard. */
  kill(worker: TeamWorker): void {
    worker.isAlive = false
    worker.close()
    this.workers.splice(this.workers.indexOf(worker), 1)
    this.lost.push(...this.desk.onLeft(worker.name, worker.journal))
  }

  /** As SIGKILL of all processes. */
  killAll(): void {
    for (const worker of this.workers.splice(0)) {
      worker.isAlive = false
      worker.close()
    }
  }

  /** In order: what has been settled is written. */
  async close(): Promise<void> {
    await turn()
    for (const worker of this.workers.slice()) this.kill(worker)
    await this.desk.close()
  }

  #deliver(member: string, terms: readonly AllowanceTerms[]): void {
    setImmediate(() => {
      this.workers.find(({ name }) => name === member)?.allowances.onTerms(copyOf(terms))
    })
  }
}

function refusal(): GatewayError {
  return new GatewayError('GW_KEY_INVALID')
}

function copyOf<Message>(message: Message): Message {
  return JSON.parse(JSON.stringify(message)) as Message
}
