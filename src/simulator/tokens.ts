import type { RequestView } from './request-view.ts'

export const IMAGE_TOKENS = 1_500
const DOCUMENT_TOKENS = 1_000
const CHARS_PER_PIECE = 6
/** From here on: scripts without spaces, about one token a character. */
const FIRST_WIDE_CHAR = 0x2e80

/** Deliberately not proportional to length, so that estimates show their error. */
export function countTokens(text: string): number {
  return new TokenCounter().add(text).tokens
}

export class TokenCounter {
  tokens = 0
  #wordChars = 0

  add(text: string): this {
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (isWordChar(code)) {
        if (this.#wordChars % CHARS_PER_PIECE === 0) this.tokens++
        this.#wordChars++
        continue
      }
      this.#wordChars = 0
      if (!isSpace(code) && !isLowSurrogate(code)) this.tokens++
    }
    return this
  }
}

export function* counted(texts: Iterable<string>, counter: TokenCounter): Generator<string> {
  for (const text of texts) {
    counter.add(text)
    yield text
  }
}

function isWordChar(code: number): boolean {
  if (code < 0x80) {
    const letter = code | 0x20
    return (letter >= 0x61 && letter <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === 0x5f
  }
  return code >= 0xc0 && code < FIRST_WIDE_CHAR
}

function isSpace(code: number): boolean {
  return code <= 0x20 || code === 0xa0
}

/** Second half of a surrogate pair, whose first half was counted. */
function isLowSurrogate(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff
}

const TOKENS_PER_MESSAGE = 3

const NEWER_MODELS = /^claude-(?:opus-4\.[78]|(?:opus|sonnet|haiku|fable)-[5-9])/
const NEWER_RATIO = 1.3

export function countRequestTokens(view: RequestView, modelId: string): number {
  let tokens = 0
  for (const turn of [...view.history, view.current]) {
    tokens += TOKENS_PER_MESSAGE + countTokens(turn.content)
    if (turn.role === 'assistant') {
      tokens += countJson(turn.toolUses)
    } else {
      tokens += countJson(turn.tools) + countJson(turn.toolResults)
      tokens += turn.images.length * IMAGE_TOKENS
      tokens += turn.documents.length * DOCUMENT_TOKENS
    }
  }
  return NEWER_MODELS.test(modelId) ? Math.ceil(tokens * NEWER_RATIO) : tokens
}

function countJson(list: readonly unknown[]): number {
  return list.length === 0 ? 0 : countTokens(JSON.stringify(list))
}
