import { isHeavier, UpstreamLimits } from '../kiro/limits.ts'
import type { RuleId } from '../kiro/rules.ts'
import { badRequest, type Refusal } from './refusal.ts'

/** Weighs a body by its text (kiro-protocol §4.12). */
export function checkWeight(bodyText: string): Refusal | null {
  const isTooHeavy = isHeavier(bodyText, UpstreamLimits.payloadWeight)
  return isTooHeavy ? tooLong('payload-weight', 'Input is too long.') : null
}

/** Compares a request with the window of its model. */
export function checkWindow(inputTokens: number, maxInputTokens: number): Refusal | null {
  if (inputTokens <= maxInputTokens) return null
  return tooLong(
    'context-window',
    `Input is too long for requested model. Maximum input length is ${maxInputTokens} tokens.`
  )
}

function tooLong(rule: RuleId, message: string): Refusal {
  const refusal = badRequest(message, 'CONTENT_LENGTH_EXCEEDS_THRESHOLD')
  return { ...refusal, rule, violation: 'the request is too large' }
}
