import type { Test } from 'tap'
import { APIS, CHAT, MESSAGES, RESPONSES } from './dialects.ts'
import { KEY, type Stand } from './stand.ts'

type Json = Record<string, unknown>

const REFUSALS = {
  'a wrong key': { more: {}, prompt: 'hi', key: 'wrong' },
  'a wrong body': { more: { tools: 7 }, prompt: 'hi', key: KEY },
  'an unknown model': { more: { model: 'no-such-model' }, prompt: 'hi', key: KEY },
  'a rate limit': { more: {}, prompt: 'sim:throttled=1', key: KEY },
  'an upstream that fails': { more: {}, prompt: 'sim:unavailable', key: KEY },
  'a conversation that is too long': { more: {}, prompt: 'sim:context-overflow', key: KEY }
} as const

const TYPES: Readonly<Record<keyof typeof REFUSALS, { anthropic: string; openAi: string }>> = {
  'a wrong key': { anthropic: 'authentication_error', openAi: 'invalid_request_error' },
  'a wrong body': { anthropic: 'invalid_request_error', openAi: 'invalid_request_error' },
  'an unknown model': { anthropic: 'not_found_error', openAi: 'invalid_request_error' },
  'a rate limit': { anthropic: 'rate_limit_error', openAi: 'rate_limit_error' },
  'an upstream that fails': { anthropic: 'overloaded_error', openAi: 'server_error' },
  'a conversation that is too long': {
    anthropic: 'invalid_request_error',
    openAi: 'invalid_request_error'
  }
}

/** Errors in each API's own shape, with the request's id. */
export async function check(t: Test, stand: Stand): Promise<void> {
  for (const api of APIS) {
    for (const [what, { more, prompt, key }] of Object.entries(REFUSALS)) {
      t.test(`${api.path}: ${what}`, async (t) => {
        const body = api.ask(prompt, { ...more, stream: true })
        const headers = { 'x-api-key': key, 'x-request-id': 'req-of-the-client' }
        const answer = await stand.call(api.path, { body, headers })
        t.match(answer.headers['content-type'], /^application\/json/)
        const id = answer.headers['x-request-id']
        t.ok(typeof id === 'string' && id !== '')
        const types = TYPES[what as keyof typeof REFUSALS]
        if (api.path === MESSAGES) {
          t.equal(answer.headers['request-id'], id)
          checkAnthropic(t, answer.json, { type: types.anthropic, id })
        } else checkOpenAi(t, answer.json, types.openAi)
      })
    }
  }

  t.test('a code that clients know stands in details, or in code', async (t) => {
    const thread = await stand.call(MESSAGES, {
      body: { model: 'auto', messages: [{ role: 'user', content: 'a' }], thread: {} }
    })
    t.match(thread.json, { error: { details: { error_code: 'thread_unsupported_request' } } })
    const previous = await stand.call(RESPONSES, {
      body: { model: 'auto', input: 'hi', previous_response_id: 'resp_1' }
    })
    t.match(previous.json, {
      error: { param: 'previous_response_id', code: 'previous_response_not_found' }
    })
  })

  t.test('routes of no API answer as the client’s API would', async (t) => {
    const headers = { 'x-api-key': 'wrong' }
    const openAi = await stand.call('/v1/models', { headers })
    checkOpenAi(t, openAi.json, 'invalid_request_error')
    const version = { ...headers, 'anthropic-version': '2023-06-01' }
    const anthropic = await stand.call('/v1/models', { headers: version })
    const id = anthropic.headers['request-id']
    checkAnthropic(t, anthropic.json, { type: 'authentication_error', id })
    const unknown = await stand.call(`${CHAT}/nothing`)
    checkOpenAi(t, unknown.json, 'invalid_request_error')
  })
}

function checkAnthropic(t: Test, json: Json, { type, id }: { type: string; id: unknown }): void {
  t.same(Object.keys(json), ['type', 'error', 'request_id'])
  t.match(json, { type: 'error', error: { type, message: /\w/ }, request_id: id })
}

function checkOpenAi(t: Test, json: Json, type: string): void {
  t.same(Object.keys(json), ['error'])
  const error = json['error'] as Json
  t.same(Object.keys(error), ['message', 'type', 'param', 'code'])
  t.match(error, { message: /\w/, type })
}
