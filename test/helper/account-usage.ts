import type { AccountUsage } from '../../src/kiro/wire/account-usage.ts'

interface Figures {
  readonly used: number
  readonly limit?: number
  readonly resetsAt?: number | null
  readonly overage?: Partial<AccountUsage['overage']>
}

/** What an account has used of a plan in credits. */
export function accountUsage({ used, limit = 1_000, resetsAt = null, overage }: Figures) {
  const none = { isEnabled: false, used: 0, charges: 0, currency: 'USD', rate: 0.04, cap: 10_000 }
  return {
    plan: 'PRO',
    resetsAt,
    allowances: [{ kind: 'plan', name: 'Credits', unit: 'credits', used, limit }],
    overage: { ...none, ...overage }
  } as const satisfies AccountUsage
}
