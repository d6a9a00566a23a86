import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { BUILT_IN_CATALOGUE } from '../../src/kiro/models/models.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { FakePrimary } from '../helper/fake-primary.ts'
import { endFrame, textFrame } from '../helper/upstream-frames.ts'

/** The tool's name and the second user turn need a repair in every dialect. */
const requests = {
  '/v1/chat/completions': {
    model: 'auto',
    messages: [
      { role: 'user', content: 'one' },
      { role: 'user', content: 'two' }
    ],
    tools: [{ type: 'function', function: { name: 'a.b', description: 'A' } }]
  },
  '/v1/messages': {
    model: 'auto',
    max_tokens: 100,
    messages: [
      { role: 'user', content: 'one' },
      { role: 'user', content: 'two' }
    ],
    tools: [{ name: 'a.b', description: 'A', input_schema: { type: 'object', properties: {} } }]
  },
  '/v1/responses': {
    model: 'auto',
    store: false,
    input: [
      { role: 'user', content: 'one' },
      { role: 'user', content: 'two' }
    ],
    tools: [
      {
        type: 'function',
        name: 'a.b',
        description: 'A',
        parameters: { type: 'object', properties: {} }
      }
    ]
  }
} as const
const REPAIRS = 'tool-name-changed, turns-merged'

async function setUp(t: Test, catalogue = BUILT_IN_CATALOGUE) {
  const answer = Buffer.concat([textFrame('hello'), endFrame])
  const upstream = await CountingUpstream.start(t, (_request, response) => response.end(answer))
  const primary = await FakePrimary.start(t, upstream.url, { start: { catalogue } })
  const post = (path: string, body: object) =>
    fetch(`${primary.url}${path}`, {
      method: 'POST',
      headers: { authorization: 'Bearer good-key' },
      body: JSON.stringify(body)
    })
  /** How often each repair was made. */
  const counted = async (): Promise<Readonly<Record<string, number>>> => {
    const snapshot = primary.heard('metrics.snapshot')
    primary.tell({ type: 'metrics.collect' })
    const all = (await snapshot).metrics as readonly CounterSnapshot[]
    const found = all.find(({ name }) => name === 'kiro_gateway_repairs_total')
    return Object.fromEntries(
      (found?.values ?? []).map(({ labels, value }) => [labels.code, value])
    )
  }
  return { upstream, post, counted }
}

interface CounterSnapshot {
  readonly name: string
  readonly values: readonly { readonly labels: { readonly code: string }; readonly value: number }[]
}

function refuse(message: string, reason: string | null, status = 400) {
  return (_request: unknown, response: ServerResponse): void => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ message, reason }))
  }
}

t.test('repairs are named in a header and counted', async (t) => {
  const { upstream, post, counted } = await setUp(t)
  for (const [path, body] of Object.entries(requests)) {
    for (const stream of [false, true]) {
      const response = await post(path, { ...body, stream })
      await response.text()
      t.equal(response.status, 200, path)
      t.equal(response.headers.get('x-kiro-gateway-repairs'), REPAIRS, `${path} ${stream}`)
    }
  }
  t.match(await counted(), { 'tool-name-changed': 6, 'turns-merged': 6 })

  t.test('on errors too', async (t) => {
    upstream.onRequest = refuse('Improperly formed request.', null)
    for (const [path, body] of Object.entries(requests)) {
      const response = await post(path, body)
      await response.text()
      t.equal(response.status, 400, path)
      t.equal(response.headers.get('x-kiro-gateway-repairs'), REPAIRS, path)
    }
    t.match(await counted(), { 'tool-name-changed': 9 })
  })

  t.test('and a request that needs none has no header', async (t) => {
    const body = { model: 'auto', messages: [{ role: 'user', content: 'hi' }] }
    const response = await post('/v1/chat/completions', body)
    t.equal(response.headers.get('x-kiro-gateway-repairs'), null)
    t.equal(response.headers.get('x-kiro-gateway-model'), null)
    await response.text()
  })
})

/** A Messages request, and one of Chat Completions. */
function long(chars: number): object {
  const messages = [{ role: 'user', content: 'x'.repeat(chars) }]
  return { model: 'auto', max_tokens: 100, messages }
}

t.test('a refusal that explains nothing names what is borderline', async (t) => {
  const { upstream, post } = await setUp(t)
  const messageOf = async (path: string, body: object): Promise<string> => {
    const json = (await (await post(path, body)).json()) as { error: { message: string } }
    return json.error.message
  }
  const large = long(590_000)
  for (const [message, reason] of [
    ['Improperly formed request.', null],
    ['Improperly formed request.', 'REQUEST_BODY_INVALID'],
    ['Something else.', 'REQUEST_BODY_INVALID']
  ] as const) {
    upstream.onRequest = refuse(message, reason)
    for (const path of ['/v1/chat/completions', '/v1/messages']) {
      const told = await messageOf(path, large)
      t.match(told, message.slice(0, -1))
      t.match(told, /payload-size \(The body has at most about 600 000 bytes\.\)/)
      t.match(told, /turn-length/)
      t.match(told, 'POST /v1/lint')
    }
    t.match(await messageOf('/v1/messages', long(5)), /The request is not near any known limit/)
  }
  upstream.onRequest = refuse('profile is not allowed', null)
  t.notMatch(await messageOf('/v1/messages', large), /payload-size/, 'others explain themselves')

  t.test('and if that is its size, the client is told what makes it compact', async (t) => {
    upstream.onRequest = refuse('Improperly formed request.', null)
    const answer = await post('/v1/chat/completions', long(610_000))
    t.equal(answer.status, 400)
    t.match(await answer.json(), { error: { code: 'context_length_exceeded' } })
    t.match(await messageOf('/v1/messages', long(610_000)), /^prompt is too long: /)
    upstream.onRequest = refuse('Improperly formed request.', 'REQUEST_BODY_INVALID')
    t.notMatch(await messageOf('/v1/messages', long(610_000)), /too long/)
  })
})

t.test('a model that is not listed: the header says which one answers', async (t) => {
  const { post } = await setUp(t, { ...BUILT_IN_CATALOGUE, isLive: true })
  for (const stream of [false, true]) {
    const response = await post('/v1/chat/completions', {
      model: 'claude-sonet-4.5',
      messages: [{ role: 'user', content: 'hi' }],
      stream
    })
    const text = await response.text()
    t.equal(response.headers.get('x-kiro-gateway-repairs'), 'model-substituted')
    t.match(response.headers.get('x-kiro-gateway-model'), /^claude-sonnet-\d/)
    t.match(text, '"model":"claude-sonet-4.5"', 'the answer has the name that was asked for')
  }
})
