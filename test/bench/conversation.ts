/** Bodies of the bench's requests. */
export type ConversationName = 'short' | 'long'

/** How another gateway is asked. */
export interface Wording {
  readonly dialect: 'chat' | 'messages'
  readonly model: string
}

const Model = 'claude-haiku-4.5'
const LongBytes = 400 * 1024
const Tools = 20
const Prose = 'Reads the file and says what is in it; "quotes", ümlauts and\tescapes\\n included. '
const Code =
  'export function add(left: number, right: number): number {\n  return left + right\n}\n'

/** One question, or an agent's session of 400 KB with 20 tools. */
export function writeConversation(
  name: ConversationName,
  wording: Wording = { dialect: 'chat', model: Model }
): Buffer {
  const body = { ...(name === 'short' ? short() : long()), model: wording.model }
  return Buffer.from(JSON.stringify(wording.dialect === 'chat' ? body : toMessages(body)))
}

/** The same session for the Responses API, of this size, in items and what goes with each request. */
export function writeResponsesConversation(bytes: number): {
  readonly settings: object
  readonly items: readonly object[]
} {
  const { model, messages = [], tools = [] } = long(bytes)
  const [system, ...turns] = messages
  const settings = {
    model,
    instructions: system?.content,
    tools: tools.map(({ function: one }) => ({ type: 'function', ...one })),
    store: false
  }
  return { settings, items: turns.flatMap(toItems) }
}

function toItems({
  role,
  content,
  tool_call_id: id,
  tool_calls: calls = []
}: ChatMessage): readonly object[] {
  if (role === 'tool') return [{ type: 'function_call_output', call_id: id, output: content }]
  const asked = calls.map((call) => ({
    type: 'function_call',
    call_id: call.id,
    ...call.function
  }))
  return [{ type: 'message', role, content }, ...asked]
}

interface ChatBody {
  readonly model: string
  readonly messages?: readonly ChatMessage[]
  readonly tools?: readonly { readonly function: ChatTool }[]
}

interface ChatTool {
  readonly name: string
  readonly description: string
  readonly parameters: object
}

interface ChatMessage {
  readonly role: string
  readonly content: string
  readonly tool_call_id?: string
  readonly tool_calls?: readonly {
    readonly id: string
    readonly type: 'function'
    readonly function: { readonly name: string; readonly arguments: string }
  }[]
}

/** The same conversation for Anthropic Messages. */
function toMessages({ model, messages = [], tools }: ChatBody): object {
  const [system, ...turns] = messages
  return {
    model,
    stream: true,
    max_tokens: 4096,
    system: system?.content,
    messages: turns.map(toMessage),
    ...(tools !== undefined && {
      tools: tools.map(({ function: { name, description, parameters } }) => ({
        name,
        description,
        input_schema: parameters
      }))
    })
  }
}

function toMessage({
  role,
  content,
  tool_call_id: id,
  tool_calls: calls = []
}: ChatMessage): object {
  if (role === 'tool') {
    return { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content }] }
  }
  const uses = calls.map(({ id, function: { name, arguments: text } }) => {
    const input: unknown = JSON.parse(text)
    return { type: 'tool_use', id, name, input }
  })
  return { role, content: [{ type: 'text', text: content }, ...uses] }
}

function short(): object {
  return {
    model: Model,
    stream: true,
    messages: [
      { role: 'system', content: 'You are terse.' },
      { role: 'user', content: 'What does the fox do?' }
    ]
  }
}

/** Turns of a question, a tool call and its result, until the body has its size. */
function long(size = LongBytes): ChatBody {
  const messages: ChatMessage[] = [{ role: 'system', content: Prose.repeat(80) }]
  const body = {
    model: Model,
    stream: true,
    tools: Array.from({ length: Tools }, (_, index) => tool(index)),
    messages
  }
  let bytes = Buffer.byteLength(JSON.stringify(body))
  for (let index = 0; bytes < size; index++) {
    const turn = turnOf(index)
    messages.push(...turn)
    bytes += Buffer.byteLength(JSON.stringify(turn))
  }
  messages.push({ role: 'user', content: 'Go on.' })
  return body
}

function turnOf(index: number): ChatMessage[] {
  const id = `call_${String(index).padStart(20, '0')}`
  const fn = {
    name: `tool_${index % Tools}`,
    arguments: JSON.stringify({ path: `src/${index}.ts` })
  }
  return [
    { role: 'user', content: Prose.repeat(4) },
    {
      role: 'assistant',
      content: Prose.repeat(2),
      tool_calls: [{ id, type: 'function', function: fn }]
    },
    { role: 'tool', tool_call_id: id, content: Code.repeat(50) },
    { role: 'assistant', content: Prose.repeat(3) }
  ]
}

function tool(index: number) {
  const option = (name: string) => ({ type: 'string', description: `${name}: ${Prose}` })
  const properties = {
    path: option('path'),
    pattern: option('pattern'),
    limit: { type: 'integer', minimum: 1, maximum: 1000, default: 20 },
    mode: { type: 'string', enum: ['read', 'write', 'append'] },
    edits: {
      type: 'array',
      items: {
        type: 'object',
        properties: { from: option('from'), to: option('to') },
        required: ['from', 'to'],
        additionalProperties: false
      }
    }
  }
  return {
    type: 'function',
    function: {
      name: `tool_${index}`,
      description: Prose.repeat(6),
      parameters: { type: 'object', properties, required: ['path'], additionalProperties: false }
    }
  }
}
