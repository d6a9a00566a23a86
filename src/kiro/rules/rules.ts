/** Breaking a rule gives a 400, mostly "Improperly formed request." without an explanation. */
export interface Rule {
  readonly what: string
  readonly fix: string
  readonly source: string
}

/** Repairs keep these rules, the simulator refuses what breaks them, lint explains them (kiro-protocol §4.13). */
export const RuleTable = {
  'request-shape': rule(
    '§4.1',
    'The body is JSON of the shape that the API describes.',
    'Send the member as the message says.'
  ),
  'root-members': own('§4.13', 'The body has no members of other protocols.'),
  'empty-members': own('§4.7', 'A list or object that would be empty is left out.'),
  'trigger-type': own('§4.1', 'chatTriggerType is MANUAL.'),
  'conversation-id': own('§4.14', 'The conversation id is a UUID.'),
  origin: own('§4.2', 'The origin is one that the upstream knows.'),
  'cache-point': own('§9.7', 'There are at most four cache points, none of them among the tools.'),
  'reasoning-signature': rule(
    '§9.10',
    'Reasoning of earlier answers comes back as it was signed, after the same conversation.',
    'Nothing: the request is sent once more without it.'
  ),
  'stable-start': rule(
    '§9.7',
    'A conversation begins as its request before did: what is the same is cheaper.',
    'Put what changes (time, state, reminders) into the newest message.'
  ),
  'profile-arn': own('§3.9', 'The profile ARN belongs to the account.'),
  'payload-size': rule(
    '§4.12',
    'The body has at most about 600 000 bytes.',
    'Compact the conversation, or send less with it.'
  ),
  'payload-weight': rule(
    '§4.12',
    'The body weighs at most 1.34 million: 1 for an ASCII character, 8 for any other.',
    'Compact the conversation, or send fewer and smaller images.'
  ),
  'context-window': rule(
    '§4.12',
    'The request fits the context window of its model.',
    'Compact the conversation, or choose a model with a larger window.'
  ),
  'model-known': rule(
    '§7.2',
    'The model is one that the account may use.',
    'Name a model that GET /v1/models lists.'
  ),
  'model-fields': rule(
    '§9.2',
    'Reasoning and output bounds are among those that the model declares.',
    'Ask for an effort that the model offers.'
  ),

  'first-turn': rule(
    '§4.7 H1',
    'The conversation begins with the user.',
    'Begin with a user message.'
  ),
  'turn-order': rule(
    '§4.7 H2',
    'User and assistant take turns.',
    'Join neighbouring messages of one role.'
  ),
  'last-turn': rule(
    '§4.7 H3',
    'The conversation ends with the user.',
    'End with a user message; a prefilled answer cannot be continued.'
  ),
  'turn-role': rule(
    '§4.7',
    'Every turn is the user’s or the assistant’s.',
    'Use the roles user and assistant, and put system text first.'
  ),
  'turn-text': rule('§4.9', 'Every turn says something.', 'Leave empty messages out.'),
  'turn-length': rule(
    '§4.12',
    'A user turn has at most 600 000 characters.',
    'Send less text in one message.'
  ),
  'history-length': rule('§4.7 H9', 'There are at most 10 000 turns.', 'Compact the conversation.'),
  'content-text': rule('§4.2', 'Content is text and images.', 'Send the content as text.'),
  'text-unicode': rule(
    '§4.2',
    'Text is valid Unicode.',
    'Do not cut text between the halves of a surrogate pair.'
  ),
  'result-call': rule(
    '§4.7 H4',
    'A tool result directly follows the call that it answers.',
    'Send the result right after the assistant message with its call, once.'
  ),
  'call-result': rule(
    '§4.7 H5',
    'Every tool call is answered in the next turn.',
    'Send a result for every call, before anything else.'
  ),
  'tools-offered': rule(
    '§4.7 H6',
    'A conversation with tool turns offers tools.',
    'Send the tools along for as long as the conversation has calls of them.'
  ),
  'tool-declared': rule(
    '§4.7 H7',
    'Every tool that is named is among the tools.',
    'Declare the tool, or do not name it.'
  ),
  'tool-id': rule(
    '§4.10',
    'The id of a call has 1 to 64 letters, digits, _ and -.',
    'Use ids of that form.'
  ),
  'tool-id-unique': rule(
    '§4.7 H8',
    'No id stands twice in one turn.',
    'Give every call an id of its own and answer it once.'
  ),
  'tool-input': rule(
    '§4.5',
    'The arguments of a call are a JSON object.',
    'Send the arguments as a JSON object, whole.'
  ),
  'result-shape': own('§4.5', 'A tool result has a status and content that is not empty.'),
  'result-length': rule(
    '§4.12',
    'A tool result has at most 800 000 characters.',
    'Cut what the tool returns.'
  ),

  'tool-place': own('§4.4', 'Only the current message offers tools.'),
  'tool-function': rule(
    '§4.4',
    'Every tool is a function that the client runs.',
    'Leave the vendor’s own tools out.'
  ),
  'tool-count': rule(
    '§4.13',
    'There are at most about 120 tools.',
    'Switch off tools or MCP servers that are not needed.'
  ),
  'tool-name': rule(
    '§4.10',
    'A tool name begins with a letter and has at most 63 letters, digits, _ and -.',
    'Choose such a name.'
  ),
  'tool-name-unique': rule('§4.4', 'No two tools have one name.', 'Declare every tool once.'),
  'tool-description': rule('§4.4', 'A tool has a description.', 'Describe the tool.'),
  'tool-description-length': rule(
    '§4.4',
    'A tool description has at most about 10 000 characters.',
    'Shorten the description.'
  ),
  'tool-schema-type': rule(
    '§4.11',
    'A tool schema describes an object with properties.',
    'Give the schema type "object" and properties.'
  ),
  'tool-schema-root': rule(
    '§4.11',
    'A tool schema has no oneOf, anyOf or allOf at its root.',
    'Declare the properties at the root.'
  ),
  'tool-schema-keywords': rule(
    '§4.11',
    'A tool schema has no additionalProperties, no empty required and no null keywords.',
    'Leave these keywords out.'
  ),
  'tool-schema-references': rule(
    '§4.11',
    'A tool schema has no references.',
    'Write the schema out.'
  ),
  'tool-schema-depth': rule(
    '§4.11',
    'A tool schema nests at most 100 deep.',
    'Make the schema flatter.'
  ),

  'image-format': rule('§4.6', 'An image is PNG, JPEG, GIF or WebP.', 'Convert the image.'),
  'image-bytes': rule(
    '§4.6',
    'An image is sent as base64.',
    'Encode the bytes of the image as base64.'
  ),
  'image-size': rule('§4.6', 'An image has at most 10 MiB.', 'Scale the image down.'),
  'image-count': rule('§4.6', 'There are at most 10 images.', 'Send fewer images.'),
  'image-support': rule('§7.4', 'The model takes images.', 'Choose a model that does.'),
  'document-count': rule('§4.15', 'There are at most 5 documents.', 'Send fewer documents.'),
  'document-size': rule(
    '§4.15',
    'Documents have at most 900 000 bytes together.',
    'Send smaller documents, or fewer.'
  ),
  'document-format': rule(
    '§4.15',
    'A document is PDF, Word, Excel, CSV, HTML, Markdown or text, and begins as such.',
    'Send the document as what it is, or as text.'
  ),
  'document-bytes': rule(
    '§4.15',
    'A document is sent as base64.',
    'Encode the bytes of the document as base64.'
  ),
  'document-name': own(
    '§4.15',
    'A document has a name of 1 to 200 letters, digits, spaces and -_()[].'
  ),
  'document-place': rule(
    '§4.15',
    'Documents stand in user messages.',
    'Send documents in user messages.'
  ),
  'image-place': rule('§4.3', 'Images stand in user messages.', 'Send images in user messages.')
} as const satisfies Record<string, Rule>

