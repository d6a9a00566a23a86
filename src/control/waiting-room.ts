import { owedBy, wantedFrom } from './ledger-debts.ts'
import {
  freePermits,
  leaseOf,
  reserveOf,
  wantOf,
  type Account,
  type Accounts,
  type BudgetSize
} from './ledger-account.ts'

/*
 * HTTP_POOL_MAX_WAITING holds for the cluster, and yet a worker decides at once whether a request may wait.
 * So each may fill all the room that is left: one worker that has all the clients has all of it. When several
 * fill it at the same moment, the newcomers of one are refused as soon as their report and the answer to it have
 * crossed the channel; for that time, and no longer, there may be as many waiting as workers times the bound.
 * Who was counted once ("kept") is not refused any more.
 * Requests for which an idle connection may still turn up elsewhere wait beyond the bound until that is known.
 * The primary's own calls stand outside of all this: streams that wait must not keep a token from being renewed.
 */

/** How many of the primary's own calls may wait at once. */
export const MAX_CALLS_WAITING = 100

/** Counts newcomers as kept while there is room. */
export function admitWaiters(size: BudgetSize, accounts: Accounts): Accounts {
  let room = size.maxWaiting
  for (const account of accounts.values()) room -= Math.min(account.kept, wantOf(account))
  const next = new Map(accounts)
  for (const [member, account] of accounts) {
    if (account.slot === 'control') continue
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
  if (accounts.get(member)?.slot === 'control') return MAX_CALLS_WAITING
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

/** Whether a member would refuse, or keep, somebody wrongly if it did not hear that its allowance has changed. */
export function isAllowanceNews(account: Account, told: number, allowance: number): boolean {
  if (told === allowance) return false
  const waiting = wantOf(account)
  const isExceeded = waiting > allowance
  const wasFull = told < allowance && waiting >= told
  return isExceeded || wasFull || Math.abs(told - allowance) > Math.floor(allowance / 32)
}
