import type { Remedy } from '../kiro/fault-table.ts'
import type { GatewayError } from '../shared/errors.ts'
import { isConnectFailure } from './classify.ts'

/** How a call differs from the plain one. Each change is made at most once, or once for each host. */
export interface Approach {
  readonly hostIndex: number
  readonly isWithoutProfile: boolean
  readonly hasRenewedToken: boolean
  readonly isNewConversation: boolean
}

export const PLAIN_APPROACH: Approach = {
  hostIndex: 0,
  isWithoutProfile: false,
  hasRenewedToken: false,
  isNewConversation: false
}

export interface ApproachFailure {
  readonly error: GatewayError
  /** What the upstream advised, if it answered at all. */
  readonly remedy: Remedy | null
}

export interface ApproachMeans {
  readonly hosts: number
  /** The account has a profile ARN of its own. */
  readonly hasProfile: boolean
}

/**
 * Another approach that may succeed where the last one failed (kiro-protocol §1.2, §3.9, §8.2), or `null`. Such calls
 * are no retries: the request itself is different.
 */
export function nextApproach(
  approach: Approach,
  { error, remedy }: ApproachFailure,
  { hosts, hasProfile }: ApproachMeans
): Approach | null {
  const canMove = approach.hostIndex + 1 < hosts
  const moved = canMove ? { ...approach, hostIndex: approach.hostIndex + 1 } : null
  switch (remedy) {
    case 'refresh-token':
      return approach.hasRenewedToken ? null : { ...approach, hasRenewedToken: true }
    case 'drop-profile':
      if (approach.isWithoutProfile) return null
      return { ...approach, isWithoutProfile: true }
    case 'new-conversation':
      return approach.isNewConversation ? null : { ...approach, isNewConversation: true }
    case 'add-profile':
      return hasProfile ? null : moved
    case 'next-host':
      return moved
    case null:
      return isConnectFailure(error) ? moved : null
    case 'none':
    case 'back-off':
    case 'retry-once':
    case 'retry-model':
      break
  }
  return null
}
