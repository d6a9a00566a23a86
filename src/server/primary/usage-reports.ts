import { Pending, type ToPrimary } from '../../ipc/channel.ts'
import type { PlanOutlook, UsageNews } from '../../ipc/messages.ts'
import type { KeyUsage } from '../../ipc/usage-row.ts'
import type { AccountUsage } from '../../kiro/wire/account-usage.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { PrimaryPulse } from './primary-pulse.ts'

/** The account's usage, and what is recorded of it. */
export interface AccountReport {
  readonly usage: AccountUsage
  readonly outlook: PlanOutlook | null
}

/** Asks the primary: only it calls the upstream and keeps the record. */
export class UsageReports {
  readonly #channel: ToPrimary
  readonly #pulse: Pick<PrimaryPulse, 'silence'>
  readonly #reports = new Pending<{
    readonly news: UsageNews
    readonly outlook: PlanOutlook | null
  }>()
  readonly #keys = new Pending<readonly KeyUsage[]>()

  constructor(channel: ToPrimary, pulse: Pick<PrimaryPulse, 'silence'>) {
    this.#channel = channel
    this.#pulse = pulse
  }

  /** @throws {GatewayError} why it cannot be known now; GW_PRIMARY_SILENT */
  async current(): Promise<AccountReport> {
    const { news, outlook } = await this.#reports.ask((requestId) => {
      this.#channel.send({ type: 'usage.wanted', requestId })
    }, this.#pulse.silence)
    const { usage, problem } = news
    if (usage !== null) return { usage, outlook }
    throw new GatewayError(problem.code, undefined, { message: problem.message })
  }

  /** @throws {GatewayError} GW_PRIMARY_SILENT */
  keys(key: string | null): Promise<readonly KeyUsage[]> {
    return this.#keys.ask((requestId) => {
      this.#channel.send({ type: 'key-usage.wanted', requestId, key })
    }, this.#pulse.silence)
  }

  onKeysTold(requestId: number, keys: readonly KeyUsage[]): void {
    this.#keys.answer(requestId, keys)
  }

  onTold(requestId: number, news: UsageNews, outlook: PlanOutlook | null): void {
    this.#reports.answer(requestId, { news, outlook })
  }
}
