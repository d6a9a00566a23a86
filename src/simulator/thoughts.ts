import { createHash } from 'node:crypto'
import { asJsonObject } from '../shared/json.ts'
import type { ScriptInput, Step } from './script.ts'
import { lastWords, shapeDeltas, spokenWords } from './spoken-text.ts'
import { counted, type TokenCounter } from './tokens.ts'
import type { FoundWords } from './words.ts'

const THOUGHT_CHARS = 20

/**
 * Native reasoning, when `additionalModelRequestFields` asks for it (kiro-protocol §9.2): text deltas,
 * and from Claude a signature. `display: omitted` leaves only the signature.
 */
export function* reasoningSteps(
  { view, words }: ScriptInput,
  counter: TokenCounter
): Generator<Step> {
  const fields = asJsonObject(view.root['additionalModelRequestFields']) ?? {}
  const thinking = asJsonObject(fields['thinking'])
  const effort = asJsonObject(fields['reasoning'])?.['effort']
  const isClaude = thinking?.['type'] === 'adaptive'
  if (!isClaude && (typeof effort !== 'string' || effort === 'none')) return
  const thought = thoughtOn(view.current.content)
  if (thinking?.['display'] !== 'omitted') {
    for (const text of counted(thoughtDeltas(thought, words), counter))
      yield reasoningStep({ text })
  }
  if (isClaude) yield reasoningStep({ signature: signatureOf(thought) })
}

/** Emulated reasoning, when the text asks for it by tags (§9.1). The tags are cut between deltas. */
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

function signatureOf(thought: string): string {
  return createHash('sha256').update(thought).digest('base64')
}

function reasoningStep(payload: object): Step {
  return { type: 'event', name: 'reasoningContentEvent', payload }
}
