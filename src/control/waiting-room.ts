import { owedBy, wantedFrom } from './ledger-debts.ts'
import {
  freePermits,
  leaseOf,
  reserveOf,
  wantOf,
  type Accounts,
  type BudgetSize
} from './ledger-account.ts'

/*
 * HTTP_POOL_MAX_WAITING holds for the cluster, and yet a worker decides at once whether a request may wait.
 * So each may fill all the room that is left, and when several did so at the same moment the newcomers of
 * one are refused a moment later. Who was counted once ("kept") is not refused any more.
 * Requests for which an idle connection may still turn up elsewhere wait beyond the bound until that is known.
 */

/** Counts newcomers as kept while there is room. */
export function admitWaiters(size: BudgetSize, accounts: Accounts): Accounts {
  let room = size.maxWaiting
  for (const account of accounts.values()) room -= Math.min(account.kept, wantOf(account))
  const next = new Map(accounts)
  for (const [member, account] of accounts) {
    const want = wantOf(account)
    const stay = Math.min(account.kept, want)
    const kept = stay + Math.min(want - stay, Math.max(0, room))
    room -= kept - stay
    if (kept !== account.kept) next.set(member, { ...account, kept })
  }
  return next
}

/** How many requests may wait in one member. */
export function waitingAllowance(size: BudgetSize, accounts: Accounts, member: string): number {
  let room = size.maxWaiting
  let idle = Math.max(0, freePermits(size, accounts))
  let allowed = 0
  for (const [name, account] of accounts) {
    room -= account.kept
    if (name !== member) idle += perhapsIdle(size, accounts, name)
  }
  for (const [name, account] of accounts) {
    const hopeful = Math.min(wantOf(account) - account.kept, Math.max(0, idle))
    idle -= hopeful
    if (name === member) allowed = account.kept + hopeful
  }
  return allowed + Math.max(0, room) + Math.max(0, idle)
}

/** Permits of a member that may be idle as far as is known: all of them until it has answered. */
function perhapsIdle(size: BudgetSize, accounts: Accounts, member: string): number {
  const account = accounts.get(member)
  if (account === undefined || account.report.draining || account.hasStopped) return 0
  const asked = wantedFrom(size, accounts, member) === 0 ? 0 : (account.terms?.asked ?? 0)
  if (asked !== 0 && account.report.seen >= asked) return account.report.spare
  const reserve = account.slot === 'control' ? reserveOf(size) : 0
  return Math.max(0, leaseOf(account) - owedBy(size, accounts, member) - reserve)
}
