import type { LeaseReport } from '../ipc/lease-messages.ts'
import { hasMoved } from '../ipc/service-order.ts'
import type { FairQueue } from './fair-queue.ts'

/**
 * Whether the primary has a wrong picture of who waits: it takes what it was told, less what it has
 * granted since. More waiting is always news, less only when it matters, since under load every request
 * would be a message otherwise.
 */
export function isQueueNews(told: LeaseReport, granted: number, queue: FairQueue): boolean {
  const served = granted - told.granted
  const believed = Math.max(0, told.waiting - served)
  if (queue.size > believed || believed - queue.size > Math.floor(believed / 32)) return true
  const next = queue.peek()
  return next !== null && hasMoved(told.heads.slice(served), [next])
}
