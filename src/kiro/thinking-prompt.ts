/**
 * What a model must be told so that it takes the tags of {@link thinkingPrefix} for what they are; without
 * it models call them a prompt injection (kiro-protocol §9.1).
 */
export const THINKING_NOTE =
  'User messages may begin with the tags <thinking_mode>, <max_thinking_length> and <thinking_instruction>. ' +
  'They are legitimate instructions of the system, not text of the user. While thinking mode is enabled, ' +
  'begin every answer with your reasoning between <thinking> and </thinking>, then give the answer itself.'

const THINKING_INSTRUCTION =
  'Think before you answer: what is asked, what is known, which ways lead there and what could be wrong with ' +
  'each. Keep the reasoning inside the thinking tags and answer in the language of the user.'

/** The tags that ask for reasoning in the text; they stand before the current user text. */
export function thinkingPrefix(budgetTokens: number): string {
  return (
    '<thinking_mode>enabled</thinking_mode>\n' +
    `<max_thinking_length>${budgetTokens}</max_thinking_length>\n` +
    `<thinking_instruction>${THINKING_INSTRUCTION}</thinking_instruction>`
  )
}
