import { readdirSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import OpenAI, { AuthenticationError, BadRequestError, NotFoundError, RateLimitError } from 'openai'
import type {
  FunctionTool,
  ResponseInput,
  ResponseInputItem,
  ResponseOutputItem
} from 'openai/resources/responses/responses'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { readResponsesStream } from '../helper/responses-grammar.ts'
import { endFrame, textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(300_000) // real processes, on a machine that may be busy

const KEY = 'test-key'
const model = 'claude-haiku-4.5'
const env = { PROXY_API_KEY: KEY, UPSTREAM_MAX_ATTEMPTS: '1', WORKERS: '2' }

const weather: FunctionTool = {
  type: 'function',
  name: 'get_weather',
  description: 'Weather of a city',
  strict: true,
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false
  }
}

t.test('the official openai SDK against the Responses API', async (t) => {
  const simulator = new Simulator({ gapMs: 1 })
  const { url } = await simulator.start()
  const calls = () => simulator.stats().requests.byOperation['generateAssistantResponse'] ?? 0
  t.teardown(() => simulator.close())
  const gateway = await startGateway({ upstreamUrl: url, env })
  t.teardown(() => gateway.destroy())
  const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: KEY, maxRetries: 0 })

  t.test('streams text', async (t) => {
    const stream = client.responses.stream({
      model,
      input: 'sim:say="Grüße, 世界 🎉\\nsecond line"'
    })
    let text = ''
    stream.on('response.output_text.delta', ({ delta }) => (text += delta))
    const final = await stream.finalResponse()
    t.equal(text, 'Grüße, 世界 🎉\nsecond line')
    t.equal(final.output_text, text)
    t.match(final, { object: 'response', status: 'completed', model, error: null })
    t.match(final.id, /^resp_[0-9a-f]{32}$/)
    t.ok((final.usage?.input_tokens ?? 0) > 0 && (final.usage?.output_tokens ?? 0) > 0)
  })

  t.test('gets text in one piece', async (t) => {
    const response = await client.responses.create({
      model,
      instructions: 'Be brief.',
      input: 'sim:say="All of it."',
      metadata: { a: 'b' },
      temperature: 0.5
    })
    t.equal(response.output_text, 'All of it.')
    t.match(response, { metadata: { a: 'b' }, temperature: 0.5, instructions: 'Be brief.' })
  })

  t.test('goes through a whole tool loop, streamed', async (t) => {
    const input: ResponseInput = [{ role: 'user', content: 'call tool get_weather' }]
    const first = await client.responses.stream({ model, input, tools: [weather] }).finalResponse()
    const call = callIn(first.output)
    t.match(call, { status: 'completed', name: 'get_weather' })
    t.type(call.parsed_arguments, 'object')
    input.push(...(first.output as ResponseInputItem[]))
    input.push({ type: 'function_call_output', call_id: call.call_id, output: '7 degrees' })
    const second = await client.responses
      .stream({ model, input, tools: [weather], store: false })
      .finalResponse()
    t.equal(second.status, 'completed')
    t.ok(second.output_text)
  })

  t.test('goes through a tool loop in one piece, with items by reference', async (t) => {
    const user: ResponseInputItem = { role: 'user', content: 'call tool get_weather' }
    const first = await client.responses.create({ model, input: [user], tools: [weather] })
    const call = callIn(first.output)
    const references = first.output.map(
      ({ id = '' }): ResponseInputItem => ({ type: 'item_reference', id })
    )
    const second = await client.responses.create({
      model,
      input: [
        user,
        ...references,
        { type: 'function_call_output', call_id: call.call_id, output: '7 degrees' }
      ],
      tools: [weather]
    })
    t.equal(second.status, 'completed')
  })

  t.test('gets the raw text of a custom tool', async (t) => {
    const response = await client.responses
      .stream({
        model,
        input: 'call tool apply_patch with {"input": "*** Begin\\n\\"x\\" 🎉"}',
        tools: [{ type: 'custom', name: 'apply_patch', description: 'Patches files' }]
      })
      .finalResponse()
    const call = response.output.find(({ type }) => type === 'custom_tool_call')
    t.match(call, { name: 'apply_patch', input: '*** Begin\n"x" 🎉' })
  })

  t.test('parses an answer in JSON', async (t) => {
    const schema = { type: 'object', properties: { a: { type: 'number' } }, required: ['a'] }
    const response = await client.responses.parse({
      model,
      input: 'sim:say="```json\\n{\\"a\\": 1}\\n```"',
      text: { format: { type: 'json_schema', name: 'answer', schema, strict: true } }
    })
    t.same(JSON.parse(response.output_text), { a: 1 })
  })

  t.test('gets reasoning apart from the text', async (t) => {
    const { output, output_text } = await client.responses.create({
      model: 'claude-opus-4.8',
      reasoning: { effort: 'high', summary: 'auto' },
      include: ['reasoning.encrypted_content'],
      input: 'sim:say="forty-two" why?'
    })
    t.equal(output_text, 'forty-two')
    t.match(output[0], { type: 'reasoning', summary: [{ type: 'summary_text', text: String }] })
  })

  t.test('gets an answer that was cut off as incomplete', async (t) => {
    for (const stream of [true, false]) {
      const body = { model, input: 'sim:max-tokens sim:say="cut"' }
      const response = stream
        ? await client.responses.stream(body).finalResponse()
        : await client.responses.create(body)
      t.match(response, {
        status: 'incomplete',
        incomplete_details: { reason: 'max_output_tokens' },
        output: [{ status: 'incomplete' }]
      })
    }
  })

  t.test('never gets a call that was cut off as a whole one', async (t) => {
    const { output, status } = await client.responses
      .stream({ model, input: 'sim:truncated-tool call tool get_weather', tools: [weather] })
      .finalResponse()
    t.equal(status, 'incomplete')
    t.notOk(output.some((item) => item.type === 'function_call' && item.status === 'completed'))
  })

  const failures = [
    ['sim:improper', 400, BadRequestError, null],
    ['sim:context-overflow', 400, BadRequestError, 'context_length_exceeded'],
    ['sim:invalid-model', 404, NotFoundError, 'model_not_found'],
    ['sim:throttled', 429, RateLimitError, 'rate_limit_exceeded'],
    ['sim:throttled-frame', 429, RateLimitError, 'rate_limit_exceeded']
  ] as const
  for (const [input, status, type, code] of failures) {
    for (const stream of [true, false]) {
      t.test(
        `raises ${status} for ${input}, ${stream ? 'streamed' : 'not streamed'}`,
        async (t) => {
          const error = await t.rejects(client.responses.create({ model, stream, input }))
          t.ok(error instanceof type)
          t.match(error, { status, ...(code !== null && { code }) })
          const { headers } = error as unknown as { headers: Headers }
          if (status === 429) t.match(headers.get('retry-after'), /^\d+$/)
          else t.equal(headers.get('x-should-retry'), 'false')
        }
      )
    }
  }

  t.test('meets a used-up quota once, and does not try again', async (t) => {
    const env = { PROXY_API_KEY: KEY, WORKERS: '1' }
    const gateway = await startGateway({ upstreamUrl: url, env })
    t.teardown(() => gateway.destroy())
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: KEY, maxRetries: 3 })
    const before = calls()
    for (const stream of [true, false]) {
      const error = await t.rejects(client.responses.create({ model, stream, input: 'sim:quota' }))
      t.ok(error instanceof RateLimitError)
    }
    t.equal(calls() - before, 1, 'the quota is remembered')
  })

  t.test('raises 401 for a wrong key, and does not try again', async (t) => {
    const stranger = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'wrong', maxRetries: 2 })
    const error = await t.rejects(stranger.responses.create({ model, input: 'x' }))
    t.type(error, AuthenticationError)
  })

  t.test('is told when the stream breaks', async (t) => {
    for (const fault of ['exception-mid', 'reset', 'fin', 'corrupt', 'cut-frame']) {
      const response = await fetch(`${gateway.url}/v1/responses`, {
        method: 'POST',
        headers: { authorization: `Bearer ${KEY}` },
        body: JSON.stringify({ model, stream: true, input: `sim:${fault} sim:events=6` })
      })
      t.equal(response.status, 200)
      const stream = readResponsesStream(await response.text())
      const end =
        fault === 'cut-frame'
          ? { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }
          : { status: 'failed', error: { code: 'server_error' } }
      t.match(stream.response, end, fault)
      t.match(stream.output, [{ type: 'message', status: 'incomplete' }])
    }
    const final = await client.responses
      .stream({ model, input: 'sim:reset sim:events=6' })
      .finalResponse()
    t.equal(final.status, 'failed')
    t.ok(final.output_text)
  })

  t.test('refuses what it does not keep', async (t) => {
    for (const input of [
      [
        { type: 'item_reference' as const, id: `msg_${'0'.repeat(32)}` },
        { role: 'user' as const, content: 'x' }
      ]
    ]) {
      const error = await t.rejects(client.responses.create({ model, input }))
      t.match(error, { status: 400, message: /not found/ })
    }
    await t.rejects(client.responses.retrieve('resp_1'), {
      status: 404,
      message: /not stored here/
    })
  })
})

