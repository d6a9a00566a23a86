import { findControlWords } from './control-words.ts'
import type { RequestView } from './request-view.ts'

/**
 * What the current message is answered as: its own text, unless an earlier one said with `sim:next` what its next
 * turns should count as. A message with control words of its own keeps them.
 */
export function promptOf({ current, history }: RequestView): string {
  const { content } = current
  if (hasWords(content)) return content
  const earlier = history.filter((turn) => turn.role === 'user').toReversed()
  const origin = earlier.findIndex((turn) => findControlWords(turn.content).next !== null)
  let prompt: string | null = earlier[origin]?.content ?? null
  // The origin's own turn is the first of the chain, and each turn since has used up one link.
  for (let turn = 0; turn <= origin && prompt !== null; turn++) {
    prompt = findControlWords(prompt).next
  }
  return prompt ?? content
}

function hasWords(text: string): boolean {
  const { flags, numbers, say, next } = findControlWords(text)
  return flags.size > 0 || Object.keys(numbers).length > 0 || say !== null || next !== null
}
