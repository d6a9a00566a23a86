import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import { decodePayload, encodePayload } from '../../dialects/request/payload-bytes.ts'
import { trimHistory } from '../../kiro/conversation/change.ts'
import {
  documentNote,
  documentsIn,
  isTextFormat,
  withoutDocuments
} from '../../kiro/conversation/documents.ts'
import { inForm } from '../../kiro/conversation/ids.ts'
import { withoutFields } from '../../kiro/conversation/refused-fields.ts'
import { withoutReasoning } from '../../kiro/conversation/signed-reasoning.ts'
import { Repairs } from '../../kiro/rules/repairs.ts'
import type { RequestForm } from '../../kiro/wire/hosts.ts'
import type { UpstreamDocument } from '../../kiro/wire/payload.ts'
import type { JobOwner, TransformPool } from '../../transform/transform-pool.ts'
import type { RequestPayload } from '../../upstream/call/requests.ts'

/*
 * What is changed in a request after the upstream has refused it. Each of these reads and writes the whole payload on the
 * event loop, some 15 ms for a megabyte, once for such a request.
 */

/** Writes a payload anew in the other form: also for requests that were under way when another form was learnt. */
export function reformPayload(
  payload: RequestPayload,
  { ids }: Pick<ReplyPlan, 'ids'>,
  form: RequestForm
): void {
  const written = inForm(decodePayload(payload.bytes), form, ids)
  payload.replace(encodePayload(written, new Repairs()).bytes)
}

/** Leaves the reasoning of earlier answers out. */
export function stripReasoning(payload: RequestPayload): void {
  if (payload.has('reasoning-refused')) return
  const stripped = withoutReasoning(decodePayload(payload.bytes))
  payload.change('reasoning-refused', encodePayload(stripped, new Repairs()).bytes)
}

/** Leaves out what is said beside the conversation, as far as it was refused. */
export function dropFields(payload: RequestPayload, refused: readonly string[]): void {
  const left = withoutFields(decodePayload(payload.bytes), refused)
  payload.change('fields-refused', encodePayload(left, new Repairs()).bytes)
}

/**
 * Puts the text of documents in their place, or a note where they have none that can be read here. PDFs are read in a
 * thread, one after the other.
 *
 * @throws {GatewayError} as `TransformPool.readPdf()`; GW_MEMORY_FULL
 */
export async function writeOutDocuments(
  transforms: Pick<TransformPool, 'readPdf'>,
  payload: RequestPayload,
  owner: JobOwner
): Promise<void> {
  if (payload.has('document-refused')) return
  const texts: string[] = []
  for (const document of documentsIn(decodePayload(payload.bytes))) {
    texts.push(await textOf(document, transforms, owner))
  }
  const written = withoutDocuments(decodePayload(payload.bytes), texts)
  payload.change('document-refused', encodePayload(written, new Repairs()).bytes)
}

async function textOf(
  { name, format, source }: UpstreamDocument,
  transforms: Pick<TransformPool, 'readPdf'>,
  owner: JobOwner
): Promise<string> {
  const bytes = Buffer.from(source.bytes, 'base64')
  if (isTextFormat(format)) return `[Document: ${name}]\n${bytes.toString()}`
  if (format !== 'pdf') return documentNote(name, format)
  const text = await transforms.readPdf(new Uint8Array(bytes), owner)
  if (text.kind === 'failed') return documentNote(name, format)
  return `[Document: ${name}]\n${Buffer.from(text.bytes).toString()}`
}

/** What is left of a conversation that was refused although it should have fitted. */
const KEPT_SHARE = 0.6

/** Of the window: the estimate may be off, and the answer needs room, too. */
const FILLED_SHARE = 0.8

/** Shortens a conversation that the upstream refused as too long, oldest turns first. False if it can't be shortened. */
export function trimPayload(
  payload: RequestPayload,
  { inputTokens, contextWindow }: Pick<ReplyPlan, 'inputTokens' | 'contextWindow'>
): boolean {
  const share = Math.min(KEPT_SHARE, (FILLED_SHARE * contextWindow) / inputTokens)
  const whole = decodePayload(payload.bytes)
  const trimmed = trimHistory(whole, Math.floor(JSON.stringify(whole).length * share))
  if (trimmed === null) return false
  payload.change('history-trimmed', encodePayload(trimmed, new Repairs()).bytes)
  return true
}
