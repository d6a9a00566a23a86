import { GatewayError } from '../shared/errors.ts'

export type HeaderValue = boolean | number | bigint | string | Uint8Array | Date

/** A header whose wire type its JavaScript value alone does not say. */
export type TypedHeader =
  | { readonly type: 'byte' | 'short'; readonly value: number }
  | { readonly type: 'uuid'; readonly value: string }

/** A number is written as int32, a bigint as int64, a Date as timestamp, a string as string. */
export type HeaderInput = HeaderValue | TypedHeader

export type Headers = Readonly<Record<string, HeaderValue>>

const WIRE = {
  true: 0,
  false: 1,
  byte: 2,
  short: 3,
  integer: 4,
  long: 5,
  bytes: 6,
  string: 7,
  timestamp: 8,
  uuid: 9
} as const

/** Bytes of a value by wire type; null where a 2-byte length stands before it. */
const FIXED_BYTES: readonly (number | null)[] = [0, 0, 1, 2, 4, 8, null, null, 8, 16]

/**
 * Reads the header block of one frame; the last of two equal names wins.
 *
 * ```
 * ┌────────────┬──────┬──────┬─────────────────────────┐
 * │ name bytes │ name │ type │ value, see FIXED_BYTES  │  repeated until the block ends
 * │     u8     │ utf8 │  u8  │ or u16 length and bytes │
 * └────────────┴──────┴──────┴─────────────────────────┘
 * ```
 *
 * Nothing in the result refers to `block`. The record has no prototype: a name such as
 * `constructor` finds nothing that the upstream did not send.
 *
 * @throws {GatewayError} GW_FRAME_CORRUPT when a value leaves the block or has an unknown type.
 */
export function parseHeaders(block: Buffer): Headers {
  const headers: Record<string, HeaderValue> = Object.create(null)
  let at = 0
  while (at < block.length) {
    const nameEnd = at + 1 + block.readUInt8(at)
    // The type byte follows the name, so the name must end before the block does.
    if (nameEnd >= block.length) throw corrupt('a header name leaves the header block')
    const name = block.toString('utf8', at + 1, nameEnd)
    const type = block.readUInt8(nameEnd)
    const start = nameEnd + 1 + (isPrefixed(type) ? 2 : 0)
    const end = start + valueBytes(block, nameEnd + 1, type)
    if (end > block.length) throw corrupt('a header value leaves the header block')
    headers[name] = readValue(block, type, start, end)
    at = end
  }
  return headers
}

/** Writes a header block. @throws {RangeError} for what the format cannot hold: that is a bug of the caller. */
export function encodeHeaders(headers: Readonly<Record<string, HeaderInput>>): Buffer {
  const parts: Buffer[] = []
  for (const [name, value] of Object.entries(headers)) {
    const nameBytes = Buffer.from(name)
    if (nameBytes.length > 0xff) throw new RangeError('a header name is longer than 255 bytes')
    parts.push(Buffer.of(nameBytes.length), nameBytes, encodeValue(value))
  }
  return Buffer.concat(parts)
}

function isPrefixed(type: number): boolean {
  return FIXED_BYTES[type] === null
}

function valueBytes(block: Buffer, at: number, type: number): number {
  const bytes = FIXED_BYTES[type]
  if (bytes === undefined) throw corrupt(`header type ${type} does not exist`)
  if (bytes !== null) return bytes
  if (at + 2 > block.length) throw corrupt('a header length leaves the header block')
  return block.readUInt16BE(at)
}

/** The caller has checked that `start` to `end` lies in the block and fits the type. */
function readValue(block: Buffer, type: number, start: number, end: number): HeaderValue {
  switch (type) {
    case WIRE.string:
      return block.toString('utf8', start, end)
    case WIRE.true:
      return true
    case WIRE.false:
      return false
    case WIRE.byte:
      return block.readInt8(start)
    case WIRE.short:
      return block.readInt16BE(start)
    case WIRE.integer:
      return block.readInt32BE(start)
    case WIRE.long:
      return block.readBigInt64BE(start)
    case WIRE.timestamp:
      return readTimestamp(block.readBigInt64BE(start))
    case WIRE.uuid:
      return block
        .toString('hex', start, end)
        .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
    default:
      return Uint8Array.from(block.subarray(start, end))
  }
}

function readTimestamp(milliseconds: bigint): Date {
  const date = new Date(Number(milliseconds))
  if (Number.isNaN(date.getTime())) throw corrupt('a header timestamp is no point in time')
  return date
}

function encodeValue(value: HeaderInput): Buffer {
  if (typeof value === 'boolean') return Buffer.of(value ? WIRE.true : WIRE.false)
  if (typeof value === 'string') return prefixed(WIRE.string, Buffer.from(value))
  if (typeof value === 'number') return fixed(WIRE.integer, (b) => b.writeInt32BE(value, 1))
  if (typeof value === 'bigint') return fixed(WIRE.long, (b) => b.writeBigInt64BE(value, 1))
  if (value instanceof Uint8Array) return prefixed(WIRE.bytes, value)
  if (value instanceof Date) {
    const milliseconds = BigInt(value.getTime())
    return fixed(WIRE.timestamp, (b) => b.writeBigInt64BE(milliseconds, 1))
  }
  return encodeTyped(value)
}

function encodeTyped(header: TypedHeader): Buffer {
  if (header.type === 'uuid') return encodeUuid(header.value)
  const { value } = header
  if (header.type === 'byte') return fixed(WIRE.byte, (b) => b.writeInt8(value, 1))
  return fixed(WIRE.short, (b) => b.writeInt16BE(value, 1))
}

function encodeUuid(uuid: string): Buffer {
  const hex = uuid.replaceAll('-', '')
  if (!/^[0-9a-f]{32}$/i.test(hex)) throw new RangeError('a header UUID needs 32 hex digits')
  return Buffer.concat([Buffer.of(WIRE.uuid), Buffer.from(hex, 'hex')])
}

function fixed(type: number, write: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(1 + (FIXED_BYTES[type] ?? 0))
  bytes[0] = type
  write(bytes)
  return bytes
}

function prefixed(type: number, value: Uint8Array): Buffer {
  if (value.length > 0xffff) throw new RangeError('a header value is longer than 65535 bytes')
  const head = Buffer.of(type, value.length >> 8, value.length & 0xff)
  return Buffer.concat([head, value])
}

function corrupt(detail: string): GatewayError {
  return new GatewayError('GW_FRAME_CORRUPT', detail)
}
