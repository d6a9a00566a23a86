import type { GroupTokens } from '../../kiro/tokens/request-tokens.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import type { PayloadDocument, PayloadRewrite } from '../../dialects/request/rewrite-payload.ts'
import type { EncodedPayload } from '../../dialects/request/payload-bytes.ts'
import type { FollowUp } from '../../kiro/conversation/change.ts'
import { documentNote, isTextFormat } from '../../kiro/conversation/documents.ts'
import type { RequestForm, UpstreamHost } from '../../kiro/wire/hosts.ts'
import type { JobOwner, TransformPool } from '../../transform/transform-pool.ts'
import type { PayloadChange, RequestPayload } from '../../upstream/call/requests.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { UpstreamQuestion } from './ask-upstream.ts'
import type { PayloadStep } from './next-try.ts'

/*
 * Changes a request after a refusal or for another round. It is read and written anew, like a conversion:
 * with memory reserved first, and in a thread if large.
 */

type Rewriter = Pick<TransformPool, 'rewrite'>

/** @throws {GatewayError} as `TransformPool.rewrite()`; GW_MEMORY_FULL */
export async function reformPayload(
  transforms: Rewriter,
  payload: RequestPayload,
  { ids }: Pick<ReplyPlan, 'ids'>,
  { form, owner }: { readonly form: RequestForm; readonly owner: JobOwner }
): Promise<void> {
  const written = await rewrite(transforms, payload, { kind: 'form', form, ids }, owner)
  if (written !== null) payload.replace(written.bytes)
}

type ChangeableRequest = Pick<UpstreamQuestion, 'payload' | 'plan' | 'waiter' | 'signal'>

export const CHANGES = {
  'reasoning-refused': 'reasoning of earlier answers left out',
  'document-refused': 'documents sent as text',
  'fields-refused': 'reasoning or length fields left out',
  'history-trimmed': 'conversation trimmed'
} as const satisfies Record<PayloadChange, string>

/**
 * False if no turns can be dropped.
 * @throws {GatewayError} as `reformPayload()` and `TransformPool.readPdf()`
 */
export async function changePayload(
  { conversations, transforms }: Pick<DataPlane, 'conversations' | 'transforms'>,
  request: ChangeableRequest,
  step: PayloadStep
): Promise<boolean> {
  const { payload, plan } = request
  const owner = ownerOf(request)
  switch (step.name) {
    case 'reasoning-refused':
      if (plan.replay !== undefined) conversations.learn(plan.replay)
      await change(transforms, payload, step.name, { kind: 'reasoning' }, owner)
      return true
    case 'document-refused':
      await writeOutDocuments(transforms, payload, owner)
      return true
    case 'fields-refused': {
      const { refused } = step
      await change(transforms, payload, step.name, { kind: 'fields', refused }, owner)
      payload.noteDropped(refused)
      return true
    }
    case 'history-trimmed':
      return change(transforms, payload, step.name, { kind: 'trim', share: keptShare(plan) }, owner)
  }
}

function ownerOf({ waiter, signal }: ChangeableRequest): JobOwner {
  return { key: waiter.key, signal }
}

/** Replaces documents that were refused before, or that this host does not take, by their text. */
export async function writeOutRefused(
  { conversations, transforms }: Pick<DataPlane, 'conversations' | 'transforms'>,
  request: ChangeableRequest,
  host: UpstreamHost
): Promise<void> {
  const { documents } = request.plan
  if (documents === undefined) return
  // None were seen on older hosts (kiro-protocol §4.15).
  if (host.kind !== 'q' && !conversations.has(documents)) return
  await writeOutDocuments(transforms, request.payload, ownerOf(request))
}

/** Uses a note for documents without text. */
async function writeOutDocuments(
  transforms: Pick<TransformPool, 'rewrite' | 'documents' | 'readPdf'>,
  payload: RequestPayload,
  owner: JobOwner
): Promise<void> {
  if (payload.has('document-refused')) return
  payload.reserve(payload.bytes.byteLength)
  const texts: string[] = []
  for (const document of await transforms.documents(payload.bytes, owner)) {
    texts.push(await textOf(document, transforms, owner))
  }
  await change(transforms, payload, 'document-refused', { kind: 'documents', texts }, owner)
}

async function textOf(
  { name, format, bytes }: PayloadDocument,
  transforms: Pick<TransformPool, 'readPdf'>,
  owner: JobOwner
): Promise<string> {
  if (isTextFormat(format)) return `[Document: ${name}]\n${Buffer.from(bytes).toString()}`
  if (format !== 'pdf') return documentNote(name, format)
  const text = await transforms.readPdf(bytes, owner)
  if (text.kind === 'failed') return documentNote(name, format)
  return `[Document: ${name}]\n${Buffer.from(text.bytes).toString()}`
}

/** Fraction to keep of a conversation that was refused although it should fit. */
const KEPT_SHARE = 0.6

/** Fraction of the window to fill: the estimate may be off, and the answer needs space. */
const FILLED_SHARE = 0.8

function keptShare({ inputTokens, contextWindow }: ReplyPlan): number {
  return Math.min(KEPT_SHARE, (FILLED_SHARE * contextWindow) / inputTokens)
}

/**
 * Returns the tokens of everything, by group.
 * @throws as `reformPayload()`
 */
export async function extendPayload(
  transforms: Rewriter,
  payload: RequestPayload,
  followUp: FollowUp,
  owner: JobOwner
): Promise<GroupTokens> {
  const addedBytes = Buffer.byteLength(JSON.stringify(followUp))
  const how = { kind: 'follow-up', followUp } as const
  const extended = await rewrite(transforms, payload, how, owner, addedBytes)
  if (extended === null) throw new Error('every conversation can go on')
  payload.replace(extended.bytes)
  return extended.tokens
}

/** Returns false if it was made before, or is impossible. */
async function change(
  transforms: Rewriter,
  payload: RequestPayload,
  name: PayloadChange,
  how: PayloadRewrite,
  owner: JobOwner
): Promise<boolean> {
  if (payload.has(name) && name !== 'fields-refused') return false
  const changed = await rewrite(transforms, payload, how, owner)
  if (changed !== null) payload.change(name, changed.bytes)
  return changed !== null
}

async function rewrite(
  transforms: Rewriter,
  payload: RequestPayload,
  how: PayloadRewrite,
  owner: JobOwner,
  addedBytes = 0
): Promise<EncodedPayload | null> {
  payload.reserve(payload.bytes.byteLength + addedBytes) // both are there for a moment
  return transforms.rewrite(payload.bytes, how, owner)
}
