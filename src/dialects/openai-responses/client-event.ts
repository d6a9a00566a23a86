import { parseJson } from '../../shared/json.ts'
import { membersInTurns, membersOf, type JsonSpan, spanText } from './json-spans.ts'
import { innerItems } from './stored-response.ts'

/** Message that a client of the Responses API sends over a WebSocket: one JSON object with a `type`. */
export interface ClientEvent {
  readonly type: string
  /** Lane of the client's, repeated in each event of the answer. `null`: it names none. */
  readonly streamId: string | null
  /** False if its lane cannot be repeated: it is no text, or too long. */
  readonly hasLane: boolean
  readonly previousId: string | null
  /** `generate: false`: prepares a conversation, and wants no words of the model. */
  readonly isWarmUp: boolean
  readonly bytes: Buffer
  readonly members: ReadonlyMap<string, JsonSpan>
}

/** JSON text of a member that is read here; a lane is repeated in each event of its answer. */
const MAX_VALUE_BYTES = 1024

/** `null` for anything but an object with a `type` in text. Looks at the first level only. */
export function readClientEvent(bytes: Buffer): ClientEvent | null {
  return toEvent(bytes, membersOf(bytes))
}

/** Like `readClientEvent()`, without holding up others while it looks at a large message. */
export async function readLargeEvent(bytes: Buffer): Promise<ClientEvent | null> {
  return toEvent(bytes, await membersInTurns(bytes))
}

function toEvent(bytes: Buffer, members: ClientEvent['members'] | null): ClientEvent | null {
  if (members === null) return null
  const valueOf = (name: string): unknown => {
    const span = members.get(name)
    if (span === undefined || isLong(span)) return undefined
    return parseJson(spanText(bytes, span))
  }
  const type = valueOf('type')
  const streamId = members.has('stream_id') ? valueOf('stream_id') : null
  const previousId = valueOf('previous_response_id')
  if (typeof type !== 'string') return null
  const isNamed = typeof streamId === 'string' && streamId !== ''
  return {
    type,
    streamId: isNamed ? streamId : null,
    hasLane: isNamed || streamId === null,
    previousId: typeof previousId === 'string' && previousId !== '' ? previousId : null,
    isWarmUp: valueOf('generate') === false,
    bytes,
    members
  }
}

function isLong({ from, to }: JsonSpan): boolean {
  return to - from > MAX_VALUE_BYTES
}

/** Members that a request over HTTP does not have, or that are written anew. */
const ENVELOPE: ReadonlySet<string> = new Set(['type', 'generate', 'stream_id', 'stream'])

/** Body of a request over HTTP, and where the value of its tools stands in it; `null` if it has none. */
export interface RequestBody {
  readonly body: Buffer
  readonly tools: JsonSpan | null
}

/** Returns the body of the same request over HTTP, streamed. */
export function toRequestBody({ bytes, members }: ClientEvent): RequestBody {
  const parts: Uint8Array[] = []
  let length = 0
  let tools: JsonSpan | null = null
  const add = (part: Uint8Array): void => {
    parts.push(part)
    length += part.byteLength
  }
  add(Buffer.from('{"stream":true'))
  for (const [name, span] of members) {
    if (ENVELOPE.has(name)) continue
    add(Buffer.from(`,${JSON.stringify(name)}:`))
    if (name === 'tools') tools = { from: length, to: length + span.to - span.from }
    add(bytes.subarray(span.from, span.to))
  }
  add(Buffer.from(members.has('input') ? '}' : ',"input":[]}'))
  return { body: Buffer.concat(parts), tools }
}

/** Returns a copy of the JSON text of the event's own items, without brackets; empty if there are none. */
export function copyNewItems({ bytes, members }: ClientEvent): Buffer {
  const input = members.get('input')
  return input === undefined ? Buffer.alloc(0) : innerItems(bytes, input)
}

/** Bytes that `copyNewItems()` returns, nearly. */
export function newItemBytes({ members }: ClientEvent): number {
  const input = members.get('input')
  return input === undefined ? 0 : input.to - input.from
}
