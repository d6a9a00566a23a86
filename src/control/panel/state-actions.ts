import type { Config } from '../../config/settings.ts'
import type { PanelAnswer } from '../../ipc/panel.ts'
import { toIso } from '../../shared/dates.ts'
import type { DashboardPublisher } from '../dashboard/dashboard-publisher.ts'
import { answer, panelError } from './panel-answer.ts'

export type GatewayState = Awaited<ReturnType<DashboardPublisher['state']>>

export interface StateActionsOptions {
  /** `null` while the dashboard is off. */
  readonly state: () => Promise<GatewayState | null>
  readonly config: () => Config
}

/** Tells how the gateway stands, all of one instant. */
export class StateActions {
  readonly #options: StateActionsOptions

  constructor(options: StateActionsOptions) {
    this.#options = options
  }

  async show(): Promise<PanelAnswer> {
    const { now, account } = await this.look()
    const { quota, outlook, signIn } = account
    const { verdict, requests, waiting } = now
    return answer({
      at: toIso(now.at),
      version: account.version,
      node: account.node,
      started_at: toIso(account.startedAt),
      upstream: account.isSimulated ? 'simulator' : 'kiro',
      read_only: this.#options.config().observe.dashboard === 'read-only',
      verdict: {
        ...verdict,
        problems: verdict.problems.map(({ level, code, what, remedy, until, action }) => {
          return { level, code, what, remedy, until: toIso(until), action }
        })
      },
      credits:
        quota === null
          ? null
          : {
              plan: quota.plan,
              unit: quota.unit,
              used: quota.used,
              limit: quota.limit,
              remaining: quota.remaining,
              resets_at: toIso(quota.resetsAt),
              overage_enabled: quota.overage?.isEnabled ?? null,
              problem: quota.problem
            },
      forecast:
        outlook === null || outlook.perDay === null
          ? null
          : { per_day: outlook.perDay, used_up_at: toIso(outlook.usedUpAt) },
      outside:
        outlook === null
          ? null
          : {
              today: outlook.outsideToday,
              since: outlook.outside,
              since_at: toIso(outlook.since),
              drifting: outlook.isDrifting
            },
      requests: {
        in_flight: requests.inFlight,
        streams: requests.streams,
        waiting: waiting.permits,
        per_minute: requests.perMinute,
        failed_per_minute: requests.failedPerMinute,
        total: requests.total,
        failed: requests.failed
      },
      sign_in: {
        state: signIn.state,
        method: signIn.method,
        region: signIn.region,
        expires_at: toIso(signIn.expiresAt),
        ends_at: toIso(signIn.endsAt),
        problem: signIn.problem
      }
    })
  }

  /** @throws {GatewayError} GW_CONFLICT while there are no figures */
  async look(): Promise<GatewayState> {
    const state = await this.#options.state()
    if (state !== null) return state
    throw panelError('GW_CONFLICT', 'The figures are not there yet. Try again shortly.')
  }
}
