import { closeSync, existsSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { AllowanceJournal } from '../../admission/allowance-journal.ts'
import type { ToPrimary } from '../../ipc/channel.ts'
import { type AccountBar, type AccountStanding, GOOD_STANDING } from '../../ipc/messages.ts'
import { type Learnt, TokenCalibration } from '../../kiro/models/tokens.ts'
import { ROWS_PER_FILE, type UsageRow, type WrittenRow } from '../../ipc/usage-row.ts'
import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import { GatewayError } from '../../shared/errors.ts'
import { failureOf } from '../../shared/failures.ts'
import { makeInnerFolderNow } from '../../shared/private-files.ts'
import { markOf, type ProcessMark } from '../../shared/process-mark.ts'
import { barMs, isWaitedFor } from '../../upstream/call/retry.ts'
import { inContext, wordBar } from './account-advice.ts'
import { type Charged, recordAll } from './open-turns.ts'

const DAY_MS = 86_400_000

export interface AccountLinkOptions {
  readonly channel: ToPrimary
  readonly standing: AccountStanding
  /** Nothing is to be asked for so many milliseconds; requests wait. */
  readonly pause: (ms: number) => void
  /** Nothing is to be asked for longer: whoever waits is told so. */
  readonly refuseWaiting: (error: GatewayError) => void
  /** Milliseconds since the epoch. */
  readonly now?: () => number
}

/** The worker's view of what refusals have said of the account as a whole; the primary gathers what all have heard. */
export class AccountLink {
  readonly #channel: ToPrimary
  readonly #pause: AccountLinkOptions['pause']
  readonly #refuseWaiting: AccountLinkOptions['refuseWaiting']
  readonly #now: () => number
  #standing = GOOD_STANDING
  /** Heard here; the primary's word on it is under way. */
  #heard: AccountBar | null = null

  constructor(options: AccountLinkOptions) {
    const { channel, standing, pause, refuseWaiting, now = () => Date.now() } = options
    this.#channel = channel
    this.#pause = pause
    this.#refuseWaiting = refuseWaiting
    this.#now = now
    this.onStanding(standing)
  }

  /** Why no request may be served now, or `null`. */
  get problem(): GatewayError | null {
    if (this.#standing.bars.length === 0 && this.#heard === null) return null // asked three times a request
    const now = this.#now()
    const bar = [...this.#standing.bars, this.#heard].find((one) => one !== null && one.until > now)
    if (bar === undefined || bar === null) return null
    const { code, until } = bar
    const message = `${wordBar(code, this.#isSuspect)} The gateway asks the upstream again after ${new Date(until).toISOString()}.`
    const retryAfterS = (until - now) / 1000
    const details = { failure: failureOf(code) }
    return new GatewayError(code, 'remembered', { message, retryAfterS, details })
  }

  /** @throws {GatewayError} when the upstream is not to be asked for a time. */
  check(): void {
    const { problem } = this
    if (problem !== null) throw problem
  }

  onStanding(standing: AccountStanding): void {
    const { pausedUntil } = standing
    const isNews = pausedUntil !== null && pausedUntil !== this.#standing.pausedUntil
    const now = this.#now()
    this.#standing = standing
    this.#heard = null
    if (isNews && pausedUntil > now) this.#pause(pausedUntil - now)
    this.#refuseOthers()
  }

  /** Takes in what the upstream's refusal says of the account. Gives the error for the client. */
  heed(error: GatewayError, fault: UpstreamFault | null): GatewayError {
    if (fault === null) return error
    const told = inContext(error, fault, this.#isSuspect)
    const { bar, retryAfterS } = fault
    if (bar === null || told.code !== fault.code) return told
    const ms = barMs({ bar, retryAfterS }, 0)
    if (ms === 0) return told
    const { code, message: reason } = told
    const now = this.#now()
    // Calls that were under way tell nothing new, and not as exactly as it is known.
    const isKnown = this.#standing.bars.some((one) => one.bar === bar && one.until > now)
    if (isKnown) return told.with({ retryAfterS: ms / 1000 })
    this.#channel.send({ type: 'account.refused', refusal: { bar, code, reason, retryAfterS } })
    if (isWaitedFor(bar, ms)) {
      this.#pause(ms)
      return told
    }
    this.#heard = { bar, code, until: now + ms }
    this.#refuseOthers()
    return told.with({ retryAfterS: ms / 1000 })
  }

  #refuseOthers(): void {
    const { problem } = this
    if (problem !== null) this.#refuseWaiting(problem)
  }

  get #isSuspect(): boolean {
    const { suspectedAt } = this.#standing
    return suspectedAt !== null && this.#now() - suspectedAt < DAY_MS
  }
}

export interface RequestRecordsOptions {
  readonly channel: ToPrimary
  readonly journal: Pick<RowJournal, 'note' | 'noteBegun'>
  /** What rows have said of credits stands there before the primary hears of them: then their files may go. */
  readonly allowances: Pick<AllowanceJournal, 'flush'>
  /** The primary hears of what was used before it hears of rows, by which it looks whether a limit is near. */
  readonly tellCredits: () => void
  /** Nobody reads what is sent now: the primary hangs. */
  readonly isPrimarySilent: () => boolean
  /** They are kept, or keys have limits: what a killed worker has not told must be found. */
  readonly isJournalled: () => boolean
}

/**
 * So long after a request is over the primary hears of it, with those of others: a message for each would cost it more than
 * all else that it does for a request. Of a worker that is killed meanwhile it finds them in the journal.
 */
const RECORDS_DELAY_MS = 200
/** A message stays small. */
const MAX_ROWS = 200
/** While the primary hangs. Of more the oldest are left to the journal. */
const MAX_ROWS_KEPT = 5_000

/** What this worker's requests have used, on its way to the primary: a few messages a second, however many requests. */
export class RequestRecords {
  readonly #options: RequestRecordsOptions
  /** The newest. Bounded by MAX_ROWS_KEPT. */
  #rows: UsageRow[] = []
  /** Of the next row. */
  #seq = 0
  #begun = 0
  #timer: NodeJS.Timeout | null = null

  constructor(options: RequestRecordsOptions) {
    this.#options = options
  }

  /** A request has come, of which there will be a row. */
  begin(): void {
    this.#begun++
    if (this.#options.isJournalled()) this.#options.journal.noteBegun(this.#begun)
  }

  /** A request is over; `charges` are what its key was charged, all of it in the row. */
  note(row: UsageRow, charges: readonly Pick<Charged, 'record'>[] = []): void {
    const { isJournalled, journal } = this.#options
    const isWritten = isJournalled()
    const seq = this.#seq++
    const written = withoutWords(row)
    recordAll(charges, (credits) => {
      if (!isWritten) return false
      if (credits !== undefined) return journal.note({ seq, row: written, credits })
      journal.note({ seq, row: written })
      return false
    })
    if (this.#rows.length >= MAX_ROWS_KEPT) this.#rows.shift()
    this.#rows.push(row)
    if (this.#rows.length >= MAX_ROWS) this.flush()
    this.#wake()
  }

  /** Sends what there is. */
  flush(): void {
    const { channel, allowances, tellCredits, isPrimarySilent } = this.#options
    if (isPrimarySilent()) return
    allowances.flush()
    tellCredits()
    const rows = this.#rows
    const first = this.#seq - rows.length
    this.#rows = []
    for (let at = 0; at < rows.length; at += MAX_ROWS) {
      channel.send({ type: 'usage.rows', from: first + at, rows: rows.slice(at, at + MAX_ROWS) })
    }
  }

  #wake(): void {
    if (this.#timer !== null) return
    this.#timer = setTimeout(() => this.#onTime(), RECORDS_DELAY_MS)
    this.#timer.unref()
  }

  #onTime(): void {
    this.#timer = null
    this.flush()
    if (this.#rows.length > 0) this.#wake()
  }
}

/** Returns the row as it may stand on a disk: why a request failed is told to the operator alone, and may quote a client. */
function withoutWords(row: UsageRow): UsageRow {
  if (row.turn?.failure === undefined) return row
  const { failure: _, ...turn } = row.turn
  return { ...row, turn }
}

/** Files of a worker that the primary has not removed: then it records nothing, and neither does this. */
const MAX_FILES = 16
/** Of the usual line there are some five hundred. */
const LINE_BYTES = 8_192

/**
 * Where a worker writes down what its requests have used, for the case that it dies before the primary has it in the record.
 * A line for each, see `WrittenRow`; ROWS_PER_FILE in a file, which the primary removes once the record has them. A line for
 * each request that begins, too, so that those are known that die with the worker. Of credits only the last file says what the
 * journal of the allowances may not say yet.
 * What is written is safe from the death of all processes, though not from a power cut. It takes some five microseconds.
 */
export class RowJournal {
  readonly #path: string
  readonly #options: RowJournalOptions
  #file: { readonly fd: number | null; readonly number: number } | null = null
  #hasFailed = false
  #begun = 0
  #isBegunDue = false
  /** For most lines: one for each would cost a fifth of what it takes to write it. */
  readonly #line = Buffer.alloc(LINE_BYTES)
  /** This one and its primary, by which it is told whether they still run. */
  #processes: readonly ProcessMark[] | null = null

  constructor(path: string, options: RowJournalOptions) {
    this.#path = path
    this.#options = options
  }

  /** Has a first file, which says who writes. */
  begin(): void {
    if (this.#file === null) this.#open(0)
  }

  /** False where it could not be written. */
  note(written: WrittenRow): boolean {
    const number = Math.floor(written.seq / ROWS_PER_FILE)
    if (this.#file?.number !== number) this.#open(number)
    return this.#write(`${this.#takeBegun()}${JSON.stringify(written)}\n`)
  }

  /** So many requests have begun. Written with the next row of this turn of the event loop, or at its end. */
  noteBegun(begun: number): void {
    this.#begun = begun
    if (this.#file === null) return this.#open(0)
    if (!this.#isBegunDue) setImmediate(() => this.#write(this.#takeBegun()))
    this.#isBegunDue = true
  }

  #takeBegun(): string {
    if (!this.#isBegunDue) return ''
    this.#isBegunDue = false
    return `{"begun":${this.#begun}}\n`
  }

  /** The files stay for the primary. */
  close(): void {
    if (this.#file !== null && this.#file.fd !== null) closeSync(this.#file.fd)
    this.#file = { fd: null, number: Infinity }
  }

  #open(number: number): void {
    if (this.#file?.number === Infinity) return // closed
    this.#options.onNextFile()
    if (this.#file !== null && this.#file.fd !== null) closeSync(this.#file.fd)
    this.#file = { fd: null, number }
    if (existsSync(`${this.#path}-${number - MAX_FILES}`)) return
    try {
      makeInnerFolderNow(dirname(this.#path))
      this.#file = { fd: openSync(`${this.#path}-${number}`, 'wx', 0o600), number }
      this.#processes ??= [markOf(process.pid), markOf(process.ppid)]
      this.#isBegunDue = true
      this.#write(`${JSON.stringify({ processes: this.#processes })}\n${this.#takeBegun()}`)
    } catch (cause) {
      this.#fail(cause)
    }
  }

  #write(text: string): boolean {
    const { fd = null, number = 0 } = this.#file ?? {}
    if (fd === null || text === '') return false
    try {
      const bytes = text.length * 3 <= LINE_BYTES ? this.#line : Buffer.alloc(text.length * 3)
      const length = bytes.write(text)
      // A disk that is nearly full takes a part without saying so; the next line would go on in the middle of this one.
      if (writeSync(fd, bytes, 0, length) < length)
        throw Object.assign(new Error('a part was written'), { code: 'ENOSPC' })
      return true
    } catch (cause) {
      this.#file = { fd: null, number } // half a line may be there: nothing comes behind it
      closeSync(fd)
      this.#fail(cause)
      return false
    }
  }

  #fail(cause: unknown): void {
    if (!this.#hasFailed) this.#options.onFailure(cause)
    this.#hasFailed = true
  }
}

export interface RowJournalOptions {
  /** Called once; with the next file it is tried again. */
  readonly onFailure: (cause: unknown) => void
  /** Called before another file is begun: what rows have said of credits must stand in the journal of the allowances then. */
  readonly onNextFile: () => void
}

/** As many messages and no more, however many requests end. */
const INTERVAL_MS = 1_000

/**
 * A worker's copy of what all workers have learnt of the upstream's tokenizers. What this one learns counts here at
 * once; the primary puts the lessons of all in one order, and what it says wins. So workers count alike, and one that
 * is started later knows what the others do.
 */
export class SharedCalibration {
  readonly #channel: ToPrimary
  readonly #now: () => number
  readonly #calibration = new TokenCalibration()
  /** When a lesson of a model was last told. Bounded by the answers that end within INTERVAL_MS. */
  readonly #toldAt = new Map<string, number>()

  /** `now` gives milliseconds of a clock that never goes back. */
  constructor(channel: ToPrimary, now = () => performance.now()) {
    this.#channel = channel
    this.#now = now
  }

  /** As `TokenCalibration.learn()`, but for a model once in a second: what is not told would make workers differ. */
  learn(modelId: string, estimated: number, measured: number): void {
    const at = this.#now()
    if (at - (this.#toldAt.get(modelId) ?? -INTERVAL_MS) < INTERVAL_MS) return
    if (this.#calibration.learn(modelId, estimated, measured) === null) return
    for (const [id, toldAt] of this.#toldAt) if (at - toldAt >= INTERVAL_MS) this.#toldAt.delete(id)
    this.#toldAt.set(modelId, at)
    this.#channel.send({ type: 'calibration.lesson', modelId, estimated, measured })
  }

  correct(modelId: string, estimated: number): number {
    return this.#calibration.correct(modelId, estimated)
  }

  onLearnt(learnt: Learnt): void {
    this.#calibration.adopt(learnt)
  }
}
