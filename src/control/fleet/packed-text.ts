import { promisify } from 'node:util'
import { deflateRaw, deflateRawSync, inflateRawSync } from 'node:zlib'

const deflate = promisify(deflateRaw)

/** Packs a text for a record; a thousand keys with all their settings take a third of one. */
export function packed(text: string): string {
  return deflateRawSync(text).toString('base64')
}

/** Like `packed()`, beside the event loop: for what strangers can make long and change often. */
export async function packedAside(text: string): Promise<string> {
  return (await deflate(text)).toString('base64')
}

/** Returns '' for what `packed()` has not made, and for texts of more than `maxBytes`. */
export function unpacked(text: string, maxBytes: number): string {
  try {
    const bytes = Buffer.from(text, 'base64')
    return inflateRawSync(bytes, { maxOutputLength: maxBytes }).toString()
  } catch {
    return ''
  }
}
