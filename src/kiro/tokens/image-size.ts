import type { ImageFormat } from '../wire/payload.ts'

/** Pixels. */
export interface ImageSize {
  readonly width: number
  readonly height: number
}

/** Reads an image's size from its header, without decoding the rest of it; `null` if it has none there. */
export function imageSizeOf(format: ImageFormat, base64: string): ImageSize | null {
  const size = readSize(format, base64)
  if (size === null || size.width < 1 || size.height < 1) return null
  return size
}

function readSize(format: ImageFormat, base64: string): ImageSize | null {
  switch (format) {
    case 'png':
      return sizeAt(bytesAt(base64, 16, 8), (bytes) => ({
        width: bytes.readUInt32BE(0),
        height: bytes.readUInt32BE(4)
      }))
    case 'gif':
      return sizeAt(bytesAt(base64, 6, 4), (bytes) => ({
        width: bytes.readUInt16LE(0),
        height: bytes.readUInt16LE(2)
      }))
    case 'webp':
      return webpSize(bytesAt(base64, 12, 18))
    case 'jpeg':
      return jpegSize(base64)
  }
}

const NONE = Buffer.alloc(0)

/** Decodes only the groups of base64 that hold these bytes; empty if the image ends before. */
function bytesAt(base64: string, offset: number, length: number): Buffer {
  const group = Math.floor(offset / 3)
  const last = Math.ceil((offset + length) / 3)
  const bytes = Buffer.from(base64.slice(group * 4, last * 4), 'base64')
  const skipped = offset - group * 3
  return bytes.length < skipped + length ? NONE : bytes.subarray(skipped, skipped + length)
}

function sizeAt(bytes: Buffer, read: (bytes: Buffer) => ImageSize): ImageSize | null {
  return bytes.length === 0 ? null : read(bytes)
}

const LOW_14_BITS = 0x3fff

function webpSize(bytes: Buffer): ImageSize | null {
  if (bytes.length === 0) return null
  switch (bytes.toString('latin1', 0, 4)) {
    case 'VP8X':
      return { width: bytes.readUIntLE(12, 3) + 1, height: bytes.readUIntLE(15, 3) + 1 }
    case 'VP8L': {
      const bits = bytes.readUInt32LE(9)
      return { width: (bits & LOW_14_BITS) + 1, height: ((bits >>> 14) & LOW_14_BITS) + 1 }
    }
    case 'VP8 ':
      return {
        width: bytes.readUInt16LE(14) & LOW_14_BITS,
        height: bytes.readUInt16LE(16) & LOW_14_BITS
      }
    default:
      return null
  }
}

/** Segments before the one with the size: profiles and previews take some dozens. */
const MAX_SEGMENTS = 200
const MARKER = 0xff
const FIRST_FRAME = 0xc0
const LAST_FRAME = 0xcf
/** Markers among those of frames that are none: Huffman tables, an extension, arithmetic coding. */
const NO_FRAMES: readonly number[] = [0xc4, 0xc8, 0xcc]

function jpegSize(base64: string): ImageSize | null {
  let offset = 2
  for (let segment = 0; segment < MAX_SEGMENTS; segment++) {
    const bytes = bytesAt(base64, offset, 9)
    if (bytes[0] !== MARKER) return null
    const marker = bytes[1] ?? 0
    if (marker >= FIRST_FRAME && marker <= LAST_FRAME && !NO_FRAMES.includes(marker))
      return { width: bytes.readUInt16BE(7), height: bytes.readUInt16BE(5) }
    offset += 2 + bytes.readUInt16BE(2)
  }
  return null
}
