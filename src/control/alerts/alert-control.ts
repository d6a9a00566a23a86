import type { Config } from '../../config/settings.ts'
import type { ClusterStatus, CredentialNews, UsageNews } from '../../ipc/messages.ts'
import type { Logger } from '../../observe/logger.ts'
import { AlertDesk } from './alert-desk.ts'
import { AlertLane } from './alert-lane.ts'
import { CRASH_LOOP, planAlert, SIGN_IN_ALERTS, signInAlert } from './alert.ts'

export interface AlertControlOptions {
  readonly config: () => Config
  /** What the account has used; never rejects. */
  readonly usage: () => Promise<UsageNews>
  readonly log: Pick<Logger, 'info' | 'warn'>
}

/** How often the upstream is asked how much of the plan is used. */
const PLAN_MS = 600_000

/** What the primary sees that is worth an alert. */
export class AlertControl {
  readonly desk: AlertDesk
  readonly #options: AlertControlOptions
  readonly #lane: AlertLane
  #timer: NodeJS.Timeout | null = null

  constructor(options: AlertControlOptions) {
    const { config, log } = options
    this.#options = options
    this.#lane = new AlertLane(config())
    const { stateDir } = config().credentials
    const settings = () => config().alerts
    this.desk = new AlertDesk({ stateDir, settings, call: this.#lane.call, log })
  }

  async start(): Promise<void> {
    await this.desk.start()
    this.#timer = setInterval(() => void this.#lookAtPlan(), PLAN_MS) // cannot reject
    this.#timer.unref()
  }

  onSignIn(news: CredentialNews): void {
    if (news.snapshot === null) this.desk.raise(signInAlert(news))
    else this.desk.settle(...SIGN_IN_ALERTS)
  }

  onStatus({ isCrashLooping }: ClusterStatus): void {
    if (isCrashLooping) this.desk.raise(CRASH_LOOP)
    else this.desk.settle(CRASH_LOOP.id)
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    await this.desk.close()
    await this.#lane.close()
  }

  async #lookAtPlan(): Promise<void> {
    if (!this.desk.isWanted) return
    const { usage } = await this.#options.usage()
    if (usage !== null) this.desk.raise(planAlert(usage))
  }
}
