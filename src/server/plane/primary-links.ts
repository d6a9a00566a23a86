import inspector from 'node:inspector'
import { Pending, type ToPrimary } from '../../ipc/channel.ts'
import { BEAT_MS, LifeSigns } from '../../ipc/life-signs.ts'
import {
  type AccountBar,
  type AccountStanding,
  GOOD_STANDING,
  type UsageNews
} from '../../ipc/messages.ts'
import { type Learnt, TokenCalibration } from '../../kiro/models/tokens.ts'
import type { KeyUsage, UsageRow } from '../../ipc/usage-row.ts'
import type { AccountUsage } from '../../kiro/wire/account-usage.ts'
import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import { GatewayError } from '../../shared/errors.ts'
import { barMs, isWaitedFor } from '../../upstream/call/retry.ts'

const DAY_MS = 86_400_000

const NOT_ADMITTED =
  'The sign-in is good, but this subscription or seat does not admit other programs than it knows; the gateway names itself and does not pose as another. ' +
  'API keys are the official way for programs: create one (ksk_…) for this account and set KIRO_API_KEY; an administrator may have to allow keys first, and knows which applications the seat admits. ' +
  'How the gateway names itself is set by KIRO_USER_AGENT, at your own responsibility.'

const LIKELY_LOCKED =
  'The upstream has suspected abuse on this account within a day, so this is likely to be part of it: stop using the account for automation and contact its support.'

/**
 * Said of what is remembered, for the upstream's own refusal goes on as it is (kiro-protocol §8.6). Qwen Code asks for 40
 * minutes after any other 429; it looks for "quota", "exhausted" and "reset at".
 */
const QUOTA_EXHAUSTED = 'The quota is exhausted until it is reset at the upstream.'

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
    const now = this.#now()
    const bar = [...this.#standing.bars, this.#heard].find((one) => one !== null && one.until > now)
    if (bar === undefined || bar === null) return null
    const { code, until } = bar
    const said = code === 'GW_UPSTREAM_QUOTA' ? `${bar.message} ${QUOTA_EXHAUSTED}` : bar.message
    const message = `${said} The gateway asks the upstream again after ${new Date(until).toISOString()}.`
    return new GatewayError(code, 'remembered', { message, retryAfterS: (until - now) / 1000 })
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
    const told = this.#inContext(error, fault)
    const { bar, retryAfterS } = fault
    if (bar === null || told.code !== fault.code) return told
    const ms = barMs({ bar, retryAfterS }, 0)
    if (ms === 0) return told
    const { code, message } = told
    const now = this.#now()
    // Calls that were under way tell nothing new, and not as exactly as it is known.
    const isKnown = this.#standing.bars.some((one) => one.bar === bar && one.until > now)
    if (isKnown) return told.with({ retryAfterS: ms / 1000 })
    this.#channel.send({ type: 'account.refused', refusal: { bar, code, message, retryAfterS } })
    if (isWaitedFor(bar, ms)) {
      this.#pause(ms)
      return told
    }
    this.#heard = { bar, code, message, until: now + ms }
    this.#refuseOthers()
    return told.with({ retryAfterS: ms / 1000 })
  }

  #refuseOthers(): void {
    const { problem } = this
    if (problem !== null) this.#refuseWaiting(problem)
  }

  #inContext(error: GatewayError, { status, message }: UpstreamFault): GatewayError {
    const { suspectedAt } = this.#standing
    const isSuspect = suspectedAt !== null && this.#now() - suspectedAt < DAY_MS
    if (error.code === 'GW_CLIENT_NOT_ADMITTED') {
      const advice = isSuspect ? LIKELY_LOCKED : NOT_ADMITTED
      return error.with({ message: `${error.message} ${advice}` })
    }
    const isLocked = isSuspect && status === 403 && /^user is not authorized\.?$/i.test(message)
    return isLocked ? error.with({ code: 'GW_UPSTREAM_SUSPENDED', message }) : error
  }
}

/** What the account and its keys have used, as the primary tells it: it alone asks the upstream, and keeps the record. */
export class UsageReports {
  readonly #channel: ToPrimary
  readonly #pulse: Pick<PrimaryPulse, 'silence'>
  readonly #reports = new Pending<UsageNews>()
  readonly #keys = new Pending<readonly KeyUsage[]>()

