import { GatewayError } from '../../shared/errors.ts'
import { asJsonObject, getOwn, type JsonObject, objectsIn } from '../../shared/json.ts'
import { inputIdOf, MAX_BEFORE } from './stored-response.ts'

/**
 * Writes a connection's conversation as one of the stored answers that a request comes with. `items` is JSON text of its
 * items, in parts without brackets; empty ones are left out. `chain`: its stored responses up to and with this one, or
 * `null` if one of them is not stored.
 */
export function toStoredConversation(
  responseId: string,
  items: readonly Uint8Array[],
  chain: readonly string[] | null = null
): Buffer {
  const filled = items.filter(({ byteLength }) => byteLength > 0)
  const parts = filled.flatMap((item, index) => (index === 0 ? [item] : [COMMA, item]))
  const head = Buffer.from(
    `{${JSON.stringify(responseId)}:{"chain":${JSON.stringify(chain)},"items":[`
  )
  return Buffer.concat([head, ...parts, Buffer.from(']}}')])
}

const COMMA = Buffer.from(',')

/** @throws {GatewayError} GW_BODY_INVALID if any of that conversation is not stored */
export function earlierItems(previousId: string, stored: JsonObject): readonly JsonObject[] {
  const ofConnection = asJsonObject(getOwn(stored, previousId))?.['items']
  if (ofConnection !== undefined) return objectsIn(ofConnection)
  const before = storedBefore(previousId, stored)
  if (before === null) throw notFound(previousId)
  return [...before, previousId].flatMap((id) => {
    const input = asJsonObject(getOwn(stored, inputIdOf(id)))
    const answer = asJsonObject(getOwn(stored, id))
    if (input === null || answer === null) throw notFound(previousId)
    return [...inputItems(input), ...outputItems(answer, stored)]
  })
}

/** Responses that a request goes on from, the oldest first; `null` if one of them is not stored. */
export function chainTo(
  previousId: string | null | undefined,
  stored: JsonObject
): readonly string[] | null {
  if (!previousId) return []
  const kept = asJsonObject(getOwn(stored, previousId))
  if (kept?.['items'] !== undefined) return idsIn(kept['chain'])
  const before = storedBefore(previousId, stored)
  return before === null || before.length >= MAX_BEFORE ? null : [...before, previousId]
}

function storedBefore(previousId: string, stored: JsonObject): readonly string[] | null {
  return idsIn(asJsonObject(getOwn(stored, inputIdOf(previousId)))?.['before'])
}

function idsIn(list: unknown): readonly string[] | null {
  return Array.isArray(list) ? list.filter((id) => typeof id === 'string') : null
}

function inputItems({ items }: JsonObject): readonly JsonObject[] {
  return Array.isArray(items) ? objectsIn(items.map(toItem)) : []
}

function toItem(item: unknown): unknown {
  return typeof item === 'string' ? { role: 'user', content: item } : item
}

/** Items that broke off are left out: no model is told half a call. */
function outputItems({ output }: JsonObject, stored: JsonObject): readonly JsonObject[] {
  const ids = idsIn(output) ?? []
  return objectsIn(ids.map((id) => getOwn(stored, id)))
}

function notFound(previousId: string): GatewayError {
  return new GatewayError('GW_BODY_INVALID', undefined, {
    message:
      `Previous response with id '${previousId.slice(0, 100)}' not found: it, or one that it went on from, was not stored or is ` +
      'stored no longer. Send the whole conversation as input instead.',
    param: 'previous_response_id',
    details: { error_code: 'previous_response_not_found' }
  })
}
