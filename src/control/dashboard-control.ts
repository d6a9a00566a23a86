import type { GatewayVerdict } from '../dashboard/feed.ts'
import type { DashboardWish } from '../ipc/dashboard.ts'
import type { UsageRow } from '../ipc/usage-row.ts'
import type { AccountUsage } from '../kiro/wire/account-usage.ts'
import type {
  DashboardPublisherOptions,
  DashboardPublisher
} from './dashboard/dashboard-publisher.ts'

/** The dashboard's part in the primary. Its publisher exists only while `DASHBOARD` is on. */
export class DashboardControl {
  readonly #options: DashboardPublisherOptions
  /** Deaths by slot. Bounded by the slots. */
  readonly #deaths = new Map<number, number>()
  #publisher: DashboardPublisher | null = null
  #isClosed = false

  constructor(options: DashboardPublisherOptions) {
    this.#options = options
  }

  async adapt(): Promise<void> {
    const isOn = this.#options.config().observe.dashboard !== 'off'
    if (isOn === (this.#publisher !== null) || this.#isClosed) return
    if (!isOn) {
      this.#publisher?.close()
      this.#publisher = null
      return
    }
    try {
      const { DashboardPublisher } = await import('./dashboard/dashboard-publisher.ts')
      if (this.#publisher !== null || this.#isClosed) return
      this.#publisher = new DashboardPublisher(this.#options, this.#deaths)
    } catch (err) {
      this.#options.log.error({ err }, 'dashboard cannot be loaded')
    }
  }

  onRows(rows: readonly UsageRow[]): void {
    this.#publisher?.onRows(rows)
  }

  /** Each answer about the plan is shown at once, no matter who asked. */
  onUsage(usage: AccountUsage): void {
    this.#publisher?.onUsage(usage)
  }

  onWish(wish: DashboardWish, member: string): void {
    switch (wish.name) {
      case 'open':
        void this.#open(wish, member) // never rejects
        break
      case 'left':
        this.#publisher?.left(member, wish.pages)
        break
      case 'seen':
        this.#publisher?.onSeen(member, wish)
        break
    }
  }

  /** The last judgement; `null` while the dashboard is off. */
  get verdict(): GatewayVerdict | null {
    return this.#publisher?.verdict ?? null
  }

  /** Resolves when all who tell of the gateway have the new judgement. Never rejects. */
  async judgeAgain(): Promise<void> {
    await this.#publisher?.judgeAgain()
  }

  /** `null` while the dashboard is off or cannot be loaded. */
  async state(): Promise<Awaited<ReturnType<DashboardPublisher['state']>> | null> {
    await this.adapt() // it may not be loaded yet
    return this.#publisher?.state() ?? null
  }

  onDied(slot: number): void {
    this.#deaths.set(slot, (this.#deaths.get(slot) ?? 0) + 1)
  }

  onLeft(member: string): void {
    this.#publisher?.onLeft(member)
  }

  close(): void {
    this.#isClosed = true
    this.#publisher?.close()
    this.#publisher = null
  }

  async #open(
    { requestId, pages }: Extract<DashboardWish, { readonly name: 'open' }>,
    member: string
  ): Promise<void> {
    await this.adapt() // it may not be loaded yet
    if (this.#publisher !== null) return this.#publisher.open(member, { requestId, pages })
    const news = { name: 'opened', requestId, pages: 0, events: '' } as const
    this.#options.channels.get(member)?.send({ type: 'dashboard.news', news })
  }
}
