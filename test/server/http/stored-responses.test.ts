import { on, once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import OpenAI from 'openai'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

t.setTimeout(60_000)

const KEYS = { PROXY_API_KEY: 'good-key,other-key' }
const UNKNOWN = `resp_${'0'.repeat(32)}`

interface SetUp {
  readonly stateDir?: string
  readonly env?: Readonly<Record<string, string>>
}

/** A worker whose upstream answers with the number of the question. */
async function setUp(t: Test, { stateDir = folderOf(t), env = {} }: SetUp = {}) {
  const asked: string[] = []
  const upstream = await CountingUpstream.start(t, (request, response) => {
    const answer = async (): Promise<void> => {
      asked.push(await text(request))
      response.write(textFrame(`answer ${asked.length}`))
      response.end(endFrame)
    }
    void answer() // the request is read, or the test has failed
  })
  const { url } = await FakePrimary.start(t, upstream.url, {
    env: { ...KEYS, STATE_DIR: stateDir, ...env }
  })
  const clientOf = (apiKey: string): OpenAI =>
    new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0 })
  const stored = (): readonly string[] => {
    try {
      return readdirSync(join(stateDir, 'responses'))
    } catch {
      return []
    }
  }
  return {
    url,
    asked,
    stored,
    upstream,
    client: clientOf('good-key'),
    other: clientOf('other-key')
  }
}

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'stored-responses-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const model = 'auto'

t.test('a stored response is read and deleted with the SDK', async (t) => {
  const { client, stored } = await setUp(t)
  const made = await client.responses.create({ model, input: 'hi', metadata: { a: 'b' } })
  t.same(await client.responses.retrieve(made.id), made)
  const stream = await client.responses.create({ model, input: 'hi', stream: true })
  for await (const event of stream) {
    if (event.type !== 'response.completed') continue
    t.same(
      { ...(await client.responses.retrieve(event.response.id)), output_text: undefined },
      { ...event.response, output_text: undefined },
      'as its last event told it'
    )
  }
  t.equal(stored().length, 4)
  const [item] = made.output
  for (const id of [item?.id ?? '', `${made.id}.input`]) {
    t.match(await refusal(client.delete(`/responses/${id}`)), { status: 404 }, 'no response')
  }
  t.same(await client.delete(`/responses/${made.id}`), {
    id: made.id,
    object: 'response',
    deleted: true
  })
  t.equal(stored().length, 2, 'and nothing of it is left')
  t.match(await refusal(client.responses.retrieve(made.id)), { status: 404 })
  t.match(await refusal(client.responses.delete(made.id)), { status: 404 })
})

t.test('input items come in pages, each with an id', async (t) => {
  const { client } = await setUp(t)
  const input = [
    { role: 'user', content: 'one' },
    {
      type: 'message',
      id: 'msg_own',
      role: 'user',
      content: [{ type: 'input_text', text: 'two' }]
    },
    { type: 'function_call', call_id: 'c', name: 'ls', arguments: '{}' },
    { type: 'function_call_output', call_id: 'c', output: 'a.txt' }
  ] as OpenAI.Responses.ResponseInput
  const { id } = await client.responses.create({ model, input })
  const asc = await client.responses.inputItems.list(id, { order: 'asc' })
  t.match(asc, {
    has_more: false,
    data: [
      { type: 'message', status: 'completed', role: 'user', content: [{ text: 'one' }] },
      { id: 'msg_own', content: [{ text: 'two' }] },
      { type: 'function_call', name: 'ls' },
      { type: 'function_call_output', output: 'a.txt' }
    ]
  })
  const ids = asc.data.map((item) => item.id)
  t.equal(new Set(ids).size, 4)
  t.match(ids, [/^msg_[0-9a-f]{32}$/, 'msg_own', /^fc_/, /^fc_/])
  const all: (string | undefined)[] = []
  for await (const item of client.responses.inputItems.list(id, { limit: 1 })) all.push(item.id)
  t.same(all, ids.toReversed(), 'the newest first, page by page')
  for (const query of [{ limit: 0 }, { limit: 101 }, { order: 'up' }, { after: 'msg_none' }]) {
    const listed = client.get(`/responses/${id}/input_items`, { query })
    t.match(await refusal(listed), { status: 400, param: Object.keys(query)[0] })
  }
})

