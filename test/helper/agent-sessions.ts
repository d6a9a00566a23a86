/**
 * Sessions of coding agents as their requests were recorded (docs/clients.md): each request is the whole conversation,
 * with one more answer and its results behind it. The texts are stand-ins of about the recorded length.
 */
export interface AgentSession {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly requests: readonly object[]
}

/** What a client has a system message say on the way; recognisable, for who wants to move it. */
export const NOTE = /<system-note>[^<]*<\/system-note>/g
const SENTENCE =
  'The parser keeps the rest of a chunk until the next one arrives, then feeds both.\n'
const SESSION = '0b1c9a1e-5b1f-4a39-9d57-1b1e8f5f3f10'
const NOTE_EVERY = 5

/** `claude -p` with tools: a billing line that differs, an environment message, reminders on the way. */
export function claudeCodeSession(turns: number): AgentSession {
  const messages: object[] = [
    { role: 'user', content: [textBlock(SENTENCE.repeat(12)), textBlock('Fix the parser.')] },
    { role: 'system', content: note(0) }
  ]
  const requests = Array.from({ length: turns }, (_, turn) => {
    const request = claudeRequest([...messages], turn)
    const id = `toolu_${turn}`
    messages.push(
      {
        role: 'assistant',
        content: [{ type: 'tool_use', id, name: nameAt(turn), input: inputAt(turn) }]
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content: outputAt(turn) }] }
    )
    if (turn % NOTE_EVERY === NOTE_EVERY - 1) messages.push({ role: 'system', content: note(turn) })
    return request
  })
  return { path: '/v1/messages', headers: { 'anthropic-version': '2023-06-01' }, requests }
}

function claudeRequest(messages: readonly object[], turn: number): object {
  return {
    model: 'claude-opus-5',
    max_tokens: 32_000,
    stream: true,
    system: [
      textBlock(`x-anthropic-billing-header: cc_version=2.1.331.${turn}; cc_entrypoint=sdk-cli;`),
      textBlock(`You are an agent.\n${SENTENCE.repeat(85)}`)
    ],
    metadata: { user_id: JSON.stringify({ device_id: 'd', session_id: SESSION }) },
    thinking: { type: 'adaptive', display: 'omitted' },
    output_config: { effort: 'high' },
    tools: NAMES.map((name) => ({ name, description: SENTENCE.repeat(15), input_schema: SCHEMA })),
    messages
  }
}

/** `codex exec`: instructions, developer messages, one key for the session. */
export function codexSession(turns: number): AgentSession {
  const input: object[] = [
    { type: 'message', role: 'developer', content: [inputText(SENTENCE.repeat(30))] },
    { type: 'message', role: 'user', content: [inputText('Fix the parser.')] }
  ]
  const requests = Array.from({ length: turns }, (_, turn) => {
    const request = codexRequest([...input])
    input.push(
      { type: 'reasoning', id: `rs_${turn}`, summary: [], encrypted_content: 'x' },
      {
        type: 'function_call',
        call_id: `call_${turn}`,
        name: nameAt(turn),
        arguments: JSON.stringify(inputAt(turn))
      },
      { type: 'function_call_output', call_id: `call_${turn}`, output: outputAt(turn) }
    )
    if (turn % NOTE_EVERY === NOTE_EVERY - 1) {
      input.push({ type: 'message', role: 'developer', content: [inputText(note(turn))] })
    }
    return request
  })
  return { path: '/v1/responses', headers: { originator: 'codex_exec' }, requests }
}

function codexRequest(input: readonly object[]): object {
  return {
    model: 'gpt-5.6-sol',
    stream: true,
    store: false,
    instructions: `You are a coding agent.\n${SENTENCE.repeat(150)}`,
    reasoning: { effort: 'medium' },
    include: ['reasoning.encrypted_content'],
    prompt_cache_key: SESSION,
    tools: NAMES.map((name) => ({
      type: 'function',
      name,
      description: SENTENCE.repeat(6),
      parameters: SCHEMA
    })),
    input
  }
}

const NAMES = ['Bash', 'Edit', 'Glob', 'Grep', 'Read', 'Task', 'Todo', 'Write']
const SCHEMA = { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] }

function nameAt(turn: number): string {
  return NAMES[turn % NAMES.length] ?? ''
}

function inputAt(turn: number): object {
  return { path: `src/file-${turn}.ts` }
}

function outputAt(turn: number): string {
  return `${turn}: ${SENTENCE.repeat(20)}`
}

function note(turn: number): string {
  return `<system-note>${turn}: ${SENTENCE}</system-note>`
}

function textBlock(text: string): object {
  return { type: 'text', text }
}

function inputText(text: string): object {
  return { type: 'input_text', text }
}
