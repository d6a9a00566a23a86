import type { Test } from 'tap'
import { APIS, messages } from './dialects.ts'
import { KEY, MODEL, OTHER_KEY, type Stand } from './stand.ts'

const BETAS =
  'claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,mid-conversation-tool-changes-2026-07-01'

const ROUTES: readonly { readonly path: string; readonly body?: unknown }[] = [
  ...APIS.flatMap((api) => [
    { path: api.path, body: api.ask('hi') },
    { path: api.path, body: api.ask('hi', { stream: true }) }
  ]),
  { path: '/v1/messages/count_tokens', body: messages.ask('hi') },
  { path: '/v1/lint', body: messages.ask('hi') },
  { path: '/v1/models' },
  { path: `/v1/models/${MODEL}` },
  { path: '/metrics' }
]

const GOOD_KEYS: Readonly<Record<string, Record<string, string>>> = {
  'a bearer': { authorization: `Bearer ${KEY}` },
  'a bearer in lower case': { authorization: `bearer ${OTHER_KEY}` },
  'x-api-key': { 'x-api-key': OTHER_KEY },
  'both, the same': { authorization: `Bearer ${KEY}`, 'x-api-key': KEY },
  'both, two good ones': { authorization: `Bearer ${KEY}`, 'x-api-key': OTHER_KEY },
  'a good bearer and a wrong x-api-key': { authorization: `Bearer ${KEY}`, 'x-api-key': 'no' },
  'a wrong bearer and a good x-api-key': { authorization: 'Bearer no', 'x-api-key': KEY }
}

const VERSIONS: readonly Record<string, string>[] = [
  {},
  { 'anthropic-version': '2023-06-01', 'anthropic-beta': BETAS },
  { 'anthropic-version': '2026-10-21' },
  { 'anthropic-version': 'of the future', 'anthropic-beta': 'a-beta-that-nobody-knows-2031-01-01' },
  { 'openai-beta': 'responses_websockets=2026-02-06', 'x-stainless-retry-count': '0' }
]
const QUERIES = ['', '?beta=true', '?limit=1000', '?beta=true&limit=20&after_id=x']

/** Keys in either header on every route, any version or beta header, any query. */
export async function check(t: Test, stand: Stand): Promise<void> {
  let turn = 0
  for (const { path, body } of ROUTES) {
    t.test(`${path}${body === undefined ? '' : ' with a body'}`, async (t) => {
      for (const [what, keys] of Object.entries(GOOD_KEYS)) {
        const version = VERSIONS[turn % VERSIONS.length]
        const query = QUERIES[turn % QUERIES.length] ?? ''
        turn++
        const headers = { ...keys, ...version }
        const { status } = await stand.call(path + query, { body, headers })
        t.equal(status, 200, `${what}, ${JSON.stringify(version)} ${query}`)
      }
    })
  }

  for (const version of VERSIONS) {
    for (const query of QUERIES) {
      t.test(`Messages with ${JSON.stringify(version)} ${query}`, async (t) => {
        const headers = { 'x-api-key': KEY, ...version }
        const body = messages.ask('hi', { stream: true })
        const answer = await stand.call(messages.path + query, { body, headers })
        t.equal(answer.status, 200)
        t.match(messages.readStream(answer.text).text, /simulator/)
      })
    }
  }

  t.test('no key and a wrong key are refused everywhere, whatever else is sent', async (t) => {
    for (const { path, body } of ROUTES) {
      for (const headers of [{}, { 'x-api-key': 'no' }, { authorization: `Basic ${KEY}` }]) {
        const { status } = await stand.call(`${path}?beta=true`, { body, headers })
        t.equal(status, 401, path)
      }
    }
  })
}