export type RuleId = keyof typeof RuleTable

export function isRuleId(text: string): text is RuleId {
  return Object.hasOwn(RuleTable, text)
}

function rule(source: string, what: string, fix: string): Rule {
  return { what, fix, source }
}

/** A rule about what the gateway writes: nothing of a client's request gets there. */
function own(source: string, what: string): Rule {
  return rule(source, what, 'Nothing: report it as a fault of the gateway.')
}

export const UpstreamLimits = {
  /** Entries of one conversation (kiro-protocol §4.7, H9). */
  historyEntries: 10_000,
  /** Characters of one user message (§4.12). */
  messageChars: 600_000,
  /** Characters of one result (§4.12). */
  resultChars: 800_000,
  /** Refusals are reported above this; no limit is published. */
  tools: 120,
  /** 64 is documented, 63 works everywhere (§4.4). */
  toolNameChars: 63,
  /** Characters (§4.5). */
  toolIdChars: 64,
  /** The largest seen to pass; longer ones move to the system text at 10 000 (§4.4). */
  descriptionChars: 10_240,
  schemaDepth: 100,
  /** Images of one request (§4.6). */
  images: 10,
  /** Bytes of one image, decoded (§4.6). */
  imageBytes: 10 * 1024 * 1024,
  /** Documents of one request (§4.15). */
  documents: 5,
  /** Base64 of all documents: part of the payload's weight. */
  documentChars: 1_200_000,
  /** UTF-8 bytes that an older host refused (§4.12). */
  payloadBytes: 600_000,
  /** Weight of a body, see `weighBytes()`: 1.32 M passed, 1.36 M did not (§4.12). */
  payloadWeight: 1_340_000,
  /** Cache points of one request (§9.7). */
  cachePoints: 4
} as const

const WIDE_CHAR_WEIGHT = 8

const CONTINUATION = 0x80
const LEAD = 0xc0

/**
 * Weighs JSON text as the upstream does: 1 for an ASCII character, 8 for any other (kiro-protocol §4.12). The text is
 * UTF-8, and begins and ends between characters.
 */
export function weighBytes(text: Uint8Array): number {
  let weight = text.length
  for (let at = 0; at < text.length; at++) {
    const byte = text[at] ?? 0
    if (byte >= LEAD) weight += WIDE_CHAR_WEIGHT - 1
    else if (byte >= CONTINUATION) weight--
  }
  return weight
}

export function isHeavier(json: string, limit: number): boolean {
  return json.length * WIDE_CHAR_WEIGHT > limit && weighBytes(Buffer.from(json)) > limit
}
