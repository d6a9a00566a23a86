import type { Channel } from '../ipc/channel.ts'
import type { FromWorker, ToWorker, UsageNews } from '../ipc/messages.ts'
import { Pending } from '../ipc/pending.ts'
import type { AccountUsage } from '../kiro/account-usage.ts'
import { GatewayError } from '../shared/errors.ts'
import type { PrimaryPulse } from './primary-pulse.ts'

/** What the account has used, as the primary tells it: it alone asks the upstream. */
export class UsageReports {
  readonly #channel: Pick<Channel<ToWorker, FromWorker>, 'send'>
  readonly #pulse: Pick<PrimaryPulse, 'silence'>
  readonly #reports = new Pending<UsageNews<AccountUsage>>()

  constructor(
    channel: Pick<Channel<ToWorker, FromWorker>, 'send'>,
    pulse: Pick<PrimaryPulse, 'silence'>
  ) {
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

  onTold(requestId: number, news: UsageNews<AccountUsage>): void {
    this.#reports.answer(requestId, news)
  }
}
