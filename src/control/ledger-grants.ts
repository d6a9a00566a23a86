import { serviceOrder } from '../ipc/service-order.ts'
import {
  entitlementOf,
  freePermits,
  headsOf,
  leaseOf,
  unleasedPermits,
  wantOf,
  type Accounts,
  type BudgetSize
} from './ledger-account.ts'

/**
 * Grants what is free: the reserve to the primary's own calls, the rest to those who wait, in order of
 * service, and what is left to members that are below their share.
 */
export function grantPermits(size: BudgetSize, accounts: Accounts): Accounts {
  const withReserve = topUp(size, accounts, {
    of: 'control',
    free: unleasedPermits(size, accounts)
  })
  const withWaiters = serveWaiting(withReserve, freePermits(size, withReserve))
  return topUp(size, withWaiters, { of: 'workers', free: freePermits(size, withWaiters) })
}

function topUp(
  size: BudgetSize,
  accounts: Accounts,
  { of, free }: { readonly of: 'control' | 'workers'; readonly free: number }
): Accounts {
  let left = free
  const grants = new Map<string, number>()
  for (const [member, account] of accounts) {
    if ((account.slot === 'control') !== (of === 'control')) continue
    const missing = entitlementOf(size, accounts, member) - leaseOf(account)
    const permits = Math.min(left, missing)
    if (permits <= 0) continue
    grants.set(member, permits)
    left -= permits
  }
  return withGrants(accounts, grants)
}

function serveWaiting(accounts: Accounts, free: number): Accounts {
  let left = free
  const grants = new Map<string, number>()
  const give = (member: string, permits: number): void => {
    grants.set(member, (grants.get(member) ?? 0) + permits)
    left -= permits
  }
  if (left <= 0) return accounts
  const lines = new Map([...accounts].map(([member, account]) => [member, headsOf(account)]))
  for (const { member } of serviceOrder(lines)) {
    if (left <= 0) break
    give(member, 1)
  }
  // Those behind the told heads are younger than all of these; their order is not known.
  for (const [member, account] of accounts) {
    const rest = Math.min(left, wantOf(account) - (grants.get(member) ?? 0))
    if (rest > 0) give(member, rest)
  }
  return withGrants(accounts, grants)
}

function withGrants(accounts: Accounts, grants: ReadonlyMap<string, number>): Accounts {
  if (grants.size === 0) return accounts
  const next = new Map(accounts)
  for (const [member, permits] of grants) {
    const account = accounts.get(member)
    if (account !== undefined) next.set(member, { ...account, granted: account.granted + permits })
  }
  return next
}