t.test('pages end where a client has used an id twice', async (t) => {
  const { client } = await setUp(t)
  const item = { type: 'message', id: 'msg_same', role: 'user', content: 'again' }
  const input = [item, item, item] as OpenAI.Responses.ResponseInput
  const { id } = await client.responses.create({ model, input })
  const pages = client.responses.inputItems.list(id, { limit: 1 })
  const all: unknown[] = []
  for await (const one of pages) if (all.push(one) > 3) break
  t.ok(all.length <= 3, `${all.length} items`)
})

t.test('a response is deleted while it is answered', async (t) => {
  const { client, stored, upstream } = await setUp(t)
  const deleted = Promise.withResolvers<void>()
  upstream.onRequest = (_request, response) => {
    response.write(textFrame('begun'))
    void deleted.promise.then(() => response.end(endFrame)) // cannot reject
  }
  const stream = await client.responses.create({ model, input: 'hi', stream: true })
  let id = ''
  for await (const event of stream) {
    if (event.type === 'response.created') id = event.response.id
    if (event.type !== 'response.output_text.delta') continue
    // A file that is still being written begins with a dot.
    while (!stored().some((name) => !name.startsWith('.')))
      await new Promise((resolve) => setTimeout(resolve, 5))
    t.match(await client.delete(`/responses/${id}`), { deleted: true })
    deleted.resolve()
  }
  t.match(await refusal(client.responses.retrieve(id)), { status: 404 })
  t.same(stored(), [])
})

t.test('a conversation goes on from a stored response, in every worker', async (t) => {
  const stateDir = folderOf(t)
  const { client, asked } = await setUp(t, { stateDir })
  const first = await client.responses.create({
    model,
    instructions: 'be brief',
    input: 'first question'
  })
  const second = await client.responses.create({
    model,
    input: [{ role: 'user', content: 'second question' }],
    previous_response_id: first.id
  })
  const later = await setUp(t, { stateDir })
  await later.client.responses.create({
    model,
    store: false,
    input: 'third question',
    previous_response_id: second.id
  })
  const words = /first question.*answer 1.*second question.*answer 2.*third question/s
  t.match(inOrder(later.asked[0]), words)
  t.notMatch(later.asked[0], /be brief/, 'instructions are of one request')
  t.match(inOrder(asked[1]), /first question.*answer 1.*second question/s)
  await later.client.responses.delete(first.id)
  const broken = later.client.responses.create({
    model,
    input: 'fourth',
    previous_response_id: second.id
  })
  t.match(await refusal(broken), {
    status: 400,
    code: 'previous_response_not_found',
    param: 'previous_response_id'
  })
})

t.test('what was asked may refer to items of other answers', async (t) => {
  const { client, asked } = await setUp(t)
  const apart = await client.responses.create({ model, input: 'apart' })
  const [item] = apart.output
  const referring = await client.responses.create({
    model,
    input: [
      { type: 'item_reference', id: item?.id ?? '' },
      { role: 'user', content: 'so?' }
    ]
  })
  await client.responses.create({ model, input: 'and?', previous_response_id: referring.id })
  t.match(inOrder(asked[2]), /answer 1.*so\?.*answer 2.*and\?/s)
})

