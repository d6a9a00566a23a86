import { createHash } from 'node:crypto'
import type { AccountBar, AccountStatus, CredentialNews } from '../../ipc/messages.ts'
import { BARS } from '../account/verdict-memory.ts'
import type { AccountControl, AccountListener } from '../account-control.ts'
import type { FoundValue, SharedRecords, SharedValue } from './shared-records.ts'
import {
  isNewer,
  laterBy,
  mergeVerdicts,
  parseVerdicts,
  type Subject,
  SUBJECTS,
  toVerdict,
  type AccountVerdict,
  type AccountVerdicts
} from './verdicts.ts'

export interface SharedAccountOptions {
  readonly id: string
  readonly account: Pick<AccountControl, 'adopt' | 'forWorker' | 'revive' | 'suspend'>
  readonly hub: Pick<SharedRecords, 'add'>
  /** Monotonic ms. */
  readonly now?: () => number
  /** Epoch ms. */
  readonly wallNow?: () => number
  readonly random?: () => number
}

type Known = Omit<AccountVerdict, 'leftMs'> & { readonly endsAt: number }

/** Gateways resume from a pause spread over this part of it, or this time if less. */
const JITTER = { part: 0.1, mostMs: 2_000 } as const
/** Lasts until another sign-in, or until it is found to be over. */
const SUSPENDED_MS = 366 * 86_400_000
/** Smaller differences between times taken at different moments are ignored. */
const SAME_MS = 1_000

/** Shares verdicts on the account in a fleet: each holds for all. A starting gateway tests a suspension once. */
export class SharedAccount implements SharedValue<AccountVerdicts>, AccountListener {
  readonly name = 'account'
  readonly gapMs = 0
  readonly parse = parseVerdicts
  readonly #options: SharedAccountOptions
  readonly #now: () => number
  readonly #wallNow: () => number
  readonly #touch: () => void
  /** Bounded by the number of subjects. */
  readonly #known = new Map<Subject, Known>()
  #status: AccountStatus
  #isAdopting = false
  #spared: number | null = null

  constructor(options: SharedAccountOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#wallNow = options.wallNow ?? (() => Date.now())
    this.#status = options.account.forWorker().accountStatus
    this.#touch = options.hub.add(this)
  }

