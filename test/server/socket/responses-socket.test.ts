import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary, type FakePrimaryOptions } from '../../helper/fake-primary.ts'
import { FrameClient, responseIdOf } from '../../helper/frame-client.ts'
import { freeMessage } from '../../../src/server/socket/responses-socket.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

/** A gateway, and the bodies that its upstream was sent. */
async function setUp(
  t: Test,
  {
    onRequest = (response: ServerResponse) => {
      response.write(textFrame('hello'))
      response.end(endFrame)
    },
    ...options
  }: FakePrimaryOptions & { readonly onRequest?: (response: ServerResponse) => void } = {}
) {
  const bodies: string[] = []
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    bodies.push(await textOf(request))
    onRequest(response)
  }
  const upstream = await CountingUpstream.start(t, (...call) => void answer(...call))
  const primary = await FakePrimary.start(t, upstream.url, options)
  return { bodies, upstream, primary, url: primary.url }
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) text += String(chunk)
  return text
}

t.test('a request is answered with the events of a stream, one in a frame', async (t) => {
  const { url } = await setUp(t)
  const client = await FrameClient.open(t, url)
  const events = await client.ask({ input: 'hi', store: false })
  t.same(
    events.map(({ type }) => type),
    [
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed'
    ]
  )
  t.same(
    events.map((event) => event['sequence_number']),
    events.map((_event, index) => index)
  )
})

t.test('a conversation goes on from requests that refer to stored items', async (t) => {
  const { url, bodies } = await setUp(t)
  const client = await FrameClient.open(t, url)
  const stored = await client.ask({ input: 'to be kept', store: true })
  const item = stored.find(({ type }) => type === 'response.output_item.done')?.['item']
  const reference = [
    { type: 'item_reference', id: Reflect.get(Object(item), 'id') },
    { role: 'user', content: 'it' }
  ]
  let previous = {}
  // Long enough for its beginning to be kept as the upstream gets it.
  for (const input of ['one '.repeat(6_000), 'two', 'three', reference, 'five', 'six']) {
    const events = await client.ask({ ...previous, input, store: false })
    t.match(events.at(-1), { type: 'response.completed' })
    previous = { previous_response_id: responseIdOf(events) }
  }
  t.match(bodies.at(-1), /three.*hello.*hello.*it.*hello.*five.*hello.*six/s)
})

t.test('a conversation goes on from the last response with its new items alone', async (t) => {
  const { url, bodies } = await setUp(t)
  const client = await FrameClient.open(t, url)
  const first = await client.ask({ input: 'one', instructions: 'Be terse.', store: false })
  const previous = { previous_response_id: responseIdOf(first), store: false }
  const second = await client.ask({ ...previous, input: [{ role: 'user', content: 'two' }] })
  t.match(second.at(-1), { type: 'response.completed', response: previous })
  t.match(bodies[1], /one.*hello.*two/s)
  t.notMatch(bodies[1], /Be terse/, 'instructions are of one request')
  const third = await client.ask({
    ...previous,
    previous_response_id: responseIdOf(second),
    input: 'three'
  })
  t.match(third.at(-1), { type: 'response.completed' })
  t.match(bodies[2], /one.*hello.*two.*hello.*three/s)

  const unknown = await client.ask({ ...previous, input: 'four' })
  t.match(unknown, [
    {
      type: 'error',
      status: 400,
      error: { code: 'previous_response_not_found', param: 'previous_response_id' }
    }
  ])
  const other = await FrameClient.open(t, url)
  const stranger = await other.ask({ previous_response_id: responseIdOf(third), input: 'five' })
  t.match(stranger, [{ type: 'error', error: { code: 'previous_response_not_found' } }])
})

