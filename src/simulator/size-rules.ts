import { badRequest, type Refusal } from './refusal.ts'

/** Weight over which the upstream refuses a body (kiro-protocol §4.12): 1.32 M passed, 1.36 M did not. */
const MAX_WEIGHT = 1_340_000
const WIDE_CHAR_WEIGHT = 8

/** Weighs a body by its text: 1 for an ASCII character, 8 for any other. */
export function checkWeight(bodyText: string): Refusal | null {
  if (bodyText.length * WIDE_CHAR_WEIGHT <= MAX_WEIGHT) return null
  return weightOf(bodyText) > MAX_WEIGHT ? tooLong('Input is too long.') : null
}

/** Compares a request with the window of its model. */
export function checkWindow(inputTokens: number, maxInputTokens: number): Refusal | null {
  if (inputTokens <= maxInputTokens) return null
  return tooLong(
    `Input is too long for requested model. Maximum input length is ${maxInputTokens} tokens.`
  )
}

function weightOf(text: string): number {
  let weight = text.length
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    // Both halves of a wide pair are one character: 1 for the second half was counted too much.
    if (code >= 0xdc00 && code <= 0xdfff) weight--
    else if (code > 0x7f) weight += WIDE_CHAR_WEIGHT - 1
  }
  return weight
}

function tooLong(message: string): Refusal {
  return badRequest(message, 'CONTENT_LENGTH_EXCEEDS_THRESHOLD', 'the request is too large')
}
