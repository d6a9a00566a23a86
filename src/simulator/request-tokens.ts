import type { RequestView } from './request-view.ts'
import { countTokens, IMAGE_TOKENS } from './token-count.ts'

/** What every message costs beside its text. */
const TOKENS_PER_MESSAGE = 3

/** The tokens of a whole request by the simulator's own count, images and tools included. */
export function countRequestTokens(view: RequestView): number {
  let tokens = 0
  for (const turn of [...view.history, view.current]) {
    tokens += TOKENS_PER_MESSAGE + countTokens(turn.content)
    if (turn.role === 'assistant') {
      tokens += countJson(turn.toolUses)
    } else {
      tokens += countJson(turn.tools) + countJson(turn.toolResults)
      tokens += turn.images.length * IMAGE_TOKENS
    }
  }
  return tokens
}

function countJson(list: readonly unknown[]): number {
  return list.length === 0 ? 0 : countTokens(JSON.stringify(list))
}