t.test('a conversation that was compacted goes on from its summary alone', async (t) => {
  const { url, bodies } = await setUp(t)
  const client = await FrameClient.open(t, url)
  let previous = {}
  const ask = async (input: unknown) => {
    const events = await client.ask({ ...previous, input, store: false })
    previous = { previous_response_id: responseIdOf(events) }
    return events.at(-1)
  }
  // Long enough for its beginning to be kept as the upstream gets it.
  for (const input of ['one '.repeat(6_000), 'two', 'three']) await ask(input)
  const compacted = await ask([{ type: 'compaction_trigger' }])
  t.match(compacted, { response: { output: [{ type: 'compaction' }] } })
  t.match(bodies.at(-1), /one.*two.*three.*will be replaced by a summary/s)
  for (const input of ['four', 'five']) {
    t.match(await ask(input), { response: { output: [{ type: 'message' }] } })
  }
  t.match(bodies.at(-1), /\[Summary of the conversation so far\]\\nhello.*four.*hello.*five/s)
  t.notMatch(bodies.at(-1), /one|two|three|will be replaced/)
})

t.test(
  'an output whose call the conversation lacks is refused, and its basis forgotten',
  async (t) => {
    const { url, bodies } = await setUp(t)
    const client = await FrameClient.open(t, url)
    const first = await client.ask({ input: 'one', store: false })
    const previous = { previous_response_id: responseIdOf(first), store: false }
    const output = { type: 'function_call_output', call_id: 'call_unknown', output: '4' }
    const stray = await client.ask({ ...previous, input: [output] })
    t.match(stray, [
      {
        type: 'error',
        status: 400,
        error: { message: /No tool call found.*'call_unknown'/, param: 'input[0].call_id' }
      }
    ])
    const again = await client.ask({ ...previous, input: 'two' })
    t.match(again, [{ type: 'error', error: { code: 'previous_response_not_found' } }])
    const call = { type: 'function_call', call_id: 'call_unknown', name: 'add', arguments: '{}' }
    const whole = await client.ask({ input: ['one', output], store: false })
    t.match(whole.at(-1), { type: 'response.completed' }, 'the client may have cut its call off')
    const goesOn = { previous_response_id: responseIdOf(whole), store: false }
    const both = await client.ask({ ...goesOn, input: [call, output] })
    t.match(both.at(-1), { type: 'response.completed' }, 'the call may come with its output')
    t.equal(bodies.length, 3)
  }
)

t.test('the upstream gets the bytes of the same conversation over HTTP', async (t) => {
  const { url, bodies } = await setUp(t)
  const client = await FrameClient.open(t, url)
  const settings = {
    model: 'auto',
    store: false,
    instructions: 'Be terse. '.repeat(2_000),
    prompt_cache_key: 'session',
    tools: [{ type: 'function', name: 'read', parameters: { type: 'object' } }]
  }
  const items: unknown[] = []
  let previous: string | undefined
  for (const number of Array.from({ length: 5 }).keys()) {
    const call = { call_id: `call_${number}`, name: 'read', arguments: '{}' }
    const news = [
      { role: 'user', content: `question ${number} ${'words '.repeat(5_000)}` },
      { type: 'function_call', ...call },
      { type: 'function_call_output', call_id: call.call_id, output: 'a file' }
    ]
    items.push(...news)
    const own = previous === undefined ? {} : { previous_response_id: previous }
    const events = await client.ask({ ...settings, ...own, input: news })
    const body = JSON.stringify({ ...settings, input: items })
    const headers = { authorization: 'Bearer good-key', 'content-type': 'application/json' }
    const answer = await fetch(`${url}/v1/responses`, { method: 'POST', headers, body })
    t.equal(answer.status, 200)
    const { output }: { output: unknown[] } = JSON.parse(await answer.text())
    items.push(...output)
    t.equal(bodies.at(-2), bodies.at(-1), `turn ${number}`)
    previous = responseIdOf(events)
  }
})

