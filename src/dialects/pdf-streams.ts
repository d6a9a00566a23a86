import { constants, inflateRawSync } from 'node:zlib'

/** Decoded bytes of one stream; a page of text has some ten thousand, a detailed map a few million. */
const MAX_STREAM_BYTES = 16 * 1024 * 1024
/** And of all: fonts and pages of a book of some thousand pages. */
const MAX_TOTAL_BYTES = 64 * 1024 * 1024

const KEYWORD = 'stream'
/** The dictionary of a stream stands in front of it. */
const DICTIONARY_BYTES = 512
const ZLIB_HEADER_BYTES = 2

/**
 * Whether the streams of a PDF unpack to more than anybody would read, which has to be known before a library unpacks
 * them. What is packed in another way is left to whoever watches the library. Pictures don't count: they are not
 * unpacked for a text.
 *
 * `deadline` is a time of `performance.now()`; looking for longer counts as too much.
 */
export function unpacksToTooMuch(pdf: Uint8Array, deadline: number): boolean {
  const bytes = Buffer.from(pdf.buffer, pdf.byteOffset, pdf.byteLength)
  let total = 0
  let from = 0
  for (;;) {
    const at = bytes.indexOf(KEYWORD, from)
    if (at < 0) return false
    from = at + KEYWORD.length
    const start = startOfZlib(bytes, from)
    if (start === null || isPicture(bytes, at)) continue
    const size = unpackedSize(bytes.subarray(start + ZLIB_HEADER_BYTES))
    total += size
    if (size > MAX_STREAM_BYTES || total > MAX_TOTAL_BYTES || performance.now() > deadline) {
      return true
    }
  }
}

/** Where the data after a keyword begins; `null` where it is not packed with zlib. */
function startOfZlib(bytes: Buffer, from: number): number | null {
  let start = from
  while (bytes[start] === 0x0d || bytes[start] === 0x0a || bytes[start] === 0x20) start++
  const method = bytes[start] ?? 0
  const isZlib = (method & 0x0f) === 8 && ((method << 8) | (bytes[start + 1] ?? 0)) % 31 === 0
  return isZlib ? start : null
}

function isPicture(bytes: Buffer, keywordAt: number): boolean {
  const near = bytes.toString('latin1', Math.max(0, keywordAt - DICTIONARY_BYTES), keywordAt)
  return /\/Subtype\s*\/Image\b/.test(near.slice(near.lastIndexOf(' obj') + 1))
}

/** Without the checksum, which readers of PDFs ignore as well; what is broken counts nothing. */
function unpackedSize(packed: Buffer): number {
  try {
    return inflateRawSync(packed, {
      maxOutputLength: MAX_STREAM_BYTES,
      finishFlush: constants.Z_SYNC_FLUSH
    }).length
  } catch (error) {
    const isTooLarge =
      error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
    return isTooLarge ? MAX_STREAM_BYTES + 1 : 0
  }
}
