/** Prompts that say what the simulator answers. */

/** The answer is this text. */
export function say(text: string): string {
  return `sim:say=${JSON.stringify(text)}`
}

/** The turn after this one is answered as if it had been this prompt. */
export function next(prompt: string): string {
  return `sim:next=${JSON.stringify(prompt)}`
}

/** The model searches for this. */
export function searchFor(query: string): string {
  return `use tool web_search with ${JSON.stringify({ query })}`
}
