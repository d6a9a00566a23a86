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
 * references are replaced by what `stored` has under their ids.
 *
 * @throws {GatewayError} GW_BODY_INVALID
 */
export function listItems(
  input: ResponsesBody['input'],
  stored: Readonly<Record<string, unknown>>
): readonly InputItem[] {
  if (typeof input === 'string') return [toUserMessage(input, 'input')]
  return input.map((one, index) => {
    const path = `input[${index}]`
    if (typeof one === 'string') return toUserMessage(one, path)
    const item = resolveReference(one, stored, path)
    return { type: checkShape(Items.any, item, path).type ?? 'message', item, path }
  })
}

function toUserMessage(text: string, path: string): InputItem {
  return { type: 'message', item: { role: 'user', content: text }, path }
}
