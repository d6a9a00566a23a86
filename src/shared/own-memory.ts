/** Bytes that may lie unused in front of others in the same memory. */
export const HEADROOM_BYTES = 256

/** Memory for so many bytes, with room in front of them. */
export function allocateWithHeadroom(bytes: number): Buffer<ArrayBuffer> {
  return Buffer.from(new ArrayBuffer(HEADROOM_BYTES + bytes), HEADROOM_BYTES, bytes)
}

/** Whether nothing but these bytes, and room in front of them, is in their memory: then it can be moved or freed. */
export function ownsMemory(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = bytes
  const isWhole = byteOffset <= HEADROOM_BYTES && byteOffset + byteLength === buffer.byteLength
  return isWhole && buffer instanceof ArrayBuffer && !buffer.detached
}

/** Frees their memory now instead of with the next garbage collection, if it is theirs alone. */
export function freeMemory(bytes: Uint8Array): void {
  if (ownsMemory(bytes)) bytes.buffer.transfer(0)
}

/**
 * The same text in memory of its own. A piece that was cut out of a long text keeps all of it alive: whatever outlives
 * the text it was cut from goes through here.
 */
export function ownText(text: string): string {
  const copy: unknown = JSON.parse(JSON.stringify(text))
  return typeof copy === 'string' ? copy : text
}
