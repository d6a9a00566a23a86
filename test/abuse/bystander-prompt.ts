import { wordsOf } from '../helper/own-words.ts'

/** What a bystander says: words that are its own alone. */
export function bystanderPrompt(owner: string): string {
  return `Say a few words about this. ${wordsOf(owner, 1_700)}`
}

/** Finds the owner of such a prompt in a request. */
export const OWNER_OF_PROMPT = /Say a few words about this\. owner=([\w-]+);/
