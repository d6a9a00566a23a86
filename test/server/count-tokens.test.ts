import t, { type Test } from 'tap'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { FakePrimary } from '../helper/fake-primary.ts'
import { eventFrame, textFrame } from '../helper/upstream-frames.ts'

const PATH = '/v1/messages/count_tokens?beta=true'
const text = 'The parser keeps the rest of a chunk until the next one arrives.\n'.repeat(40)
const body = { model: 'claude-haiku-4.5', messages: [{ role: 'user', content: text }] }

/** What the upstream says of every request. */
const MEASURED = 1000

async function setUp(t: Test) {
  const upstream = await CountingUpstream.start(t, (_request, response) => {
    response.write(textFrame('hello'))
    response.end(
      eventFrame('metadataEvent', {
        tokenUsage: { uncachedInputTokens: MEASURED, outputTokens: 1 },
        stopReason: 'END_TURN'
      })
    )
  })
  const primary = await FakePrimary.start(t, upstream.url)
  const post = (path: string, json: unknown) =>
    fetch(`${primary.url}${path}`, {
      method: 'POST',
      headers: { 'x-api-key': 'good-key', 'anthropic-version': '2023-06-01' },
      body: JSON.stringify(json)
    })
  const count = async (json: unknown): Promise<number> => {
    const response = await post(PATH, json)
    const answer = (await response.json()) as { readonly input_tokens: number }
    t.same(Object.keys(answer), ['input_tokens', 'tokens_within'])
    return answer.input_tokens
  }
  return { upstream, post, count }
}

t.test('POST /v1/messages/count_tokens', async (t) => {
  const { upstream, post, count } = await setUp(t)

  t.test('counts without asking the upstream, 26 at once', async (t) => {
    const counts = await Promise.all(Array.from({ length: 26 }, () => count(body)))
    t.equal(new Set(counts).size, 1)
    t.ok(counts[0]! > 500 && counts[0]! < 1000, String(counts[0]))
    t.equal(upstream.sockets.length, 0)
  })

  t.test('counts system text and tools, and never nothing', async (t) => {
    const bare = await count(body)
    const system = await count({ ...body, system: text })
    t.ok(system > bare * 1.8)
    const tools = [{ name: 'f', description: text, input_schema: { type: 'object' } }]
    t.ok((await count({ ...body, tools })) > bare * 1.8)
    t.ok((await count({ ...body, messages: [{ role: 'user', content: '' }] })) > 0)
  })

  t.test('refuses what cannot be counted in the words of its API', async (t) => {
    for (const [json, status, type] of [
      [{ model: 'claude-haiku-4.5' }, 400, 'invalid_request_error'],
      [{ ...body, messages: 5 }, 400, 'invalid_request_error']
    ] as const) {
      const response = await post(PATH, json)
      t.equal(response.status, status)
      t.match(await response.json(), { type: 'error', error: { type } })
    }
  })

  t.test('an answer says what the upstream said', async (t) => {
    const message = await post('/v1/messages', { ...body, max_tokens: 10 })
    t.match(await message.json(), { usage: { input_tokens: MEASURED } })
  })
})

t.test('POST /v1/responses/input_tokens counts the same words as that API counts', async (t) => {
  const { upstream, post, count } = await setUp(t)
  const model = 'claude-haiku-4.5'
  const response = await post('/v1/responses/input_tokens', { model, input: text })
  t.match(await response.json(), {
    object: 'response.input_tokens',
    input_tokens: await count(body)
  })
  const refused = await post('/v1/responses/input_tokens', { model, input: 7 })
  t.equal(refused.status, 400)
  t.match(await refused.json(), { error: { type: 'invalid_request_error', param: 'input' } })
  t.equal(upstream.sockets.length, 0)
})
