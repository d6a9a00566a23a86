import type { AccountBar, AccountRefusal, AccountStatus, UsageNews } from '../../ipc/messages.ts'
import { GOOD_STATUS } from '../../ipc/messages.ts'
import type { Bar } from '../../kiro/wire/fault-table.ts'
import type { Logger } from '../../observe/logger.ts'
import { barMs, isWaitedFor } from '../../upstream/call/retry.ts'

export interface VerdictMemoryOptions {
  readonly usage: () => Promise<UsageNews>
  readonly log: Pick<Logger, 'warn'>
  readonly onNews: (status: AccountStatus) => void
  /** Epoch ms. */
  readonly now?: () => number
}

/** The most serious first: clients read one. */
export const BARS: readonly Bar[] = [
  'suspicion',
  'not-admitted',
  'monthly',
  'unnamed',
  'daily',
  'hourly',
  'credit-rate',
  'user-rate',
  'rate'
]

const UNFORGIVEN: readonly Bar[] = ['suspicion', 'credit-rate', 'user-rate', 'rate']

const DAY_MS = 86_400_000

/** A later reset is an error of the upstream that would lock the account out. */
const LAST_RESET_MS = 366 * DAY_MS

const PAUSE_STEP_MS = 200

/**
 * Remembers verdicts on the account for all workers: a quota until its reset, a suspicion for a doubling time, a short
 * wait as a pause. Kept in memory: a restart asks once more.
 */
export class VerdictMemory {
  readonly #options: VerdictMemoryOptions
  readonly #now: () => number
  #status = GOOD_STATUS
  #suspicions = 0

  constructor(options: VerdictMemoryOptions) {
    this.#options = options
    this.#now = options.now ?? (() => Date.now())
  }

  get status(): AccountStatus {
    return this.#status
  }

  get suspicions(): number {
    return this.#suspicions
  }

  /** Another gateway with this account has heard this. */
  adopt(status: AccountStatus, suspicions: number): void {
    this.#suspicions = Math.max(this.#suspicions, suspicions)
    this.#tell({ ...status, bars: status.bars.toSorted(byWeight) })
  }

  /** Never rejects; resolves when all consequences are known. */
  async refused(refusal: AccountRefusal): Promise<void> {
    const now = this.#now()
    const { bar } = refusal
    const known = this.#status.bars.find((one) => one.bar === bar && one.until > now)
    if (bar === 'suspicion') this.#countSuspicion(now, known !== undefined)
    if (known !== undefined) return
    const until = now + barMs(refusal, Math.max(0, this.#suspicions - 1))
    if (isWaitedFor(bar, until - now)) return this.#pause(refusal, until)
    const end = bar === 'daily' ? Math.min(until, nextMidnight(now)) : until
    this.#enter(refusal, end)
    if (bar !== 'monthly') return this.#announce(refusal, end)
    const { usage } = await this.#options.usage()
    const resetsAt = usage?.resetsAt ?? 0
    const isInForce = this.#status.bars.some((one) => one.bar === bar)
    const isCredible = resetsAt > now && resetsAt <= now + LAST_RESET_MS
    if (isInForce && isCredible) this.#enter(refusal, resetsAt)
    this.#announce(refusal, isCredible ? resetsAt : end)
  }

  /** Calls under way prolong the pause a little; announced only if it matters. */
  #pause({ code, reason }: AccountRefusal, until: number): void {
    const before = this.#status.pausedUntil ?? 0
    if (until < before + PAUSE_STEP_MS) return
    if (before <= this.#now()) {
      const facts = { code, reason, until: new Date(until).toISOString() }
      this.#options.log.warn(facts, 'upstream asked for a pause')
    }
    this.#tell({ ...this.#status, pausedUntil: until })
  }

  /**
   * After a reload, asks again about quota and admission. Timed limits stay, and so does suspicion, which advised the
   * reload.
   */
  forgive(): void {
    const bars = this.#status.bars.filter(({ bar }) => UNFORGIVEN.includes(bar))
    if (bars.length === this.#status.bars.length) return
    this.#tell({ ...this.#status, bars })
  }

  /** On an operator's word, requests are tried again at once. Returns what was lifted; `null` means everything. */
  lift(bar: string | null): readonly Bar[] {
    const now = this.#now()
    const isMeant = (one: AccountBar): boolean => bar === null || one.bar === bar
    const lifted = this.#status.bars.filter((one) => one.until > now && isMeant(one))
    if (lifted.length === 0) return []
    const bars = this.#status.bars.filter((one) => !lifted.includes(one))
    const isSuspected = bars.some((one) => one.bar === 'suspicion')
    const suspectedAt = isSuspected ? this.#status.suspectedAt : null
    this.#options.log.warn({ bars: lifted.map((one) => one.bar) }, 'an operator has lifted limits')
    this.#tell({ ...this.#status, bars, suspectedAt })
    return lifted.map((one) => one.bar)
  }

  #countSuspicion(now: number, isKnown: boolean): void {
    const { suspectedAt } = this.#status
    if (isKnown) return
    if (suspectedAt === null || now - suspectedAt > 2 * DAY_MS) this.#suspicions = 0
    this.#suspicions += 1
    this.#status = { ...this.#status, suspectedAt: now }
  }

  #enter({ bar, code }: AccountRefusal, until: number): void {
    const now = this.#now()
    const others = this.#status.bars.filter((one) => one.bar !== bar && one.until > now)
    this.#tell({ ...this.#status, bars: [...others, { bar, code, until }].toSorted(byWeight) })
  }

  /** Logged once, when the end is known. */
  #announce({ bar, code, reason }: AccountRefusal, until: number): void {
    const advice = bar === 'suspicion' ? SUSPICION_ADVICE : undefined
    this.#options.log.warn(
      { code, reason, until: new Date(until).toISOString(), advice },
      'requests to the upstream are suspended for a while'
    )
  }

  #tell(status: AccountStatus): void {
    this.#status = status
    this.#options.onNews(status)
  }
}

const SUSPICION_ADVICE =
  'send fewer requests for this account (UPSTREAM_MAX_REQUESTS_PER_MINUTE, HTTP_MAX_CONNECTIONS): accounts that continued have been suspended. Kiro support can lift the limit'

function byWeight(a: AccountBar, b: AccountBar): number {
  return BARS.indexOf(a.bar) - BARS.indexOf(b.bar)
}

function nextMidnight(now: number): number {
  return Math.floor(now / DAY_MS + 1) * DAY_MS
}
