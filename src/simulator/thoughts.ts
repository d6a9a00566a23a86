import { asJsonObject } from '../shared/json.ts'
import type { ScriptInput, Step } from './script.ts'
import { lastWords, shapeDeltas, spokenWords } from './spoken-text.ts'
import { counted, type TokenCounter } from './tokens.ts'
import type { FoundWords } from './words.ts'

const THOUGHT_CHARS = 20

/** Native reasoning if requested (kiro-protocol §9.2). `display: omitted` leaves only Claude's signature. */
export function* reasoningSteps(
  { view, words, sign }: ScriptInput,
  counter: TokenCounter
): Generator<Step> {
  const { family, isShown } = wishOf(view)
  if (family === 'none') return
  let thought = ''
  if (isShown) {
    for (const text of counted(thoughtDeltas(thoughtOn(view.current.content), words), counter)) {
      thought += text
      yield reasoningStep({ text })
    }
  }
  if (family !== 'claude') return
  yield reasoningStep({ signature: sign(thought) })
}

/** GPT's opaque reasoning, after everything else (§5.3). */
export function* opaqueSteps({ view, sign }: ScriptInput): Generator<Step> {
  if (wishOf(view).family === 'gpt') yield reasoningStep({ text: '...', signature: sign('...') })
}

interface Wish {
  readonly family: 'none' | 'claude' | 'gpt'
  readonly isShown: boolean
}

function wishOf({ root }: ScriptInput['view']): Wish {
  const fields = asJsonObject(root['additionalModelRequestFields']) ?? {}
  const thinking = asJsonObject(fields['thinking'])
  const effort = asJsonObject(fields['reasoning'])?.['effort']
  const isShown = thinking?.['display'] !== 'omitted'
  if (thinking?.['type'] === 'adaptive') return { family: 'claude', isShown }
  const isThinking = typeof effort === 'string' && effort !== 'none'
  return { family: isThinking ? 'gpt' : 'none', isShown }
}

/** Emulated reasoning if the text's tags ask for it (§9.1). The tags are cut between deltas. */
export function* thinkingDeltas(content: string, words: FoundWords): Generator<string> {
  if (!/<thinking_mode>(?:enabled|adaptive)<\/thinking_mode>/.test(content)) return
  yield* ['<thi', 'nking>']
  yield* thoughtDeltas(thoughtOn(content), words)
  yield* ['</thin', 'king>\n', '\n']
}

function thoughtDeltas(thought: string, { numbers }: FoundWords): Iterable<string> {
  const { thoughts: events, size = THOUGHT_CHARS } = numbers
  return events === undefined ? spokenWords(thought) : shapeDeltas(thought, { events, size })
}

function thoughtOn(content: string): string {
  return `The person wrote ${lastWords(content).length} characters. A simulator answers plainly.`
}

function reasoningStep(payload: object): Step {
  return { type: 'event', name: 'reasoningContentEvent', payload }
}