t.test('a WebSocket goes on after a cut, if all was stored', async (t) => {
  const { url, asked } = await setUp(t)
  const cut = async (messages: readonly object[]): Promise<string> => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/responses`, {
      headers: { authorization: 'Bearer good-key' }
    })
    await once(socket, 'open')
    let id = ''
    for (const message of messages) {
      const previous = id === '' ? {} : { previous_response_id: id }
      socket.send(JSON.stringify({ type: 'response.create', model, ...previous, ...message }))
      for await (const [data] of on(socket, 'message')) {
        const event = JSON.parse(String(data))
        if (event.type === 'error') return `${event.status} ${event.error.code}`
        id = event.response?.id ?? id
        if (event.type === 'response.completed') break
      }
    }
    socket.terminate()
    return id
  }
  const id = await cut([{ input: 'one' }, { input: 'two' }])
  t.match(await cut([{ input: 'three', previous_response_id: id }]), /^resp_/)
  t.match(inOrder(asked[2]), /one.*answer 1.*two.*answer 2.*three/s)
  const unstored = await cut([{ input: 'one', store: false }, { input: 'two' }])
  t.equal(
    await cut([{ input: 'three', previous_response_id: unstored }]),
    '400 previous_response_not_found',
    'one of them was not'
  )
})

t.test('what is stored belongs to the key that asked', async (t) => {
  const { client, other } = await setUp(t)
  const { id } = await client.responses.create({ model, input: 'mine' })
  const told = async (call: Promise<unknown>): Promise<string> => {
    const { status, code, message } = await call.then(
      () => new OpenAI.APIError(200, undefined, 'served', undefined),
      (error: InstanceType<typeof OpenAI.APIError>) => error
    )
    return `${status} ${code} ${message}`.replaceAll(id, UNKNOWN)
  }
  for (const ask of [
    (one: string) => other.responses.retrieve(one),
    (one: string) => other.responses.delete(one),
    (one: string) => other.responses.cancel(one),
    (one: string) => other.get(`/responses/${one}/input_items`),
    (one: string) => other.responses.create({ model, input: 'x', previous_response_id: one })
  ]) {
    const answer = await told(ask(id))
    t.match(answer, /^40[04] /)
    t.equal(answer, await told(ask(UNKNOWN)), 'as if it had never been')
  }
  t.equal((await client.responses.retrieve(id)).id, id)
})

t.test('nothing is stored of a request that does not want it, or that fails', async (t) => {
  const { client, stored, upstream } = await setUp(t)
  const { id } = await client.responses.create({ model, input: 'hi', store: false })
  t.same(stored(), [])
  t.match(await refusal(client.responses.retrieve(id)), { status: 404 })
  upstream.onRequest = (_request, response) => response.writeHead(400).end('{}')
  t.match(await refusal(client.responses.create({ model, input: 'hi' })), { status: 400 })
  while (stored().length > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.same(stored(), [])
  const off = await setUp(t, { env: { RESPONSE_STORE_MAX_BYTES: '0' } })
  const unkept = await off.client.responses.create({ model, input: 'hi' })
  t.same(off.stored(), [])
  t.match(await refusal(off.client.responses.retrieve(unkept.id)), { status: 404 })
})

t.test('what cannot be done with a stored response is said', async (t) => {
  const { client } = await setUp(t)
  const { id } = await client.responses.create({ model, input: 'hi' })
  t.match(await refusal(client.responses.retrieve(id, { stream: true })), {
    status: 400,
    param: 'stream',
    message: /cannot be streamed/
  })
  t.match(await refusal(client.responses.cancel(id)), { status: 400, message: /background/ })
  t.match(await refusal(client.responses.cancel(UNKNOWN)), { status: 404 })
  t.match(await refusal(client.responses.retrieve('resp_../../secret')), { status: 404 })
})

/** The error that a call is refused with. */
function refusal(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => null,
    (error: unknown) => error
  )
}

/** The words of a conversation as the upstream got them, oldest first: it gets the last message first. */
function inOrder(body = ''): string {
  const { conversationState } = JSON.parse(body)
  return JSON.stringify([conversationState.history, conversationState.currentMessage])
}
