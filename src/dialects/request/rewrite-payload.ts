import { addFollowUp, type FollowUp, trimHistory } from '../../kiro/conversation/change.ts'
import { documentsIn, withoutDocuments } from '../../kiro/conversation/documents.ts'
import { inForm } from '../../kiro/conversation/ids.ts'
import { withoutFields } from '../../kiro/conversation/conversation-memory.ts'
import { withoutReasoning } from '../../kiro/conversation/signed-reasoning.ts'
import { Repairs } from '../../kiro/rules/repairs.ts'
import type { RequestForm } from '../../kiro/wire/hosts.ts'
import type { UpstreamDocument } from '../../kiro/wire/payload.ts'
import type { ReplyPlan } from '../plan/plan.ts'
import { decodePayload, type EncodedPayload, encodePayload } from './payload-bytes.ts'

/** Change of an upstream request after a refusal, or for another round. Plain data: it crosses threads. */
export type PayloadRewrite =
  | { readonly kind: 'form'; readonly form: RequestForm; readonly ids: ReplyPlan['ids'] }
  | { readonly kind: 'reasoning' }
  | { readonly kind: 'fields'; readonly refused: readonly string[] }
  | { readonly kind: 'documents'; readonly texts: readonly string[] }
  | { readonly kind: 'follow-up'; readonly followUp: FollowUp }
  | { readonly kind: 'trim'; readonly share: number }

export interface PayloadDocument {
  readonly name: string
  readonly format: UpstreamDocument['format']
  readonly bytes: Uint8Array
}

export function rewritePayload(bytes: Uint8Array, rewrite: PayloadRewrite): EncodedPayload | null {
  const payload = decodePayload(bytes)
  const changed = change(payload, rewrite)
  return changed === null ? null : encodePayload(changed, new Repairs())
}

function change(payload: ReturnType<typeof decodePayload>, rewrite: PayloadRewrite) {
  switch (rewrite.kind) {
    case 'form':
      return inForm(payload, rewrite.form, rewrite.ids)
    case 'reasoning':
      return withoutReasoning(payload)
    case 'fields':
      return withoutFields(payload, rewrite.refused)
    case 'documents':
      return withoutDocuments(payload, rewrite.texts)
    case 'follow-up':
      return addFollowUp(payload, rewrite.followUp)
    case 'trim':
      return trimHistory(payload, Math.floor(JSON.stringify(payload).length * rewrite.share))
  }
}

export function readDocuments(bytes: Uint8Array): readonly PayloadDocument[] {
  return documentsIn(decodePayload(bytes)).map(({ name, format, source }) => {
    return { name, format, bytes: new Uint8Array(Buffer.from(source.bytes, 'base64')) }
  })
}
