import type { JsonObject } from '../../kiro/json-object.ts'
import { checkShape } from '../check-shape.ts'
import { resolveReference } from './item-references.ts'
import { Items } from './item-schema.ts'
import type { ResponsesBody } from './schema.ts'

/** One item of a request's input. */
export interface InputItem {
  readonly type: string
  readonly item: JsonObject
  /** From the body's root, for error messages. */
  readonly path: string
}

/**
 * The items of an input in order: text stands for a user message, an item without type is a message, and
 * references are replaced by what `stored` has under their ids, where they stand first.
 *
 * @throws {GatewayError} GW_BODY_INVALID
 */
export function listItems(
  input: ResponsesBody['input'],
  stored: Readonly<Record<string, unknown>>
): readonly InputItem[] {
  if (typeof input === 'string') return [toUserMessage(input, 'input')]
  const referred = new Set<JsonObject>()
  return input.flatMap((one, index): InputItem | readonly InputItem[] => {
    const path = `input[${index}]`
    if (typeof one === 'string') return toUserMessage(one, path)
    const item = resolveReference(one, stored, path)
    if (item !== one) {
      // A few bytes for each time must not make a megabyte each time.
      if (referred.has(item)) return []
      referred.add(item)
    }
    return { type: checkShape(Items.any, item, path).type ?? 'message', item, path }
  })
}

function toUserMessage(text: string, path: string): InputItem {
  return { type: 'message', item: { role: 'user', content: text }, path }
}
