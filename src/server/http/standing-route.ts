import { toUsageAnswer } from '../../dialects/anthropic-messages/standing.ts'
import { planTotals } from '../../kiro/wire/account-usage.ts'
import { MICROS_PER_CREDIT } from '../../keys/key.ts'
import { limitsHere } from '../primary/key-limits.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import { keyUsage, type Sources, wishOf } from './read-routes.ts'
import { type Route, type RoutedRequest, sendJson } from './router.ts'

/**
 * Amounts of the limit that the headers of an answer tell a part of. Claude Code asks for them when it is signed in
 * here, and shows them in `/usage` and its status line.
 */
export function standingRoute(
  plane: Pick<DataPlane, 'limits' | 'account' | 'records'>,
  primary: Sources['primary']
): Route {
  const amounts = async ({ namedKey, kiroKey }: RoutedRequest) => {
    if (namedKey?.credits != null) {
      const [own] = await keyUsage(plane, primary, namedKey.id)
      if (own?.credits == null) return null
      const { limit, used, reserved, period, endsAt } = own.credits
      return {
        limit: limit / MICROS_PER_CREDIT,
        used: (used + reserved) / MICROS_PER_CREDIT,
        period,
        resetsAt: endsAt
      }
    }
    // The plan is shown only if an operator wants it, and then only of the gateway's own account.
    if (kiroKey !== null || plane.account.planStanding === null) return null
    const { usage } = (await primary.ask({ type: 'usage.wanted' })).news
    if (usage === null) return null
    const { limit, used } = planTotals(usage)
    return { limit, used, period: 'month', resetsAt: usage.resetsAt } as const
  }
  const serve = async (routed: RoutedRequest): Promise<void> => {
    const { namedKey, response } = routed
    if (namedKey !== null) await limitsHere(namedKey, plane.limits)?.admit(wishOf(routed))
    const answer = toUsageAnswer(await amounts(routed))
    response.setHeader('cache-control', 'no-store')
    sendJson(routed, 200, answer)
  }
  return { method: 'GET', path: '/api/oauth/usage', serve }
}
