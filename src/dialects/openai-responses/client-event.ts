import { parseJson } from '../../shared/json.ts'

/** Raw JSON text of one member's value, as a place in the bytes of its message. */
interface Span {
  readonly from: number
  readonly to: number
}

/** Message that a client of the Responses API sends over a WebSocket: one JSON object with a `type`. */
export interface ClientEvent {
  readonly type: string
  /** Lane of the client's, repeated in each event of the answer. `null`: it names none. */
  readonly streamId: string | null
  readonly previousId: string | null
  /** `generate: false`: prepares a conversation, and wants no words of the model. */
  readonly isWarmUp: boolean
  readonly bytes: Buffer
  readonly members: ReadonlyMap<string, Span>
}

/** A request has a few dozen members; more are no request. */
const MAX_MEMBERS = 1000
const MAX_NAME_BYTES = 1024
/** JSON text of a member that is read here; a lane is repeated in each event of its answer. */
const MAX_VALUE_BYTES = 1024

/**
 * `null` for anything but an object with a `type` in text, and for a lane that is too long to be repeated. Looks at the
 * first level only.
 */
export function readClientEvent(bytes: Buffer): ClientEvent | null {
  const members = membersOf(bytes)
  if (members === null) return null
  const valueOf = (name: string): unknown => {
    const span = members.get(name)
    if (span === undefined || isLong(span)) return undefined
    return parseJson(textOf(bytes, span))
  }
  const type = valueOf('type')
  const streamId = valueOf('stream_id')
  const previousId = valueOf('previous_response_id')
  const lane = members.get('stream_id')
  if (typeof type !== 'string' || (lane !== undefined && isLong(lane))) return null
  return {
    type,
    streamId: typeof streamId === 'string' ? streamId : null,
    previousId: typeof previousId === 'string' && previousId !== '' ? previousId : null,
    isWarmUp: valueOf('generate') === false,
    bytes,
    members
  }
}

function isLong({ from, to }: Span): boolean {
  return to - from > MAX_VALUE_BYTES
}

/** Members that a request over HTTP does not have, or that are written anew. */
const ENVELOPE: ReadonlySet<string> = new Set(['type', 'generate', 'stream_id', 'stream'])

/** Returns the body of the same request over HTTP, streamed. */
export function toRequestBody({ bytes, members }: ClientEvent): Buffer {
  const parts: Uint8Array[] = [Buffer.from('{"stream":true')]
  for (const [name, span] of members) {
    if (ENVELOPE.has(name)) continue
    parts.push(Buffer.from(`,${JSON.stringify(name)}:`), bytes.subarray(span.from, span.to))
  }
  parts.push(Buffer.from(members.has('input') ? '}' : ',"input":[]}'))
  return Buffer.concat(parts)
}

/** Returns a copy of the JSON text of the event's own items, without brackets; empty if there are none. */
export function copyNewItems({ bytes, members }: ClientEvent): Buffer {
  return Buffer.concat([...newItems(bytes, members.get('input'))])
}

/** Bytes that `copyNewItems()` returns, nearly. */
export function newItemBytes({ members }: ClientEvent): number {
  const input = members.get('input')
  return input === undefined ? 0 : input.to - input.from
}

/** Text alone is a message of the user. Anything that is no input stays as it is, to be refused with its place. */
function newItems(bytes: Buffer, input: Span | undefined): readonly Uint8Array[] {
  if (input === undefined) return []
  const value = bytes.subarray(input.from, input.to)
  if (value[0] === QUOTE) {
    return [Buffer.concat([Buffer.from('{"role":"user","content":'), value, Buffer.from('}')])]
  }
  if (value[0] !== OPEN_BRACKET) return [value]
  const inner = bytes.subarray(skipSpace(bytes, input.from + 1), input.to - 1)
  return [inner]
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA_BYTE = 0x2c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d

/** `null` for bytes that are no object. Of members of one name the last counts, as in `JSON.parse()`. */
function membersOf(bytes: Buffer): ReadonlyMap<string, Span> | null {
  const members = new Map<string, Span>()
  let at = skipSpace(bytes, 0)
  if (bytes[at] !== OPEN_BRACE) return null
  at = skipSpace(bytes, at + 1)
  if (bytes[at] === CLOSE_BRACE) return isEnd(bytes, at + 1) ? members : null
  for (let count = 0; count < MAX_MEMBERS; count++) {
    if (bytes[at] !== QUOTE) return null
    const nameEnd = endOfString(bytes, at)
    if (nameEnd === -1 || nameEnd - at > MAX_NAME_BYTES) return null
    const name = parseJson(textOf(bytes, { from: at, to: nameEnd }))
    at = skipSpace(bytes, nameEnd)
    if (typeof name !== 'string' || bytes[at] !== COLON) return null
    const from = skipSpace(bytes, at + 1)
    const to = endOfValue(bytes, from)
    if (to === -1) return null
    members.set(name, { from, to })
    at = skipSpace(bytes, to)
    if (bytes[at] === CLOSE_BRACE) return isEnd(bytes, at + 1) ? members : null
    if (bytes[at] !== COMMA_BYTE) return null
    at = skipSpace(bytes, at + 1)
  }
  return null
}

function isEnd(bytes: Buffer, at: number): boolean {
  return skipSpace(bytes, at) === bytes.byteLength
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from
  while (isSpace(bytes[at])) at++
  return at
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** Returns the place behind the closing quote, or -1. */
function endOfString(bytes: Buffer, from: number): number {
  let at = bytes.indexOf(QUOTE, from + 1)
  while (at !== -1 && isEscaped(bytes, at)) at = bytes.indexOf(QUOTE, at + 1)
  return at === -1 ? -1 : at + 1
}

function isEscaped(bytes: Buffer, at: number): boolean {
  let from = at
  while (bytes[from - 1] === BACKSLASH) from--
  return (at - from) % 2 === 1
}

/** Returns the place behind a value, or -1 for none. Looks at no more of it than where it ends. */
function endOfValue(bytes: Buffer, from: number): number {
  const first = bytes[from]
  if (first === QUOTE) return endOfString(bytes, from)
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return endOfNested(bytes, from)
  let at = from
  for (let byte = bytes[at]; byte !== undefined && !isEndOfWord(byte); byte = bytes[at]) at++
  return at === from ? -1 : at
}

function isEndOfWord(byte: number): boolean {
  return byte === COMMA_BYTE || byte === CLOSE_BRACE || byte === CLOSE_BRACKET || isSpace(byte)
}

function endOfNested(bytes: Buffer, from: number): number {
  let depth = 0
  let at = from
  while (at < bytes.byteLength) {
    const byte = bytes[at]
    if (byte === QUOTE) {
      at = endOfString(bytes, at)
      if (at === -1) return -1
      continue
    }
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1
    at += 1
    if (depth === 0) return at
  }
  return -1
}

function textOf(bytes: Buffer, { from, to }: Span): string {
  return bytes.toString('utf8', from, to)
}
