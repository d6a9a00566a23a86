import { isJsonObject, type JsonObject, parseJsonObject, textMember } from '../../shared/json.ts'
import { checkShape, invalidPart } from '../plan/json-body.ts'
import { Items } from './schema.ts'

export interface InputItem {
  readonly type: string
  readonly item: JsonObject
  readonly path: string
  /** True for an item that stands elsewhere. */
  readonly isReferred?: true
}

/**
 * Replaces references by the items in `stored`, the first time each occurs: `referred` has those before.
 * @throws {GatewayError} GW_BODY_INVALID
 */
export function listItems(
  input: string | readonly (string | JsonObject)[],
  stored: Readonly<Record<string, unknown>>,
  referred = new Set<JsonObject>()
): readonly InputItem[] {
  if (typeof input === 'string') return [toUserMessage(input, 'input')]
  return input.flatMap((one, index): InputItem | readonly InputItem[] => {
    const path = `input[${index}]`
    if (typeof one === 'string') return toUserMessage(one, path)
    const item = resolveReference(one, stored, path)
    if (item !== one) {
      // A repeated reference of a few bytes must not add a megabyte each time.
      if (referred.has(item)) return []
      referred.add(item)
    }
    const { type } = checkShape(Items.any, item, path)
    const isReferred = item !== one && { isReferred: true as const }
    return { type: type ?? 'message', item, path, ...isReferred }
  })
}

function toUserMessage(text: string, path: string): InputItem {
  return { type: 'message', item: { role: 'user', content: text }, path }
}

const REFERENCE = 'item_reference'
/** The reference as it stands in JSON; inside a text its quotes would be escaped. */
const REFERENCE_TEXT = `"${REFERENCE}"`
const REACH = 256
/** Bounds the work on the event loop: a body could hold millions. */
const MAX_REFERENCES = 5000

/** Reads only the bytes around each reference, instead of parsing the body. */
export function itemReferencesOf(body: Uint8Array): readonly string[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const ids = new Set<string>()
  let at = bytes.indexOf(REFERENCE_TEXT)
  for (let count = 0; at !== -1 && count < MAX_REFERENCES; count++) {
    const id = idAround(bytes, at)
    if (id !== null) ids.add(id)
    at = bytes.indexOf(REFERENCE_TEXT, at + REFERENCE_TEXT.length)
  }
  return [...ids]
}

const PREVIOUS = /^"previous_response_id"\s*:\s*"(?<id>resp_[0-9a-f]{32})"/
const PREVIOUS_TEXT = '"previous_response_id"'
const PREVIOUS_REACH = 256
/** One, and others in schemas of tools or their arguments. */
const MAX_PREVIOUS = 16

/** Ids that the request may go on from. Reads only the bytes around each. */
export function previousIdsOf(body: Uint8Array): readonly string[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const ids = new Set<string>()
  let at = bytes.indexOf(PREVIOUS_TEXT)
  for (let count = 0; at !== -1 && count < MAX_PREVIOUS; count++) {
    const id = PREVIOUS.exec(bytes.toString('latin1', at, at + PREVIOUS_REACH))?.groups?.['id']
    if (id !== undefined) ids.add(id)
    at = bytes.indexOf(PREVIOUS_TEXT, at + PREVIOUS_TEXT.length)
  }
  return [...ids]
}

export function itemsOf(answers: readonly Uint8Array[]): JsonObject {
  const items = answers.flatMap(({ buffer, byteOffset, byteLength }) => {
    const text = Buffer.from(buffer, byteOffset, byteLength).toString('utf8')
    return Object.entries(parseJsonObject(text) ?? {})
  })
  return Object.fromEntries(items)
}

/** OpenAI takes a bare id for a reference; as a message it would be empty. */
function isBareId({ type, role, content, id }: JsonObject): boolean {
  const isEmpty = [type, role, content].every((member) => member === undefined || member === null)
  return isEmpty && typeof id === 'string'
}

function idAround(bytes: Buffer, at: number): string | null {
  const before = bytes.toString('utf8', Math.max(0, at - REACH), at)
  const after = bytes.toString('utf8', at, at + REFERENCE_TEXT.length + REACH)
  const text = before.slice(before.lastIndexOf('{')) + after.slice(0, after.indexOf('}') + 1)
  const reference = parseJsonObject(text)
  return reference?.['type'] === REFERENCE ? textMember(reference, 'id') : null
}

/**
 * Leaves missing reasoning out: it cannot be sent upstream anyway.
 * @throws {GatewayError} GW_BODY_INVALID if another item is missing
 */
function resolveReference(
  item: JsonObject,
  items: Readonly<Record<string, unknown>>,
  path: string
): JsonObject {
  if (item['type'] !== REFERENCE) {
    if (!isBareId(item)) return item
    throw invalidPart(`${path}.type`, `must be "${REFERENCE}" where an item is nothing but an id`)
  }
  const { id } = checkShape(Items.reference, item, path)
  const found = Object.hasOwn(items, id) ? items[id] : undefined
  if (isJsonObject(found) && found['type'] !== REFERENCE) return found
  if (id.startsWith('rs_')) return { type: 'reasoning' }
  throw invalidPart(
    `${path}.id`,
    `Item with id '${id.slice(0, 100)}' not found. Answers are kept for a while only, and none of requests with ` +
      '"store": false; send the item itself instead of a reference to it.'
  )
}