  constructor(channel: ToPrimary, pulse: Pick<PrimaryPulse, 'silence'>) {
    this.#channel = channel
    this.#pulse = pulse
  }

  /** @throws {GatewayError} why it can't be known now; GW_PRIMARY_SILENT */
  async current(): Promise<AccountUsage> {
    const { usage, problem } = await this.#reports.ask((requestId) => {
      this.#channel.send({ type: 'usage.wanted', requestId })
    }, this.#pulse.silence)
    if (usage !== null) return usage
    throw new GatewayError(problem.code, undefined, { message: problem.message })
  }

  /** How one key stands, or all of them. @throws {GatewayError} GW_PRIMARY_SILENT */
  keys(key: string | null): Promise<readonly KeyUsage[]> {
    return this.#keys.ask((requestId) => {
      this.#channel.send({ type: 'key-usage.wanted', requestId, key })
    }, this.#pulse.silence)
  }

  onKeysTold(requestId: number, keys: readonly KeyUsage[]): void {
    this.#keys.answer(requestId, keys)
  }

  onTold(requestId: number, news: UsageNews): void {
    this.#reports.answer(requestId, news)
  }
}

export interface RequestRecordsOptions {
  readonly channel: ToPrimary
  /** Nobody reads what is sent now: the primary hangs. */
  readonly isPrimarySilent: () => boolean
  /** Somebody keeps them, or counts by them. */
  readonly isWanted: () => boolean
}

/**
 * So long after a request is over the primary hears of it, with those of others: a message for each would cost it more than
 * all else that it does for a request. A worker that is killed meanwhile takes them along.
 */
const RECORDS_DELAY_MS = 200
/** A message stays small. */
const MAX_ROWS = 200
/** While the primary hangs. Of more the oldest are lost. */
const MAX_ROWS_KEPT = 5_000

/** What this worker's requests have used, on its way to the primary: a few messages a second, however many requests. */
export class RequestRecords {
  readonly #options: RequestRecordsOptions
  /** Bounded by MAX_ROWS_KEPT. */
  #rows: UsageRow[] = []
  #timer: NodeJS.Timeout | null = null

  constructor(options: RequestRecordsOptions) {
    this.#options = options
  }

  note(row: UsageRow): void {
    if (!this.#options.isWanted()) return
    if (this.#rows.length >= MAX_ROWS_KEPT) this.#rows.shift()
    this.#rows.push(row)
    if (this.#rows.length >= MAX_ROWS) this.flush()
    this.#wake()
  }

  /** Sends what there is. */
  flush(): void {
    const { channel, isPrimarySilent } = this.#options
    if (isPrimarySilent()) return
    const rows = this.#rows
    this.#rows = []
    for (let at = 0; at < rows.length; at += MAX_ROWS) {
      channel.send({ type: 'usage.rows', rows: rows.slice(at, at + MAX_ROWS) })
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

/** After so much silence of the primary its answers are no longer waited for. */
const PATIENCE = { ms: 5_000, firstMs: 0 } as const

/**
 * Tells the primary that this worker's event loop turns, and whether the primary's does. While that one hangs, a worker
 * goes on with the permits and the credential that it has; what only the primary knows is refused in time.
 */
export class PrimaryPulse {
  readonly #channel: ToPrimary
  readonly #signs = new LifeSigns<'primary'>()
  readonly #timer: NodeJS.Timeout
  #silence = new AbortController()

  constructor(channel: ToPrimary) {
    this.#channel = channel
    this.#timer = setInterval(() => this.#beat(), BEAT_MS)
    this.#timer.unref()
  }

  /** Aborts when the primary falls silent; another one is in force when it is heard again. */
  get silence(): AbortSignal {
    return this.#silence.signal
  }

  get isSilent(): boolean {
    return this.#silence.signal.aborted
  }

  /** The primary has spoken, whatever it said. From the first time on its silence counts. */
  heard(): void {
    this.#signs.add('primary')
    if (this.isSilent) this.#silence = new AbortController()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #beat(): void {
    this.#signs.beat()
    if (!this.isSilent && this.#signs.silent(PATIENCE).length > 0) {
      this.#silence.abort(new GatewayError('GW_PRIMARY_SILENT', undefined, { retryAfterS: 5 }))
    }
    // Unread, it would pile up.
    if (!this.isSilent) {
      this.#channel.send({ type: 'worker.alive', isDebugged: inspector.url() !== undefined })
    }
  }
}
