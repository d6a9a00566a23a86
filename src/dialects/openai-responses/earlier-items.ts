import { GatewayError } from '../../shared/errors.ts'
import { asJsonObject, getOwn, type JsonObject, objectsIn } from '../../shared/json.ts'
import { isCompaction } from './output-items.ts'
import { inputIdOf, MAX_BEFORE } from './stored-response.ts'

/**
 * Writes a connection's conversation as one of the stored answers that a request comes with. Each part is JSON text of
 * items, without brackets. `chain`: its stored responses up to and with this one, or `null` if one of them is not stored.
 */
export function toStoredConversation(
  responseId: string,
  parts: readonly Uint8Array[],
  chain: readonly string[] | null = null
): Buffer {
  const lists = parts.flatMap((part, index) => (index === 0 ? [part] : [BETWEEN, part]))
  const head = Buffer.from(
    `{${JSON.stringify(responseId)}:{"chain":${JSON.stringify(chain)},"parts":[[`
  )
  return Buffer.concat([head, ...lists, Buffer.from(']]}}')])
}

const BETWEEN = Buffer.from('],[')

/** @throws {GatewayError} GW_BODY_INVALID if any of that conversation is not stored */
export function earlierParts(
  previousId: string,
  stored: JsonObject
): readonly (readonly JsonObject[])[] {
  const ofConnection = asJsonObject(getOwn(stored, previousId))?.['parts']
  if (Array.isArray(ofConnection)) return ofConnection.map(objectsIn)
  const before = isSummed(previousId, stored) ? [] : storedBefore(previousId, stored)
  if (before === null) throw notFound(previousId)
  return [...before, previousId].flatMap((id) => {
    const input = asJsonObject(getOwn(stored, inputIdOf(id)))
    const answer = asJsonObject(getOwn(stored, id))
    if (input === null || answer === null) throw notFound(previousId)
    return [inputItems(input), outputItems(answer, stored)]
  })
}

/** Responses that a request goes on from, the oldest first; `null` if one of them is not stored. None before a compaction. */
export function chainTo(
  previousId: string | null | undefined,
  stored: JsonObject
): readonly string[] | null {
  if (!previousId) return []
  const kept = asJsonObject(getOwn(stored, previousId))
  if (kept?.['parts'] !== undefined) return idsIn(kept['chain'])
  if (isSummed(previousId, stored)) return [previousId]
  const before = storedBefore(previousId, stored)
  return before === null || before.length >= MAX_BEFORE ? null : [...before, previousId]
}

/** True for a stored compaction: nothing before it is needed. */
function isSummed(responseId: string, stored: JsonObject): boolean {
  return isCompaction(idsIn(asJsonObject(getOwn(stored, responseId))?.['output']) ?? [])
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
