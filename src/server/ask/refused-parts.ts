import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import type { ConversationParts } from '../../kiro/conversation/conversation-memory.ts'
import {
  fieldsLesson,
  type FieldsParty,
  refusedPath,
  leftPaths,
  rememberedPaths
} from '../../kiro/conversation/refused-fields.ts'
import { UpstreamLimits } from '../../kiro/rules/rules.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import type { UpstreamHost } from '../../kiro/wire/hosts.ts'
import type { GatewayError } from '../../shared/errors.ts'
import type { JobOwner } from '../../transform/transform-pool.ts'
import type { PayloadChange, RequestPayload } from '../../upstream/call/requests.ts'
import type { DataPlane } from '../plane/data-plane.ts'
import type { PermitWait } from './call-way.ts'
import { dropFields, stripReasoning, trimPayload, writeOutDocuments } from './change-payload.ts'

/** What may have to be left out of a request. */
export interface RefusableRequest extends Pick<PermitWait, 'waiter' | 'signal'> {
  readonly payload: RequestPayload
  readonly plan: ReplyPlan
}

type Account = Pick<CredentialSnapshot, 'id'>

/** Leaves out the reasoning and the fields that were refused before, to this worker or another. */
export async function leaveOutRefused(
  { conversations, transforms }: Pick<DataPlane, 'conversations' | 'transforms'>,
  request: RefusableRequest,
  account: Account
): Promise<void> {
  const { payload, plan } = request
  const owner = ownerOf(request)
  const { replay, fields } = plan
  if (replay !== undefined && conversations.has(replay))
    await stripReasoning(transforms, payload, owner)
  if (fields === undefined || payload.has('fields-refused')) return
  const isRefused = (parts: ConversationParts): boolean => conversations.has(parts)
  const refused = rememberedPaths(partyOf(account, plan), fields, isRefused)
  if (refused.length > 0) await dropFields(transforms, payload, refused, owner)
}

/** Sends the text of documents that were refused before, or that this host does not take. */
export async function writeOutRefused(
  plane: Pick<DataPlane, 'conversations' | 'transforms'>,
  request: RefusableRequest,
  host: UpstreamHost
): Promise<void> {
  const { documents } = request.plan
  if (documents === undefined) return
  // None were ever seen on the older hosts (kiro-protocol §4.15).
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

/** What the log says of each. */
export const CHANGES = {
  'reasoning-refused': 'reasoning of earlier answers left out',
  'document-refused': 'documents sent as text',
  'fields-refused': 'wishes about reasoning or length left out',
  'history-trimmed': 'conversation trimmed'
} as const satisfies Record<PayloadChange, string>

interface Change {
  readonly name: PayloadChange
  /** It was made on suspicion: this is known once the request is answered. */
  readonly lesson?: ConversationParts
}

interface Refused {
  readonly error: GatewayError
  readonly fault: UpstreamFault | null
  readonly account: Account
}

/** Changes what a refusal may be about, each once (kiro-protocol §8.3). `null` where nothing can be changed. */
export async function changePayload(
  plane: Pick<DataPlane, 'conversations' | 'transforms' | 'config'>,
  request: RefusableRequest,
  { error, fault, account }: Refused
): Promise<Change | null> {
  const { payload, plan } = request
  const { transforms } = plane
  const owner = ownerOf(request)
  const mayChange = (change: PayloadChange): boolean => !payload.has(change)
  if (fault?.remedy === 'strip-reasoning' && plan.replay && mayChange('reasoning-refused')) {
    plane.conversations.learn(plan.replay)
    await stripReasoning(transforms, payload, owner)
    return { name: 'reasoning-refused' }
  }
  const isTooLong = error.code === 'GW_CONTEXT_OVERFLOW'
  const isAboutDocuments = mayBeDocuments(fault) || (isTooLong && mayFitWithoutDocuments(payload))
  if (plan.documents && isAboutDocuments && mayChange('document-refused')) {
    await writeOut(plane, request)
    return { name: 'document-refused', lesson: plan.documents }
  }
  if (fault?.remedy === 'drop-fields') {
    const lesson = await changeFields(plane, request, fault, account)
    if (lesson !== null) return { name: 'fields-refused', lesson }
  }
  const mayTrim = isTooLong && plane.config().payload.isTrimmed && mayChange('history-trimmed')
  const isTrimmed = mayTrim && (await trimPayload(transforms, payload, plan, owner))
  return isTrimmed ? { name: 'history-trimmed' } : null
}

/** Leaves out the field that a refusal names, or all: where it names none, and where one was left out already. */
async function changeFields(
  { transforms }: Pick<DataPlane, 'transforms'>,
  request: RefusableRequest,
  { message }: UpstreamFault,
  account: Account
): Promise<ConversationParts | null> {
  const { payload, plan } = request
  const left = leftPaths(plan.fields?.paths ?? [], payload.droppedFields)
  if (left.length === 0) return null
  const named = refusedPath(left, message)
  const isSecond = payload.has('fields-refused')
  const refused = named === null || isSecond ? left : [named]
  await dropFields(transforms, payload, refused, ownerOf(request))
  return fieldsLesson(partyOf(account, plan), named === null && !isSecond ? 'all' : refused)
}

/** A refusal that no other remedy is known for (kiro-protocol §4.15), but not one of an organisation's key. */
function mayBeDocuments(fault: UpstreamFault | null): boolean {
  if (fault?.status !== 400 || fault.code !== 'GW_UPSTREAM_REFUSED') return false
  return ['none', 'other-form'].includes(fault.remedy) && fault.reason?.includes('KMS') !== true
}

/** Documents weigh far more than their text: a conversation that grows beside them would be at its end. */
function mayFitWithoutDocuments({ bytes }: RequestPayload): boolean {
  return bytes.byteLength <= UpstreamLimits.payloadWeight + UpstreamLimits.documentChars
}

function partyOf({ id }: Account, { upstreamModel }: ReplyPlan): FieldsParty {
  return { account: id, model: upstreamModel }
}
