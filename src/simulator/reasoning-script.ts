import { createHash } from 'node:crypto'
import { asJsonObject } from '../kiro/json-object.ts'
import type { FoundWords } from './control-words.ts'
import type { RequestView } from './request-view.ts'
import type { Step } from './script.ts'
import { lastWords, shapeDeltas, wordsOf } from './spoken-text.ts'

const THOUGHT_CHARS = 20

/**
 * Native reasoning, when `additionalModelRequestFields` asks for it (kiro-protocol §9.2): text deltas,
 * and from Claude a signature. `display: omitted` leaves only the signature.
 */
export function* reasoningSteps(view: RequestView, words: FoundWords): Generator<Step> {
  const fields = asJsonObject(view.root['additionalModelRequestFields']) ?? {}
  const thinking = asJsonObject(fields['thinking'])
  const effort = asJsonObject(fields['reasoning'])?.['effort']
  const isClaude = thinking?.['type'] === 'adaptive'
  if (!isClaude && (typeof effort !== 'string' || effort === 'none')) return
  const thought = thoughtOn(view.current.content)
  if (thinking?.['display'] !== 'omitted') {
    for (const text of thoughtDeltas(thought, words)) yield reasoning({ text })
  }
  if (isClaude) yield reasoning({ signature: signatureOf(thought) })
}

/** Emulated reasoning, when the text asks for it by tags (§9.1). The tags are cut between deltas. */
export function thinkingDeltas(content: string, words: FoundWords): string[] {
  if (!/<thinking_mode>(?:enabled|adaptive)<\/thinking_mode>/.test(content)) return []
  return ['<thi', 'nking>', ...thoughtDeltas(thoughtOn(content), words), '</thin', 'king>\n', '\n']
}

function thoughtDeltas(thought: string, { numbers }: FoundWords): string[] {
  const { thoughts: events, size = THOUGHT_CHARS } = numbers
  return events === undefined ? wordsOf(thought) : shapeDeltas(thought, { events, size })
}

function thoughtOn(content: string): string {
  return `The person wrote ${lastWords(content).length} characters. A simulator answers plainly.`
}

function signatureOf(thought: string): string {
  return createHash('sha256').update(thought).digest('base64')
}

function reasoning(payload: object): Step {
  return { type: 'event', name: 'reasoningContentEvent', payload }
}
