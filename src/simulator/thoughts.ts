import { asJsonObject } from '../shared/json.ts'
import type { RequestView } from './request-view.ts'
import { lastWordsOf, shapeDeltas, spokenWords } from './spoken-text.ts'
import type { ControlWords } from './words.ts'

const THOUGHT_CHARS = 20

export interface Thinking {
  /** Native reasoning if requested (kiro-protocol §9.2). */
  readonly family: 'none' | 'claude' | 'gpt'
  /** False for `display: omitted`, which leaves only Claude's signature. */
  readonly isShown: boolean
  /** Emulated reasoning if the text's tags ask for it (§9.1). */
  readonly isTagged: boolean
  readonly thought: string
}

export function thinkingOf(view: RequestView): Thinking {
  const { root, current } = view
  const fields = asJsonObject(root['additionalModelRequestFields']) ?? {}
  const thinking = asJsonObject(fields['thinking'])
  const effort = asJsonObject(fields['reasoning'])?.['effort']
  const isGpt = typeof effort === 'string' && effort !== 'none'
  return {
    family: thinking?.['type'] === 'adaptive' ? 'claude' : isGpt ? 'gpt' : 'none',
    isShown: thinking?.['display'] !== 'omitted',
    isTagged: /<thinking_mode>(?:enabled|adaptive)<\/thinking_mode>/.test(current.content),
    thought: `The person wrote ${lastWordsOf(view).length} characters. A simulator answers plainly.`
  }
}

/** Cuts the tags between deltas. */
export function* taggedDeltas({ isTagged, thought }: Thinking, words: ControlWords) {
  if (!isTagged) return
  yield* ['<thi', 'nking>']
  yield* thoughtDeltas(thought, words)
  yield* ['</thin', 'king>\n', '\n']
}

export function thoughtDeltas(thought: string, { numbers }: ControlWords): Iterable<string> {
  const events = numbers.get('thoughts')
  if (events === undefined) return spokenWords(thought)
  return shapeDeltas(thought, { events, size: numbers.get('size') ?? THOUGHT_CHARS })
}
