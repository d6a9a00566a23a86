import type { RuleId } from './rules.ts'

interface Repair {
  readonly rule: RuleId
  readonly what: string
}

/** Changes that make the upstream take a request. What every request of a dialect goes through is not a repair. */
export const RepairTable = {
  'model-substituted': repair(
    'model-known',
    'The upstream does not list the model; the newest of its family or tier answers. The header x-kiro-gateway-model says which one.'
  ),
  'effort-clamped': repair(
    'model-fields',
    'The reasoning effort was moved to the nearest one that the model offers.'
  ),
  'role-unknown': repair(
    'turn-role',
    'A message with an unknown role was taken as a user message.'
  ),
  'system-as-user': repair(
    'turn-role',
    'A system message in the middle of the conversation stayed where it is, as words of the user.'
  ),
  'turns-merged': repair(
    'turn-order',
    'Adjacent messages of one role were joined: turns must alternate.'
  ),
  'first-turn-added': repair(
    'first-turn',
    'An empty user turn was put first: a conversation must begin with the user.'
  ),
  'last-turn-added': repair(
    'last-turn',
    'A user turn "Continue." was put last: a conversation must end with the user.'
  ),
  'turn-blank': repair(
    'turn-text',
    'An empty turn got a placeholder: the upstream refuses blank text.'
  ),
  'placeholder-removed': repair(
    'turn-text',
    'An echoed "(empty)" placeholder was taken out of an assistant turn.'
  ),
  'block-dropped': repair(
    'content-text',
    'Content of an unknown type, which the upstream has no place for, was left out.'
  ),
  'document-omitted': repair(
    'content-text',
    'A tool result held a document or audio that the model cannot take; a note stands where it was.'
  ),
  'document-as-text': repair(
    'document-count',
    'Only the newest documents were sent as they are; of an older one its text, or a note where it has none.'
  ),
  'document-large': repair(
    'document-size',
    'Of a document that is too large to be sent as it is, its text was sent.'
  ),
  'document-moved': repair(
    'document-place',
    'A document of the assistant moved to the next user turn, the only place for one.'
  ),
  'history-trimmed': repair(
    'context-window',
    'The upstream refused the conversation as too long; its oldest turns were left out (AUTO_TRIM_PAYLOAD).'
  ),
  'reasoning-refused': repair(
    'reasoning-signature',
    'The upstream refused signed reasoning of earlier answers; all of it was left out.'
  ),
  'document-refused': repair(
    'document-format',
    'The upstream, or its host, did not take the documents as they are; their text was sent, or a note where they have none.'
  ),
  'fields-refused': repair(
    'model-fields',
    'The upstream refused what the request said of reasoning or the length of the answer; the field that it named was left out, or all of them.'
  ),
  'system-text-changed': repair(
    'stable-start',
    'Nothing was changed: the system text differs from that of the request before, so nothing of the conversation is found in the prompt cache, and every request costs up to twice as much with Claude models, up to ten times with GPT models. Told once for a conversation.'
  ),
  'surrogate-replaced': repair(
    'text-unicode',
    'Half a surrogate pair, which is not valid text, became U+FFFD.'
  ),
  'image-type-corrected': repair(
    'image-format',
    'An image was sent as the type that its bytes have.'
  ),
  'image-omitted': repair(
    'image-support',
    'The model takes no images; a note stands where one was.'
  ),
  'image-moved': repair(
    'image-place',
    'An image of the assistant moved to the next user turn, the only place for one.'
  ),
  'image-limit': repair(
    'image-count',
    'Only the newest images were sent; a note stands where older ones were.'
  ),
  'server-tool-dropped': repair(
    'tool-function',
    'A tool that only the vendor can run was left out.'
  ),
  'tool-placeholder-dropped': repair(
    'tool-function',
    'A placeholder for deferred tools was not offered to the model.'
  ),
  'tool-limit': repair(
    'tool-count',
    'More tools than the upstream takes: the rest was named in the system text and not offered.'
  ),
  'tool-duplicate-dropped': repair(
    'tool-name-unique',
    'The second of two tools with one name was left out.'
  ),
  'tool-name-changed': repair(
    'tool-name',
    'A tool name was shortened or cleaned; the answer has the original again.'
  ),
  'tool-description-filled': repair(
    'tool-description',
    'A tool without description got its name as one.'
  ),
  'tool-description-moved': repair(
    'tool-description-length',
    'A long tool description moved to the system text.'
  ),
  'tool-schema-typed': repair(
    'tool-schema-type',
    'A tool schema was made one of an object with properties.'
  ),
  'tool-schema-cleaned': repair(
    'tool-schema-keywords',
    'Keywords that the upstream refuses were taken out of a tool schema.'
  ),
  'tool-schema-flattened': repair(
    'tool-schema-root',
    'oneOf, anyOf or allOf at the root of a tool schema was merged into it.'
  ),
  'tool-schema-inlined': repair(
    'tool-schema-references',
    'References in a tool schema were replaced by what they refer to.'
  ),
  'tool-schema-cut': repair(
    'tool-schema-depth',
    'Part of a tool schema was too deep, too large or recursive and was left open.'
  ),
  'tool-choice-dropped': repair(
    'tool-declared',
    'tool_choice asked for a tool that is not among the tools.'
  ),
  'tool-undeclared': repair(
    'tool-declared',
    'A call of a tool that is not on offer became text, and its result too.'
  ),
  'tools-as-text': repair(
    'tools-offered',
    'Without tools on offer, earlier tool calls and results became text.'
  ),
  'tool-id-changed': repair('tool-id', 'The id of a tool call was shortened or cleaned.'),
  'tool-id-added': repair('tool-id', 'A tool call or result without id got one.'),
  'tool-arguments-wrapped': repair(
    'tool-input',
    'Tool arguments that are not a JSON object were wrapped in one.'
  ),
  'call-duplicate': repair(
    'tool-id-unique',
    'Of calls with one id in a turn one was kept as a call.'
  ),
  'result-duplicate': repair(
    'tool-id-unique',
    'Of results with one id in a turn the first was kept as a result.'
  ),
  'result-orphan': repair(
    'result-call',
    'A tool result without its call directly before it became text.'
  ),
  'call-misplaced': repair(
    'turn-role',
    'A tool call in a user turn, where only an assistant can call, became text.'
  ),
  'call-interrupted': repair(
    'call-result',
    'A tool call without a result got one that says it was interrupted.'
  )
} as const satisfies Record<string, Repair>

export type RepairCode = keyof typeof RepairTable

function repair<const Id extends RuleId>(rule: Id, what: string) {
  return { rule, what } as const
}
