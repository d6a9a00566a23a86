import { apportion } from './apportion.ts'
import {
  entitlementOf,
  freePermits,
  leaseOf,
  reserveOf,
  wantOf,
  type Accounts,
  type BudgetSize
} from './ledger-account.ts'

/** A member's part of what must come back after a shrink, in proportion to what it has above its share. */
export function owedBy(size: BudgetSize, accounts: Accounts, member: string): number {
  const missing = -freePermits(size, accounts)
  if (missing <= 0) return 0
  const excess = [...accounts].map(([name, account]) =>
    Math.max(0, leaseOf(account) - entitlementOf(size, accounts, name))
  )
  const total = excess.reduce((a, b) => a + b, 0)
  return apportion(Math.min(missing, total), excess)[[...accounts.keys()].indexOf(member)] ?? 0
}

/**
 * What a member is asked for beyond that: all that waits elsewhere, since nobody knows here who has
 * something idle. The primary's own calls give back what they borrowed as soon as it is idle, and a worker
 * that retires gives back everything.
 */
export function wantedFrom(size: BudgetSize, accounts: Accounts, member: string): number {
  const account = accounts.get(member)
  if (account === undefined) return 0
  const lease = leaseOf(account) - owedBy(size, accounts, member)
  if (account.slot === 'control') return Math.max(0, lease - reserveOf(size))
  if (account.isRetiring) return Math.max(0, lease)
  let wanted = 0
  for (const [name, other] of accounts) if (name !== member) wanted += wantOf(other)
  return Math.max(0, Math.min(lease, wanted))
}
