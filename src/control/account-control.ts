import type {
  AccountStatus,
  CredentialNews,
  FromWorker,
  ToWorker,
  UsageNews
} from '../ipc/messages.ts'
import type { UsageRow } from '../ipc/usage-row.ts'
import type { Catalogue } from '../kiro/models/models.ts'
import type { Metrics } from '../observe/metrics.ts'
import { VerdictMemory } from './account/verdict-memory.ts'
import { CredentialControl, type CredentialControlOptions } from './account/credential-control.ts'
import { ModelCatalogue } from './account/model-catalogue.ts'
import { type AgedUsage, PlanUsage, type UsageSharing } from './account/plan-usage.ts'

type AccountMessage = Extract<
  FromWorker,
  { readonly type: 'credential.suspended' | 'account.refused' }
>

/** The upstream is asked no more often than this for metrics. */
const USAGE_AGE_MS = 300_000

export interface AccountListener {
  onStatus(status: AccountStatus, suspicions: number): void
  onSuspended(token: string): void
  onSignIn(news: CredentialNews): void
  onForgiven(): void
  onAnswered(): void
}

export interface AccountControlOptions extends Omit<CredentialControlOptions, 'onNews'> {
  readonly onSignIn: (news: CredentialNews) => void
  readonly onUsage: (aged: AgedUsage) => void
  readonly tell: (message: ToWorker) => void
}

export class AccountControl {
  readonly credentials: CredentialControl
  readonly #catalogue: ModelCatalogue
  readonly #usage: PlanUsage
  readonly #verdicts: VerdictMemory
  #listener: AccountListener | null = null

  constructor(options: AccountControlOptions) {
    const { config, call, log, onSignIn, onUsage, tell } = options
    const { upstream } = config
    const onNews = (news: CredentialNews): void => {
      tell({ type: 'credential.changed', news })
      onSignIn(news)
      this.#listener?.onSignIn(news)
    }
    this.credentials = new CredentialControl({ ...options, onNews })
    this.#catalogue = new ModelCatalogue({
      call,
      upstream,
      log,
      credential: () => this.credentials.valid(),
      onChange: (catalogue) => tell({ type: 'catalogue.changed', catalogue })
    })
    this.#usage = new PlanUsage({
      call,
      upstream,
      credentials: this.credentials,
      now: () => performance.now(),
      onUsage
    })
    this.#verdicts = new VerdictMemory({
      usage: () => this.#usage.anew(),
      log,
      onNews: (status) => {
        tell({ type: 'account.status', status })
        this.#listener?.onStatus(status, this.#verdicts.suspicions)
      }
    })
  }

  share(listener: AccountListener, usage: UsageSharing): void {
    this.#listener = listener
    this.#usage.share(usage)
  }

  adopt(status: AccountStatus, suspicions: number): void {
    this.#verdicts.adopt(status, suspicions)
  }

  suspend(token: string): void {
    this.credentials.suspended(token, 'said to another gateway')
  }

  revive(): void {
    this.credentials.revive()
  }

  onRows(rows: readonly Pick<UsageRow, 'status' | 'key'>[]): void {
    if (rows.some(({ status, key }) => status === 200 && key !== 'kiro')) this.#usage.onAnswered()
    if (this.#listener !== null && rows.some(({ status }) => status === 200))
      this.#listener.onAnswered()
  }

  startModels(): void {
    if (this.credentials.isExpected) void this.#catalogue.start() // reports its own failures
  }

  /** Distinguishes accounts without revealing them; `null` without a sign-in. */
  get id(): string | null {
    return this.credentials.news().snapshot?.id ?? null
  }

  forWorker(): {
    readonly news: CredentialNews
    readonly accountStatus: AccountStatus
    readonly catalogue: Catalogue
  } {
    return {
      news: this.credentials.news(),
      accountStatus: this.#verdicts.status,
      catalogue: this.#catalogue.current
    }
  }

  usage(): Promise<UsageNews> {
    return this.#usage.current()
  }

  get models(): Catalogue['models'] {
    return this.#catalogue.current.models
  }

  noteMetrics(metrics: Metrics): void {
    const { signInUsable, signInEnds, accountBars, accountCredits } = metrics
    signInUsable.set(this.credentials.news().snapshot === null ? 0 : 1)
    const ends = this.credentials.endsAt
    if (ends === null) signInEnds.reset()
    else signInEnds.set({ sign_in: 'current' }, ends / 1000)
    accountBars.reset()
    for (const { bar, until } of this.#verdicts.status.bars)
      if (until > Date.now()) accountBars.set({ bar }, 1)
    for (const [state, credits] of Object.entries(this.#usage.lastKnown(USAGE_AGE_MS)))
      accountCredits.set({ state }, credits)
  }

  /** After a reload: the operator may have solved what the upstream refused. */
  forgive(): void {
    this.#verdicts.forgive()
    this.#listener?.onForgiven()
  }

  /** Lifts a bar on an operator's word; `null` means everything. Returns what was lifted. */
  lift(bar: string | null): readonly string[] {
    const lifted = this.#verdicts.lift(bar)
    if (lifted.length === 0) return lifted
    this.#listener?.onForgiven()
    void this.#usage.anew() // never rejects
    return lifted
  }

  onMessage(message: AccountMessage): void {
    switch (message.type) {
      case 'credential.suspended':
        this.credentials.suspended(message.token, message.reason)
        this.#listener?.onSuspended(message.token)
        break
      case 'account.refused':
        void this.#verdicts.refused(message.refusal) // never rejects
        break
    }
  }

  drain(): void {
    this.#catalogue.close()
    this.#usage.close()
  }

  async close(): Promise<void> {
    await this.credentials.close()
  }
}
