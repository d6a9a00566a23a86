/** `null` for more than `maxBytes`; then reads no more. */
export async function readBytes(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number
): Promise<Buffer | null> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of source) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Empty if longer than `maxBytes`. */
export async function readText({ body }: Response, maxBytes: number): Promise<string> {
  return body === null ? '' : ((await readBytes(body, maxBytes))?.toString() ?? '')
}
