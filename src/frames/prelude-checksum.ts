/** What each byte does to a CRC-32 (polynomial 0xEDB88320, reflected). */
const Steps = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  return crc
})

const PRELUDE_LENGTHS_BYTES = 8

/**
 * CRC-32 of the two lengths that begin a frame at `at`. For so few bytes a table takes an eighth of what it costs to
 * make a view of them for zlib (`test/bench/frames.bench.ts`).
 */
export function preludeChecksum(bytes: Uint8Array, at: number): number {
  let crc = -1
  for (let index = at; index < at + PRELUDE_LENGTHS_BYTES; index++) {
    crc = (crc >>> 8) ^ (Steps[(crc ^ (bytes[index] ?? 0)) & 0xff] ?? 0)
  }
  return ~crc >>> 0
}
