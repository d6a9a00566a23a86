/**
 * Members that clients' libraries do not know, beside the counts that they do: the upstream's own prompt, which is in
 * none of those, and how far the input may be off.
 */
export function toCountMembers({
  hidden = null,
  within
}: {
  readonly hidden?: number | null | undefined
  readonly within?: number | undefined
}): { readonly hidden_tokens?: number; readonly tokens_within?: number } {
  return {
    ...(hidden !== null && { hidden_tokens: hidden }),
    ...(within !== undefined && { tokens_within: within })
  }
}
