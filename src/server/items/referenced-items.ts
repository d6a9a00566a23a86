import { itemReferencesOf } from '../../dialects/item-references.ts'
import type { DialectName } from '../../dialects/reply-plan.ts'
import type { DataPlane } from '../data-plane.ts'
import type { BodyRoom } from '../request-body.ts'

interface ReadRequest {
  readonly dialect: DialectName
  readonly body: Uint8Array
  /** Name of the client's key: only what was kept for it is found. */
  readonly key: string
  /** What is held for the body; grows by what is found. */
  readonly memory: BodyRoom
}

/**
 * What a body refers to instead of repeating it, by id. Most bodies refer to nothing, which costs a search through
 * their bytes.
 *
 * @throws {GatewayError} GW_BODY_TOO_LARGE, GW_MEMORY_FULL when body and items are too much together.
 */
export async function referencedItems(
  plane: Pick<DataPlane, 'items' | 'config'>,
  { dialect, body, key, memory }: ReadRequest
): Promise<Readonly<Record<string, unknown>>> {
  const ids = itemReferencesOf(dialect, body)
  if (ids.length === 0) return {}
  const left = plane.config().server.maxBodyBytes - body.byteLength
  const { items, bytes } = await plane.items.find(key, ids, left)
  memory.grow(body.byteLength + bytes)
  return items
}
