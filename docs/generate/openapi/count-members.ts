import { amount, optional } from './json-schema.ts'

/** Members beside counts of tokens that only this gateway has. */
export const COUNT_MEMBERS = {
  hidden_tokens: optional(
    amount(
      "Tokens of the upstream's own prompt, which are in no other count. Missing until they can be told apart."
    )
  ),
  tokens_within: optional(amount('Tokens by which the count of the input may be off.'))
}

export const COUNTED =
  'Counted by the gateway, since the upstream offers no count, and corrected by what it has measured of the model.'
