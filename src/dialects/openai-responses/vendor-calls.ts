import { isJsonObject, type JsonObject } from '../../kiro/json-object.ts'
import { callText, resultText } from '../../kiro/tool-text.ts'
import { checkShape } from '../check-shape.ts'
import type { InputItem } from './input-items.ts'
import { Items } from './item-schema.ts'

/** A call of one of the vendor's own tools. */
export interface VendorCall {
  /** Of the item. */
  readonly id: string | null
  /** The id that its output has too; null when the vendor ran it. */
  readonly callId: string | null
  readonly name: string
  readonly input: JsonObject
  /** All of it in words. */
  readonly words: string
}

const SUFFIX = '_call'
/** Calls by other names. */
const CALL_TYPES = new Set(['program', 'mcp_approval_request'])
/** No part of what was called: marks of the item, what came out of it, bytes. */
const OTHER_MEMBERS = new Set([
  'type',
  'id',
  'call_id',
  'status',
  'output',
  'result',
  'encrypted_content'
])

/** Whether an item's type is that of a call, such as `web_search_call` or `local_shell_call`. */
export function isVendorCall(type: string): boolean {
  return type.endsWith(SUFFIX) || CALL_TYPES.has(type)
}

/** What came of a call, with the members of a function's output; `null` for items of other types. */
export function outputOf({ type, item }: InputItem): JsonObject | null {
  switch (type) {
    case 'local_shell_call_output':
      return { ...item, call_id: item['call_id'] ?? item['id'] }
    case 'program_output':
      return { ...item, output: item['result'] }
    case 'mcp_approval_response': {
      const { approval_request_id: callId, approve, reason } = item
      return { ...item, call_id: callId, output: { approve, reason } }
    }
    default:
      return type.endsWith('_call_output') ? item : null
  }
}

/** Reads such a call; the tool is never on offer, so that it ends as words anyway. */
export function readVendorCall({ type, item, path }: InputItem): VendorCall {
  const { id, call_id: callId } = checkShape(Items.vendorCall, item, path)
  const name = type.endsWith(SUFFIX) ? type.slice(0, -SUFFIX.length) : type
  const input = inputOf(item)
  const call = callText({ id: id ?? '', name, input })
  const { output } = item
  const isTold = typeof output === 'string' && output !== ''
  const words = isTold
    ? `${call}\n\n${resultText({ id: id ?? '', text: output, isError: false })}`
    : call
  return { id: id ?? null, callId: callId || null, name, input, words }
}

/** A search of the web as a function for it would take it, any other call with all that it has. */
function inputOf(item: JsonObject): JsonObject {
  const { action } = item
  if (isJsonObject(action) && typeof action['query'] === 'string') return { query: action['query'] }
  return Object.fromEntries(Object.entries(item).filter(([key]) => !OTHER_MEMBERS.has(key)))
}
