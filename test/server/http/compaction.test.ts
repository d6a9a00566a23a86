import { text } from 'node:stream/consumers'
import OpenAI from 'openai'
import t, { type Test } from 'tap'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

t.setTimeout(60_000)

const model = 'auto'
const HISTORY = [
  { role: 'user', content: 'list the files' },
  { type: 'function_call', call_id: 'c', name: 'ls', arguments: '{}' },
  { type: 'function_call_output', call_id: 'c', output: 'a.txt' }
] as OpenAI.Responses.ResponseInput

/** Begins an answer that breaks off. */
const HALF = 'half of '

const TRIGGER: unknown = { type: 'compaction_trigger' }

async function setUp(t: Test, start: { readonly compactionKeys?: readonly string[] } = {}) {
  const asked: string[] = []
  const said = ['THE-SUMMARY']
  const upstream = await CountingUpstream.start(t, (request, response) => {
    const answer = async (): Promise<void> => {
      asked.push(await text(request))
      const words = said.length > 1 ? said.shift() : said[0]
      if (words !== undefined && words !== '') response.write(textFrame(words))
      if (words?.startsWith(HALF) === true) response.end()
      else response.end(endFrame)
    }
    void answer() // the request is read, or the test has failed
  })
  const { url, messages } = await FakePrimary.start(t, upstream.url, {
    env: { PROXY_API_KEY: 'good-key,other-key' },
    start
  })
  const clientOf = (apiKey: string): OpenAI =>
    new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0 })
  return {
    asked,
    said,
    upstream,
    messages,
    client: clientOf('good-key'),
    other: clientOf('other-key')
  }
}

t.test('a compacted conversation is gone on with, by its key alone', async (t) => {
  const { client, other, asked } = await setUp(t)
  const compacted = await client.responses.compact({
    model: 'auto',
    instructions: 'be brief',
    input: HISTORY
  })
  t.match(compacted, {
    id: /^resp_/,
    object: 'response.compaction',
    created_at: Number,
    output: [{ type: 'compaction', id: /^cmp_/, encrypted_content: /^kgc1\./ }],
    usage: { input_tokens: Number, output_tokens: Number, total_tokens: Number }
  })
  t.equal(compacted.output.length, 1)
  t.match(asked[0], /list the files.*a\.txt.*will be replaced by a summary/s)
  t.notMatch(JSON.stringify(compacted), 'THE-SUMMARY', 'sealed')
  t.equal(asked.length, 1, 'one call of the upstream')
  const input = [...compacted.output, { role: 'user', content: 'go on' }] as typeof HISTORY
  await client.responses.create({ model, input })
  t.match(asked[1], /\[Summary of the conversation so far\]\\nTHE-SUMMARY/)
  t.notMatch(asked[1], 'a.txt')
  t.match(await refusal(other.responses.create({ model, input })), {
    status: 400,
    param: 'input[0].encrypted_content',
    message: /not made here for this API key/
  })
  const restarted = await setUp(t)
  await restarted.client.responses.create({ model, input })
  t.match(restarted.asked[0], 'THE-SUMMARY', 'also after a restart')
  const elsewhere = await setUp(t, { compactionKeys: ['22'.repeat(32)] })
  t.match(await refusal(elsewhere.client.responses.create({ model, input })), { status: 400 })
})

t.test('a limit of the answer does not cut a summary off', async (t) => {
  const { client, said } = await setUp(t)
  said[0] =
    'a summary of more than one token, with everything that is needed to go on with the work'
  const body = { model: 'auto', input: HISTORY, max_output_tokens: 1 } as const
  t.match(await client.responses.compact(body), { output: [{ type: 'compaction' }] })
  const asked = { ...body, input: [...HISTORY, TRIGGER] as typeof HISTORY }
  t.match(await client.responses.create(asked), {
    status: 'completed',
    output: [{ type: 'compaction' }]
  })
})

t.test('a stored response is compacted by its id', async (t) => {
  const { client, asked } = await setUp(t)
  const { id } = await client.responses.create({ model, input: 'first question' })
  await client.responses.compact({ model: 'auto', previous_response_id: id })
  t.match(asked[1], /first question.*THE-SUMMARY.*will be replaced by a summary/s)
})

t.test('a stored conversation goes on from its compaction alone', async (t) => {
  const { client, asked } = await setUp(t)
  const first = await client.responses.create({ model, input: 'first question' })
  const input = [TRIGGER] as typeof HISTORY
  const compacted = await client.responses.create({
    model,
    input,
    previous_response_id: first.id
  })
  t.match(compacted.output, [{ type: 'compaction' }])
  await client.responses.delete(first.id)
  const previous_response_id = compacted.id
  const next = await client.responses.create({ model, input: 'go on', previous_response_id })
  t.match(next.output, [{ type: 'message' }])
  t.match(asked.at(-1), /\[Summary of the conversation so far\]\\nTHE-SUMMARY.*go on/)
  t.notMatch(asked.at(-1), /first question|will be replaced/)
  await client.responses.create({ model, input: 'and on', previous_response_id: next.id })
  t.match(asked.at(-1), /THE-SUMMARY.*go on.*and on/)
})

t.test('a call that names no model is refused', async (t) => {
  const { client, asked } = await setUp(t)
  for (const model of [undefined, null, '']) {
    const body = { model, input: HISTORY } as unknown as Parameters<
      typeof client.responses.compact
    >[0]
    t.match(await refusal(client.responses.compact(body)), { status: 400, param: 'model' })
  }
  t.same(asked, [])
})

t.test('a conversation without a whole summary is kept by its client', async (t) => {
  const { client, said, upstream, messages } = await setUp(t)
  said[0] = ''
  t.match(await refusal(client.responses.compact({ model: 'auto', input: HISTORY })), {
    status: 503
  })
  t.match(await refusal(client.responses.compact({ model: 'auto' })), {
    status: 400,
    param: 'input'
  })
  said[0] = `${HALF}a summary`
  t.match(await refusal(client.responses.compact({ model: 'auto', input: HISTORY })), {
    status: 502
  })
  upstream.onRequest = (_request, response) => response.writeHead(500).end('{}')
  t.match(await refusal(client.responses.compact({ model: 'auto', input: HISTORY })), {
    status: 502
  })
  const rows = JSON.stringify(messages.filter(({ type }) => type.includes('rows')))
  t.match(rows, /openai-responses/, 'each is a row of usage')
})

t.test('a conversation goes on from before half a summary', async (t) => {
  const { client, said, asked } = await setUp(t)
  const { id: previous_response_id } = await client.responses.create({ model, input: 'before' })
  said[0] = `${HALF}a summary`
  const body = { model, input: [TRIGGER] as typeof HISTORY, previous_response_id }
  t.match(await refusal(client.responses.create(body)), {
    status: 502,
    message: /no whole summary/
  })
  said[0] = 'fine'
  await client.responses.create({ model, input: 'go on', previous_response_id })
  t.match(asked.at(-1), /before.*go on/)
})

/** The error that a call is refused with. */
function refusal(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => null,
    (error: unknown) => error
  )
}
