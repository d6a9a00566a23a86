import t from 'tap'
import { type DialectName, marksOf } from '../../src/dialects/dialect.ts'
import { convert } from '../helper/convert.ts'
import { requestOptions } from '../helper/request-options.ts'

const USER = { role: 'user', content: 'hi' }
const CHAT = { model: 'auto', messages: [USER] }
const RESPONSES = { model: 'auto', input: 'hi' }
const MESSAGES = { model: 'auto', max_tokens: 10, messages: [USER] }

function idOf(dialect: DialectName, request: object, headers: Record<string, string> = {}): string {
  const options = requestOptions({ marks: marksOf(headers) })
  return convert(dialect, request, options).payload.conversationState.conversationId
}

t.test('every client has one conversation id for a session', async (t) => {
  const user_id = JSON.stringify({ session_id: 's-1' })
  for (const [client, dialect, body, headers] of [
    ['Claude Code', 'anthropic-messages', { ...MESSAGES, metadata: { user_id } }, {}],
    [
      'Claude Code without metadata',
      'anthropic-messages',
      MESSAGES,
      mark('x-claude-code-session-id')
    ],
    ['Codex', 'openai-responses', { ...RESPONSES, prompt_cache_key: 's-1' }, {}],
    ['Codex without a key', 'openai-responses', RESPONSES, mark('session-id')],
    ['opencode', 'openai-chat', CHAT, mark('x-session-id')],
    ['opencode behind a balancer', 'openai-chat', CHAT, mark('x-session-affinity')],
    ['pi', 'openai-chat', CHAT, mark('session_id')],
    ['a client with a cache key', 'openai-chat', { ...CHAT, prompt_cache_key: 's-1' }, {}]
  ] as const) {
    const id = idOf(dialect, body, headers)
    t.equal(id, idOf('openai-chat', { ...CHAT, prompt_cache_key: 's-1' }), client)
  }
  t.not(idOf('openai-chat', CHAT), idOf('openai-chat', CHAT, mark('session_id')))
})

interface Client {
  readonly name: string
  readonly dialect: DialectName
  /** A request of a session: of its own, or of the sub-agent `agent` in it. */
  readonly ask: (session: string, agent?: string) => readonly [body: object, headers?: object]
  /** It says whose the sub-agent is. */
  readonly namesParent?: true
}

const user = (text: string) => ({ role: 'user', content: text })
const first = (session: string, agent?: string) =>
  user(agent === undefined ? `the task of ${session}` : `${agent} of ${session}, look for it`)

/** Their header, metadata or key; the beginning of the conversation where they have none. */
const clients: readonly Client[] = [
  {
    name: 'Claude Code',
    dialect: 'anthropic-messages',
    namesParent: true,
    ask: (session, agent) => [
      {
        model: 'auto',
        metadata: { user_id: JSON.stringify({ device_id: 'd', session_id: session }) },
        messages: [first(session, agent)]
      },
      {
        'x-claude-code-session-id': session,
        ...(agent !== undefined && { 'x-claude-code-agent-id': agent })
      }
    ]
  },
  {
    name: 'Codex',
    dialect: 'openai-responses',
    namesParent: true,
    ask: (session, agent) => [
      { model: 'auto', prompt_cache_key: session, input: [first(session, agent)] },
      { 'session-id': session, 'thread-id': agent ?? session, 'x-client-request-id': 'r' }
    ]
  },
  {
    name: 'Codex, by headers alone',
    dialect: 'openai-responses',
    namesParent: true,
    ask: (session, agent) => [
      { model: 'auto', input: [first(session, agent)] },
      { 'session-id': session, 'thread-id': agent ?? session }
    ]
  },
  ...(['openai-chat', 'openai-responses', 'anthropic-messages'] as const).map(
    (dialect): Client => ({
      name: `opencode, ${dialect}`,
      dialect,
      // A sub-agent has a session of its own.
      ask: (session, agent) => [
        { model: 'auto', [messagesOf(dialect)]: [first(session, agent)] },
        { 'x-session-id': agent ?? session }
      ]
    })
  ),
  {
    name: 'pi',
    dialect: 'openai-chat',
    ask: (session, agent) => [
      { model: 'auto', messages: [first(session, agent)] },
      { session_id: agent ?? session }
    ]
  },
  {
    name: 'Qwen Code, Responses',
    dialect: 'openai-responses',
    ask: (session, agent) => [
      { model: 'auto', prompt_cache_key: agent ?? session, input: [first(session, agent)] }
    ]
  },
  ...(
    [
      ['Qwen Code', 'openai-chat'],
      ['Cline', 'anthropic-messages'],
      ['Continue', 'openai-chat'],
      ['LangChain', 'openai-responses']
    ] as const
  ).map(
    ([name, dialect]): Client => ({
      name: `${name}, without a mark`,
      dialect,
      ask: (session, agent) => [{ model: 'auto', [messagesOf(dialect)]: [first(session, agent)] }]
    })
  )
]

function messagesOf(dialect: DialectName): string {
  return dialect === 'openai-responses' ? 'input' : 'messages'
}

function idsFor({ dialect, ask }: Client) {
  return (session: string, agent?: string, more: readonly object[] = []) => {
    const [body, headers = {}] = ask(session, agent)
    const member = messagesOf(dialect)
    const said = (body as Record<string, readonly object[]>)[member] ?? []
    const options = requestOptions({ marks: marksOf({ ...headers }) })
    return convert(dialect, { max_tokens: 10, ...body, [member]: [...said, ...more] }, options).plan
      .ids
  }
}

for (const client of clients) {
  const { name, namesParent } = client
  t.test(`${name}: sessions and sub-agents have ids of their own`, async (t) => {
    const idsOf = idsFor(client)
    const grown = [{ role: 'assistant', content: 'Well.' }, user('and then?')]
    const session = idsOf('s-1')
    t.equal(session.root, session.conversation)
    t.equal(idsOf('s-1', undefined, grown).conversation, session.conversation, 'as it grows')
    t.not(idsOf('s-2').conversation, session.conversation, 'another session')
    const agent = idsOf('s-1', 'a-1')
    t.not(agent.conversation, session.conversation, 'a sub-agent')
    t.equal(idsOf('s-1', 'a-1', grown).conversation, agent.conversation, 'as it grows')
    t.not(idsOf('s-1', 'a-2').conversation, agent.conversation, 'another one')
    t.equal(agent.root, namesParent ? session.root : agent.conversation)
  })
}

t.test('what the body says of a session comes before its headers', async (t) => {
  const body = { ...CHAT, prompt_cache_key: 'k' }
  t.equal(idOf('openai-chat', body, mark('session_id')), idOf('openai-chat', body))
})

t.test('a user has many conversations, told apart by their first words', async (t) => {
  const asked = (content: string, ...more: object[]) =>
    idOf('openai-chat', { ...CHAT, user: 'u', messages: [{ role: 'user', content }, ...more] })
  t.not(asked('hi'), asked('ho'))
  t.equal(asked('hi'), asked('hi', { role: 'assistant', content: 'ho' }, USER))
  t.not(asked('hi'), idOf('openai-chat', CHAT))
})

t.test('a header that is far too long is no id', async (t) => {
  t.equal(idOf('openai-chat', CHAT, { session_id: 'x'.repeat(2000) }), idOf('openai-chat', CHAT))
})

function mark(name: string): Record<string, string> {
  return { [name]: 's-1' }
}
