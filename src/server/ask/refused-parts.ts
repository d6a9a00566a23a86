import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import type { UpstreamHost } from '../../kiro/wire/hosts.ts'
import type { JobOwner } from '../../transform/transform-pool.ts'
import type { PayloadChange, RequestPayload } from '../../upstream/call/requests.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { PermitWait } from './call-way.ts'
import { dropFields, stripReasoning, trimPayload, writeOutDocuments } from './change-payload.ts'
import type { PayloadStep } from './next-try.ts'

export interface RefusableRequest extends Pick<PermitWait, 'waiter' | 'signal'> {
  readonly payload: RequestPayload
  readonly plan: ReplyPlan
}

/** Replaces documents that were refused before, or that this host does not take, by their text. */
export async function writeOutRefused(
  plane: Pick<DataPlane, 'conversations' | 'transforms'>,
  request: RefusableRequest,
  host: UpstreamHost
): Promise<void> {
  const { documents } = request.plan
  if (documents === undefined) return
  // None were seen on older hosts (kiro-protocol §4.15).
  if (host.kind === 'q' || plane.conversations.has(documents)) await writeOut(plane, request)
}

function writeOut(
  { transforms }: Pick<DataPlane, 'transforms'>,
  request: RefusableRequest
): Promise<void> {
  return writeOutDocuments(transforms, request.payload, ownerOf(request))
}

function ownerOf({ waiter, signal }: RefusableRequest): JobOwner {
  return { key: waiter.key, signal }
}

export const CHANGES = {
  'reasoning-refused': 'reasoning of earlier answers left out',
  'document-refused': 'documents sent as text',
  'fields-refused': 'reasoning or length fields left out',
  'history-trimmed': 'conversation trimmed'
} as const satisfies Record<PayloadChange, string>

/**
 * False if no turns can be dropped.
 * @throws {GatewayError} as `reformPayload()`
 */
export async function changePayload(
  plane: Pick<DataPlane, 'conversations' | 'transforms'>,
  request: RefusableRequest,
  change: PayloadStep
): Promise<boolean> {
  const { payload, plan } = request
  const { conversations, transforms } = plane
  const owner = ownerOf(request)
  switch (change.name) {
    case 'reasoning-refused':
      if (plan.replay !== undefined) conversations.learn(plan.replay)
      await stripReasoning(transforms, payload, owner)
      return true
    case 'document-refused':
      await writeOut(plane, request)
      return true
    case 'fields-refused':
      await dropFields(transforms, payload, change.refused, owner)
      return true
    case 'history-trimmed':
      return trimPayload(transforms, payload, plan, owner)
  }
}
