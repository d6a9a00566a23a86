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

t.test('C23. every client has one conversation id for a session', async (t) => {
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
