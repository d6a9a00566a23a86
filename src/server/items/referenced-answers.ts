import { itemReferencesOf } from '../../dialects/item-references.ts'
import type { DialectName } from '../../dialects/reply-plan.ts'
import { GatewayError } from '../../shared/errors.ts'
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
 * The earlier answers that a body refers to by id, instead of repeating parts of them; for `RequestOptions.answers`.
 * Most bodies refer to nothing, which costs a search through their bytes. Waits for memory as a body of that size does.
 *
 * @throws {GatewayError} GW_BODY_TOO_LARGE, GW_MEMORY_FULL when body and answers are too much together.
 */
export async function referencedAnswers(
  plane: Pick<DataPlane, 'items' | 'config'>,
  { dialect, body, key, memory }: ReadRequest
): Promise<readonly Uint8Array[]> {
  const ids = itemReferencesOf(dialect, body)
  if (ids.length === 0) return []
  const maxBytes = Math.min(plane.config().server.maxBodyBytes, memory.largestBytes)
  return plane.items.find(key, ids, async (bytes) => {
    const wholeBytes = body.byteLength + bytes
    if (wholeBytes > maxBytes) throw tooLarge(maxBytes)
    if (bytes > 0) await memory.extend(wholeBytes)
  })
}

function tooLarge(maxBytes: number): GatewayError {
  const message =
    `The request and the answers that it refers to are together larger than ${maxBytes} bytes. That is MAX_BODY_BYTES, ` +
    'or what the memory of the gateway has room for.'
  return new GatewayError('GW_BODY_TOO_LARGE', undefined, { message })
}
