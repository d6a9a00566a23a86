/** English prose, code and JSON average 3.6 characters to a token in current tokenizers. */
const TOKENS_PER_ASCII_CHAR = 1 / 3.6

/** A CJK character is about one token and has two UTF-8 bytes more than UTF-16 units. */
const TOKENS_PER_EXTRA_BYTE = 0.5

/**
 * Estimates how many tokens a model makes of `text`; 0 only for empty text.
 *
 * One native pass and no tokenizer: the UTF-8 length beyond the UTF-16 length tells how much of the
 * text is not ASCII. Whoever counts many small pieces adds up {@link weighTokens} and rounds once.
 */
export function estimateTokens(text: string): number {
  return Math.ceil(weighTokens(text))
}

/** The estimate before rounding, so that pieces of one text add up to the estimate of the whole. */
export function weighTokens(text: string): number {
  return tokensOf(text.length, Buffer.byteLength(text) - text.length)
}

/** The same from lengths alone: UTF-16 units, and the UTF-8 bytes that go beyond them. */
export function tokensOf(chars: number, extraBytes: number): number {
  const asciiChars = Math.max(0, chars - extraBytes / 2)
  return asciiChars * TOKENS_PER_ASCII_CHAR + extraBytes * TOKENS_PER_EXTRA_BYTE
}
