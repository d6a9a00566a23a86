/** Request bodies like those of coding agents: tools, many turns, tool calls with results. */

const SENTENCE =
  'The parser keeps the rest of a chunk until the next one arrives, then "feeds" both.\n'
const PROMPT = SENTENCE.repeat(60)
const MODEL = 'claude-sonnet-4.6'

export interface AgentRequestOptions {
  /** About how large the body becomes. */
  readonly bytes: number
  readonly tools: number
}

/** A Messages body. */
export function messagesBody(options: AgentRequestOptions): Buffer {
  const messages = turnsOf(options).flatMap(({ id, name, input, result }) => [
    {
      role: 'assistant',
      content: [
        { type: 'text', text: SENTENCE },
        { type: 'tool_use', id, name, input }
      ]
    },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content: result }] }
  ])
  return toBytes({
    model: MODEL,
    max_tokens: 32_000,
    stream: true,
    system: [{ type: 'text', text: PROMPT, cache_control: { type: 'ephemeral' } }],
    metadata: { user_id: '{"session_id":"0b1c9a1e-5b1f-4a39-9d57-1b1e8f5f3f10"}' },
    tools: toolsOf(options).map(({ parameters, ...tool }) => ({
      ...tool,
      input_schema: parameters
    })),
    messages: [{ role: 'user', content: 'Fix the parser.' }, ...messages]
  })
}

/** The same conversation as a Chat Completions body. */
export function chatBody(options: AgentRequestOptions): Buffer {
  const messages = turnsOf(options).flatMap(({ id, name, input, result }) => [
    {
      role: 'assistant',
      content: SENTENCE,
      tool_calls: [{ id, type: 'function', function: { name, arguments: JSON.stringify(input) } }]
    },
    { role: 'tool', tool_call_id: id, content: result }
  ])
  return toBytes({
    model: MODEL,
    stream: true,
    tools: toolsOf(options).map((tool) => ({ type: 'function', function: tool })),
    messages: [
      { role: 'system', content: PROMPT },
      { role: 'user', content: 'Fix the parser.' },
      ...messages
    ]
  })
}

function turnsOf({ bytes, tools }: AgentRequestOptions) {
  const result = SENTENCE.repeat(30)
  const turnBytes = result.length + SENTENCE.length * 5 + 300
  const toolBytes = JSON.stringify(toolsOf({ bytes, tools })).length
  const count = Math.max(0, Math.ceil((bytes - toolBytes - PROMPT.length) / turnBytes))
  return Array.from({ length: count }, (_, turn) => ({
    id: `toolu_${turn}`,
    name: `tool_${turn % Math.max(tools, 1)}`,
    input: { path: `src/file-${turn}.ts`, text: SENTENCE.repeat(4) },
    result
  }))
}

function toolsOf({ tools }: AgentRequestOptions) {
  return Array.from({ length: tools }, (_, index) => ({
    name: `tool_${index}`,
    description: SENTENCE.repeat(15),
    parameters: schemaOf(index)
  }))
}

function schemaOf(index: number) {
  const fields = Array.from({ length: 8 }, (_, at) => [
    `field_${index}_${at}`,
    { type: 'string', description: SENTENCE, enum: ['a', 'b', 'c'] }
  ])
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: Object.fromEntries(fields),
    required: [`field_${index}_0`],
    additionalProperties: false
  }
}

function toBytes(body: unknown): Buffer {
  return Buffer.from(JSON.stringify(body))
}
