/**
 * Everything that the gateway changes in a request so that the upstream takes it, and what that means.
 * What every request of a dialect goes through anyway (tool messages becoming results, the system text
 * moving into a turn) is mapping, not repair, and has no entry.
 */
export const RepairTable = {
  'model-substituted':
    'The upstream does not list the model; the newest model of the family answers.',
  'role-unknown': 'A message with an unknown role was taken as a user message.',
  'system-hoisted':
    'A system message from the middle of the conversation moved to the system text.',
  'turns-merged': 'Adjacent messages of one role were joined: turns must alternate.',
  'first-turn-added': 'An empty user turn was put first: a conversation must begin with the user.',
  'last-turn-added': 'A user turn "Continue." was put last: a conversation must end with the user.',
  'turn-blank': 'An empty turn got a placeholder: the upstream refuses blank text.',
  'placeholder-removed': 'An echoed "(empty)" placeholder was taken out of an assistant turn.',
  'block-dropped': 'Content of an unknown type, which the upstream has no place for, was left out.',
  'surrogate-replaced': 'Half a surrogate pair, which is no valid text, became U+FFFD.',
  'image-type-corrected': 'An image was sent as the type that its bytes have.',
  'image-omitted': 'The model takes no images; a note stands where one was.',
  'image-limit': 'Only the newest images were sent; a note stands where older ones were.',
  'document-omitted':
    'A tool result held a document that the model cannot read; a note stands where it was.',
  'effort-clamped': 'The reasoning effort was moved to the nearest one that the model offers.',
  'server-tool-dropped': 'A tool that only the vendor can run was left out.',
  'tool-placeholder-dropped': 'A placeholder for deferred tools was not offered to the model.',
  'tool-duplicate-dropped': 'The second of two tools with one name was left out.',
  'tool-name-changed': 'A tool name was shortened or cleaned; the answer has the original again.',
  'tool-description-filled': 'A tool without description got its name as one.',
  'tool-description-moved': 'A long tool description moved to the system text.',
  'tool-schema-cleaned': 'Keywords that the upstream refuses were taken out of a tool schema.',
  'tool-schema-flattened': 'oneOf, anyOf or allOf at the root of a tool schema was merged into it.',
  'tool-schema-inlined': 'References in a tool schema were replaced by what they refer to.',
  'tool-schema-cut':
    'Part of a tool schema was too deep, too large or recursive and was left open.',
  'tool-choice-dropped': 'tool_choice asked for a tool that is not among the tools.',
  'tool-id-changed': 'The id of a tool call was shortened or cleaned.',
  'tool-id-added': 'A tool call or result without id got one.',
  'tool-arguments-wrapped': 'Tool arguments that are no JSON object were wrapped in one.',
  'tools-as-text': 'Without tools on offer, earlier tool calls and results became text.',
  'tool-undeclared': 'A call of a tool that is not on offer became text, and its result too.',
  'call-duplicate': 'Of calls with one id in a turn one was kept as a call.',
  'result-duplicate': 'Of results with one id in a turn the first was kept as a result.',
  'result-orphan': 'A tool result without its call directly before it became text.',
  'call-interrupted': 'A tool call without a result got one that says it was interrupted.'
} as const satisfies Record<string, string>

export type RepairCode = keyof typeof RepairTable

/** Collects the repairs of one request: each code once, in the order of first use. */
export class Repairs {
  readonly #codes = new Set<RepairCode>()

  note(code: RepairCode): void {
    this.#codes.add(code)
  }

  get codes(): readonly RepairCode[] {
    return [...this.#codes]
  }
}
