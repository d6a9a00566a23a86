import type { CredentialNews, UsageNews } from '../../ipc/messages.ts'
import { type AccountUsage, planTotals } from '../../kiro/wire/account-usage.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import { toGatewayError, type UpstreamFault } from '../../kiro/wire/fault.ts'
import type { HostOverrides } from '../../kiro/wire/hosts.ts'
import { asGatewayError, GatewayError } from '../../shared/errors.ts'
import { singleFlight } from '../../shared/single-flight.ts'
import { askUsage, isFault } from '../../upstream/call/account-calls.ts'
import type { JsonCall } from '../../upstream/call/json-exchange.ts'
import type { CredentialControl } from './credential-control.ts'

export interface PlanUsageOptions {
  readonly call: JsonCall
  readonly upstream: HostOverrides & { readonly userAgent: string }
  readonly credentials: Pick<CredentialControl, 'news' | 'refused' | 'wanted'>
  /** Monotonic ms. */
  readonly now: () => number
  /** Called with each new answer, before callers get it. */
  readonly onUsage?: (aged: AgedUsage) => void
}

/** Age up to which an answer is reused: dashboards ask every few seconds. */
export const FRESH_MS = 15_000

export interface AgedUsage {
  readonly usage: AccountUsage
  readonly ageMs: number
  readonly isAlone?: true
}

/** Returns another gateway's answer of the last `FRESH_MS`, else calls `ask`. Rejects as that does. */
export type UsageSharing = (ask: () => Promise<AccountUsage>) => Promise<AgedUsage>

export class PlanUsage {
  readonly #options: PlanUsageOptions
  readonly #abort = new AbortController()
  #last: {
    readonly usage: AccountUsage
    readonly at: number
    readonly token: string | null
  } | null = null
  #token: string | null = null
  readonly #askOnce = singleFlight(() => this.#ask())
  #nextAskAt = 0
  #isDoubted = false
  #sharing: UsageSharing = async (ask) => ({ usage: await ask(), ageMs: 0 })

  constructor(options: PlanUsageOptions) {
    this.#options = options
  }

  /** Asks again although the last answer may be fresh: something has happened that it cannot know. */
  async anew(): Promise<UsageNews> {
    this.#isDoubted = false
    await this.#askOnce.running // a question of before may have an answer of before
    return this.#askOnce()
  }

  /** A request was answered. If the plan was used up by the last figures, they are asked for again, once. */
  onAnswered(): void {
    if (this.#isDoubted || this.#last === null || !isUsedUp(this.#last.usage)) return
    this.#isDoubted = true
    void this.#askOnce() // never rejects
  }

  share(sharing: UsageSharing): void {
    this.#sharing = sharing
  }

  /** Never rejects: a failure is news, too. */
  current(): Promise<UsageNews> {
    const last = this.#last
    const isFresh = last !== null && this.#options.now() - last.at < FRESH_MS
    if (isFresh && !this.#isOther(last.token)) {
      return Promise.resolve({ usage: last.usage, problem: null })
    }
    return this.#askOnce()
  }

  /** Refreshed in the background when too old; empty if unknown. */
  lastKnown(maxAgeMs: number): Readonly<Record<string, number>> {
    const now = this.#options.now()
    const last = this.#last
    if ((last === null || now - last.at >= maxAgeMs) && now >= this.#nextAskAt) {
      this.#nextAskAt = now + maxAgeMs
      void this.current() // never rejects
    }
    if (last === null) return {}
    const { used, limit } = planTotals(last.usage)
    return { used, limit }
  }

  close(): void {
    this.#abort.abort(new GatewayError('GW_DRAINING'))
  }

  async #ask(): Promise<UsageNews> {
    try {
      this.#token = this.#options.credentials.news().snapshot?.token ?? null
      const aged = await this.#sharing(() => this.#fetch())
      if (this.#isOther(this.#token)) return await this.#ask()
      const { usage, ageMs } = aged
      this.#last = { usage, at: this.#options.now() - ageMs, token: this.#token }
      if (!isUsedUp(usage)) this.#isDoubted = false
      this.#options.onUsage?.(aged)
      return { usage, problem: null }
    } catch (cause) {
      const { code, message } = asGatewayError(cause)
      return { usage: null, problem: { code, message } }
    }
  }

  #isOther(token: string | null): boolean {
    const current = this.#options.credentials.news().snapshot?.token ?? null
    return current !== null && current !== token
  }

  async #fetch(): Promise<AccountUsage> {
    const { credentials } = this.#options
    if (credentials.news().snapshot === null) await credentials.wanted()
    const snapshot = snapshotOf(credentials.news())
    const answer = await this.#fetchWith(snapshot)
    if (!isFault(answer)) return answer
    if (!answer.isTokenRefused) throw toGatewayError(answer)
    await credentials.refused(snapshot.token)
    const again = await this.#fetchWith(snapshotOf(credentials.news()))
    if (isFault(again)) throw toGatewayError(again)
    return again
  }

  #fetchWith(snapshot: CredentialSnapshot): Promise<AccountUsage | UpstreamFault> {
    const { call, upstream } = this.#options
    this.#token = snapshot.token
    return askUsage({ call, upstream, snapshot, signal: this.#abort.signal })
  }
}

function isUsedUp(usage: AccountUsage): boolean {
  const { used, limit } = planTotals(usage)
  return limit > 0 && used >= limit && !usage.overage.isEnabled
}

function snapshotOf({ snapshot, problem }: CredentialNews): CredentialSnapshot {
  if (snapshot !== null) return snapshot
  throw new GatewayError(problem.code, undefined, { message: problem.message })
}
