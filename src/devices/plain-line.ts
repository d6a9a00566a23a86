/**
 * Returns what a program says of itself as it is shown to people: one line of whole characters, at most `maxBytes` as
 * UTF-8, so that codes of strangers leave room in a fleet's record.
 */
export function plainLine(text: string, maxBytes: number): string {
  const plain = text.replace(UNSEEN, '').trim()
  const { read } = new TextEncoder().encodeInto(plain, new Uint8Array(maxBytes))
  return plain.slice(0, read)
}

/** Control and format characters, such as those that turn the direction of writing, and lone surrogates. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/gu