t.test('each lane has a conversation, which may go on in another lane', async (t) => {
  const { url, bodies } = await setUp(t)
  const client = await FrameClient.open(t, url)
  const ask = async (lane: string | null, input: string, previous?: string): Promise<string> => {
    const events = await client.ask({
      input,
      store: false,
      ...(lane !== null && { stream_id: lane }),
      ...(previous !== undefined && { previous_response_id: previous })
    })
    t.equal(events.at(-1)?.type, 'response.completed', input)
    return responseIdOf(events)
  }
  const a = await ask('a', 'one')
  const b = await ask('b', 'two')
  await ask(null, 'three')
  await ask('a', 'four', a)
  t.match(bodies.at(-1), /one.*four/s)
  await ask('c', 'five', b)
  t.match(bodies.at(-1), /two.*five/s)
  await ask('b', 'six', b)
  t.match(bodies.at(-1), /two.*six/s)
  for (const number of Array.from({ length: 33 }).keys()) await ask(`lane ${number}`, 'hi')
  const late = await client.ask({ input: 'seven', stream_id: 'b', previous_response_id: b })
  t.match(late, [{ type: 'error', error: { code: 'previous_response_not_found' } }])
})

t.test('a warm-up keeps its items and asks no model', async (t) => {
  const { url, bodies } = await setUp(t)
  const client = await FrameClient.open(t, url)
  const events = await client.ask({ generate: false, input: 'one', store: false })
  t.match(events, [
    { type: 'response.created', response: { status: 'in_progress' } },
    { type: 'response.completed', response: { status: 'completed', output: [] } }
  ])
  t.equal(bodies.length, 0)
  await client.ask({ previous_response_id: responseIdOf(events), input: 'two' })
  t.match(bodies[0], /one.*two/s)
})

t.test('requests wait for the answer before them, and each lane hears its own', async (t) => {
  const { url } = await setUp(t)
  const client = await FrameClient.open(t, url)
  for (const lane of ['a', 'b', 'c']) client.create({ input: lane, stream_id: lane })
  for (const lane of ['a', 'b', 'c']) {
    const events = await client.answer()
    t.equal(events.at(-1)?.type, 'response.completed')
    t.ok(
      events.every((event) => event['stream_id'] === lane),
      lane
    )
  }
})

t.test(
  'a failed continuation forgets what it went on from, a cancelled one does not',
  async (t) => {
    const answers: ((response: ServerResponse) => void)[] = []
    const { url, upstream } = await setUp(t, {
      onRequest: (response) => {
        const answer = answers.shift()
        if (answer !== undefined) return answer(response)
        response.write(textFrame('hello'))
        response.end(endFrame)
      }
    })
    const client = await FrameClient.open(t, url)
    const first = await client.ask({ input: 'one', store: false })
    const previous = { previous_response_id: responseIdOf(first), store: false }

    const begun = Promise.withResolvers<ServerResponse>()
    answers.push((response) => {
      response.write(textFrame('half'))
      begun.resolve(response)
    })
    client.create({ ...previous, input: 'two' })
    const cut = once(await begun.promise, 'close')
    for (let event = await client.next(); event.type !== 'response.output_text.delta'; ) {
      event = await client.next()
    }
    client.send({ type: 'response.cancel' })
    t.match((await client.answer()).at(-1), { type: 'response.failed' })
    await cut
    t.ok(upstream.requests, 'the upstream is stopped')
    t.match((await client.ask({ ...previous, input: 'two' })).at(-1), {
      type: 'response.completed'
    })

    const second = await client.ask({ input: 'one', store: false })
    const failing = { previous_response_id: responseIdOf(second), store: false }
    const bad = await client.ask({ ...failing, input: [{ type: 'item_reference', id: 'msg_no' }] })
    t.match(bad, [{ type: 'error', status: 400 }])
    const after = await client.ask({ ...failing, input: 'two' })
    t.match(after, [{ type: 'error', error: { code: 'previous_response_not_found' } }])
  }
)

t.test('the memory of a message is freed unless it has content of other frames', async (t) => {
  const read = 40_000
  const freed = (from: number, to: number): boolean => {
    const memory = new ArrayBuffer(read)
    freeMessage(Buffer.from(memory, from, to - from))
    return memory.detached
  }
  t.ok(freed(0, read), 'put together from several reads')
  t.ok(freed(8, read), 'behind its header')
  t.ok(freed(14, read), 'behind its header and a frame without content')
  t.notOk(freed(15, read), 'behind a ping of one byte')
  t.notOk(freed(8, read - 1), 'before another frame')
  t.notOk(freed(read - 8, read), 'short')
})