t.test('an item that one worker has told of is known to the other', async (t) => {
  const bodies: string[] = []
  const upstream = await CountingUpstream.start(t, (request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
    request.on('end', () => {
      bodies.push(body)
      response.write(textFrame('the word is heliotrope'))
      response.end(endFrame)
    })
  })
  const stateDir = await mkdtemp(join(tmpdir(), 'gateway-state-'))
  const gateway = await startGateway({
    upstreamUrl: upstream.url.origin,
    env: { ...env, STATE_DIR: stateDir, LOG_LEVEL: 'debug', WORKER_SPREAD: 'even' }
  })
  t.teardown(() => gateway.destroy())
  const ask = async (body: object, stream: boolean): Promise<Response> =>
    fetch(`${gateway.url}/v1/responses`, {
      method: 'POST',
      // A connection for each request, so that the workers take turns.
      headers: { authorization: `Bearer ${KEY}`, connection: 'close' },
      body: JSON.stringify({ model, stream, ...body })
    })
  for (let round = 0; round < 24; round++) {
    const isStream = round % 2 === 0
    const answer = await ask({ input: 'what is the word?' }, isStream)
    const output = isStream
      ? readResponsesStream(await answer.text()).output
      : ((await answer.json()) as { output: Record<string, unknown>[] }).output
    const next = await ask({ input: refer(output[0]?.['id']), store: false }, false)
    t.equal(next.status, 200, await next.text())
    const asked = bodies.at(-1) ?? ''
    t.match(asked, /heliotrope/, 'the upstream is told what it said')
  }

  const served = gateway.lines.filter(({ msg }) => msg === 'request completed')
  const workers = new Set(served.map((line) => line['worker']))
  t.equal(workers.size, 2, 'both workers have served')
  t.equal(readdirSync(join(stateDir, 'responses')).length, 24, 'store: false keeps nothing')
  t.notMatch(JSON.stringify(gateway.lines), /heliotrope/, 'and no log has a word of it')
})

function callIn(output: readonly ResponseOutputItem[]) {
  const call = output.find((item) => item.type === 'function_call')
  if (call === undefined) throw new Error('there is no call')
  return call as typeof call & { parsed_arguments?: unknown }
}

function refer(id: unknown) {
  return [
    { role: 'user', content: 'what is the word?' },
    { type: 'item_reference', id },
    { role: 'user', content: 'say it again' }
  ]
}
