import { isEffort, type Effort } from '../kiro/effort.ts'
import type { Source } from '../kiro/message.ts'
import type { ReasoningWish } from '../kiro/reasoning.ts'
import type { Repairs } from '../kiro/repairs.ts'

/** What asks a model without JSON mode for JSON (kiro-protocol §9.9). */
export function jsonInstruction(schema: unknown): string {
  const form =
    'Your final answer must be one valid JSON value and nothing else: no words around it and no Markdown code fence. ' +
    'This does not keep you from calling tools before.'
  return schema === undefined || schema === null
    ? form
    : `${form} It must match this JSON Schema:\n${JSON.stringify(schema)}`
}

/** A wish for reasoning by effort alone: `none` says no, an unknown word says yes without saying how much. */
export function effortWish(effort: string, repairs: Repairs, source?: Source): ReasoningWish {
  if (effort === 'none') return { mode: 'off' }
  const known = knownEffort(effort, repairs, source)
  return known === undefined ? { mode: 'on' } : { mode: 'on', effort: known, source }
}

/** The effort that a client's word names, in any case. */
export function knownEffort(word: string, repairs: Repairs, source?: Source): Effort | undefined {
  const effort = word.toLowerCase()
  if (isEffort(effort)) return effort
  repairs.note('effort-clamped', source)
  return undefined
}