  onStatus(status: AccountStatus, suspicions: number): void {
    const before = this.#status
    this.#status = status
    if (this.#isAdopting) return
    const wall = this.#wallNow()
    for (const bar of BARS) {
      const [was, is] = [barIn(before, bar), barIn(status, bar)]
      const times = bar === 'suspicion' ? suspicions : 0
      if (is !== undefined && is.until !== was?.until) {
        this.#say(bar, { ...is, leftMs: is.until - wall, times })
      } else if (is === undefined && was !== undefined && was.until > wall) this.#end(bar)
    }
    const { pausedUntil } = status
    if (pausedUntil === null || pausedUntil === before.pausedUntil || pausedUntil <= wall) return
    this.#say('pause', { leftMs: pausedUntil - wall })
  }

  onSuspended(token: string): void {
    const known = this.#known.get('suspended')
    const of = hashOf(token)
    if (known?.of === of && known.endsAt > this.#now()) return
    this.#say('suspended', { code: 'GW_UPSTREAM_SUSPENDED', of, leftMs: SUSPENDED_MS })
  }

  onSignIn({ snapshot }: CredentialNews): void {
    if (snapshot !== null) this.#heedSuspension(snapshot.token)
  }

  onForgiven(): void {
    this.#end('suspended')
    this.#options.account.revive()
  }

  /** Proves that the sign-in is not suspended. */
  onAnswered(): void {
    const known = this.#known.get('suspended')
    if (known === undefined || known.endsAt <= this.#now()) return
    const { snapshot } = this.#options.account.forWorker().news
    if (snapshot !== null && hashOf(snapshot.token) === known.of) this.#end('suspended')
  }

  readonly next = (found: FoundValue<AccountVerdicts> | null): AccountVerdicts | null => {
    this.#spared ??= 0
    const there = found === null ? {} : laterBy(found.value, found.ageMs)
    const own = this.#own()
    const isNews = SUBJECTS.some((subject) => {
      const verdict = own[subject]
      return verdict !== undefined && isNewer(verdict, there[subject])
    })
    return isNews ? mergeVerdicts(there, own) : null
  }

  readonly onFound = ({ value, ageMs }: FoundValue<AccountVerdicts>): void => {
    const found = laterBy(value, ageMs)
    this.#spared ??= found.suspended?.n ?? 0
    const fresh = SUBJECTS.filter((subject) => {
      const [known, verdict] = [this.#known.get(subject), found[subject]]
      return verdict !== undefined && isNewer(verdict, known)
    })
    for (const subject of fresh) {
      const verdict = found[subject]
      if (verdict !== undefined) this.#adopt(subject, verdict)
    }
    if (fresh.length > 0) this.#heed(fresh)
  }

  #adopt(subject: Subject, { leftMs, ...verdict }: AccountVerdict): void {
    const { random = Math.random } = this.#options
    const jitterMs = Math.min(JITTER.mostMs, leftMs * JITTER.part) * random()
    const isWaited = subject === 'pause' && leftMs > 0
    this.#known.set(subject, {
      ...verdict,
      endsAt: this.#now() + leftMs + (isWaited ? jitterMs : 0)
    })
  }

  #heed(subjects: readonly Subject[]): void {
    const { account } = this.#options
    if (subjects.some((subject) => subject !== 'suspended')) {
      this.#isAdopting = true
      account.adopt(this.#toStatus(), this.#known.get('suspicion')?.times ?? 0)
      this.#isAdopting = false
    }
    if (!subjects.includes('suspended')) return
    const { snapshot } = account.forWorker().news
    if ((this.#known.get('suspended')?.endsAt ?? 0) <= this.#now()) account.revive()
    else if (snapshot !== null) this.#heedSuspension(snapshot.token)
  }

  #heedSuspension(token: string): void {
    const known = this.#known.get('suspended')
    if (known === undefined || known.n <= (this.#spared ?? 0)) return
    if (known.endsAt <= this.#now() || known.of !== hashOf(token)) return
    this.#options.account.suspend(token)
  }

  /** Keeps earlier times that are equal to the second. */
  #toStatus(): AccountStatus {
    const [now, wall] = [this.#now(), this.#wallNow()]
    const untilOf = (subject: Subject): number =>
      (this.#known.get(subject)?.endsAt ?? now) - now + wall
    const bars = BARS.flatMap((bar): AccountBar[] => {
      const known = this.#known.get(bar)
      if (known === undefined) return []
      const [until, before] = [untilOf(bar), barIn(this.#status, bar)]
      if (until <= wall) return []
      if (before !== undefined && Math.abs(before.until - until) < SAME_MS) return [before]
      return [{ bar, code: known.code, until }]
    })
    const isSuspect = bars.some(({ bar }) => bar === 'suspicion')
    const { suspectedAt, pausedUntil } = this.#status
    return {
      bars,
      suspectedAt: isSuspect && suspectedAt === null ? wall : suspectedAt,
      pausedUntil: this.#known.has('pause')
        ? Math.max(untilOf('pause'), pausedUntil ?? 0)
        : pausedUntil
    }
  }

  #say(subject: Subject, said: Partial<AccountVerdict> & Pick<AccountVerdict, 'leftMs'>): void {
    const { id } = this.#options
    const { code = 'GW_UPSTREAM_RATE_LIMITED', of = '', times = 0, leftMs } = said
    const n = (this.#known.get(subject)?.n ?? 0) + 1
    const verdict = toVerdict({ n, by: id, code, of, times, leftMs })
    this.#known.set(subject, { ...verdict, endsAt: this.#now() + verdict.leftMs })
    this.#touch()
  }

  #end(subject: Subject): void {
    const known = this.#known.get(subject)
    if (known === undefined || known.endsAt <= this.#now()) return
    this.#say(subject, { ...known, leftMs: 0 })
  }

  #own(): AccountVerdicts {
    const own: Partial<Record<Subject, AccountVerdict>> = {}
    for (const [subject, { endsAt, ...verdict }] of this.#known) {
      own[subject] = toVerdict({ ...verdict, leftMs: endsAt - this.#now() })
    }
    return own
  }
}

function barIn({ bars }: AccountStatus, bar: Subject): AccountBar | undefined {
  return bars.find((one) => one.bar === bar)
}

function hashOf(token: string): string {
  return createHash('sha256').update(`kiro-gateway account ${token}`).digest('base64url')
}
