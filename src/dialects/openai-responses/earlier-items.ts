import { GatewayError } from '../../shared/errors.ts'
import { asJsonObject, getOwn, type JsonObject, objectsIn } from '../../shared/json.ts'

/**
 * Writes a conversation as one of the stored answers that a request comes with. `items` is JSON text of its items, in parts
 * without brackets; empty ones are left out.
 */
export function toStoredConversation(responseId: string, items: readonly Uint8Array[]): Buffer {
  const filled = items.filter(({ byteLength }) => byteLength > 0)
  const parts = filled.flatMap((item, index) => (index === 0 ? [item] : [COMMA, item]))
  const head = Buffer.from(`{${JSON.stringify(responseId)}:{"items":[`)
  return Buffer.concat([head, ...parts, Buffer.from(']}}')])
}

const COMMA = Buffer.from(',')

/** @throws {GatewayError} GW_BODY_INVALID if nothing of that response is stored */
export function earlierItems(previousId: string, stored: JsonObject): readonly JsonObject[] {
  const conversation = asJsonObject(getOwn(stored, previousId))
  if (conversation !== null) return objectsIn(conversation['items'])
  throw new GatewayError('GW_BODY_INVALID', undefined, {
    message:
      `Previous response with id '${previousId.slice(0, 100)}' not found: it is not of this connection, or is no longer stored. ` +
      'Send the whole conversation as input instead.',
    param: 'previous_response_id',
    details: { error_code: 'previous_response_not_found' }
  })
}
