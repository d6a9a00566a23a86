import type { AnswerCounter } from '../../src/kiro/tokens/text-counter.ts'

/** A counter to which each UTF-16 unit is a token, or any text a fixed number. */
export function charCounter(fixed?: number): AnswerCounter {
  let chars = 0
  return {
    add: (text) => {
      chars += text.length
    },
    get tokens() {
      return chars === 0 ? 0 : (fixed ?? chars)
    },
    get groups() {
      return [chars, 0, 0, 0, 0, 0, 0, 0]
    },
    get state() {
      return { words: chars, symbols: 0, space: 0, wide: 0, before: 0, letters: 0 }
    },
    restore: ({ words }) => {
      chars = words
    }
  }
}
