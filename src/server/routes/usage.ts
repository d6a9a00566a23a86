import type { FastifyInstance } from 'fastify'
import type { AccountUsage, Allowance } from '../../kiro/account-usage.ts'

/** What the account has used of what it may use, as the upstream counts it. */
export function usageRoute(app: FastifyInstance, accountUsage: () => Promise<AccountUsage>): void {
  for (const path of ['/v1/usage', '/usage']) {
    app.get(path, async () => toAnswer(await accountUsage()))
  }
}

function toAnswer({ plan, resetsAt, allowances, overage }: AccountUsage) {
  const used = sumOf(allowances, 'used')
  const limit = sumOf(allowances, 'limit')
  return {
    object: 'usage',
    plan,
    unit: allowances[0]?.unit ?? null,
    used,
    limit,
    remaining: Math.max(0, limit - used),
    resets_at: resetsAt === null ? null : new Date(resetsAt).toISOString(),
    allowances,
    overage: {
      enabled: overage.isEnabled,
      used: overage.used,
      charges: overage.charges,
      currency: overage.currency
    }
  }
}

function sumOf(allowances: readonly Allowance[], member: 'used' | 'limit'): number {
  return allowances.reduce((sum, allowance) => sum + allowance[member], 0)
}
