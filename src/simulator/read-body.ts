import type { IncomingMessage } from 'node:http'

/** Far more than the upstream takes; only protects this process. */
const MAX_BODY_BYTES = 32 * 1024 * 1024

/** The whole body as text; null when the client left before its end or sent too much. */
export async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > MAX_BODY_BYTES) return null
      chunks.push(chunk)
    }
  } catch {
    return null // the connection broke: nobody is there to be told
  }
  return Buffer.concat(chunks).toString()
}
