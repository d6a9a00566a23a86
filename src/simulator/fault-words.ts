import type { FoundWords } from './control-words.ts'
import type { Repetition } from './prompt-memory.ts'
import { FAULTS, type Refusal } from './refusal.ts'

const REFUSING_WORDS = [
  ...(['quota', 'suspended', 'overloaded', 'unavailable'] as const),
  ...(['context-overflow', 'improper', 'invalid-model', 'html'] as const)
]

/** The error status that the control words ask for. `note` is called only if it depends on repetition. */
export function findFault(words: FoundWords, note: () => Repetition): Refusal | null {
  const { flags, numbers } = words
  const named = REFUSING_WORDS.find((word) => flags.has(word))
  if (named !== undefined) return FAULTS[named]
  if (numbers.throttled !== undefined)
    return { ...FAULTS.throttled, retryAfterS: numbers.throttled }
  if (numbers.flaky === undefined && !flags.has('expired')) return null
  const { attempt, isFirstToken } = note()
  if (attempt <= (numbers.flaky ?? 0)) return FAULTS.flaky
  return flags.has('expired') && isFirstToken ? FAULTS.expired : null
}
