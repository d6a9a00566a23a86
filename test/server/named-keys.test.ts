import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import t, { type Test } from 'tap'
import { BUILT_IN_CATALOGUE, type Catalogue } from '../../src/kiro/models/models.ts'
import type { NamedKey } from '../../src/keys/key.ts'
import { startChat } from '../helper/chat-client.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { FakePrimary } from '../helper/fake-primary.ts'
import { FrameClient } from '../helper/frame-client.ts'
import { hashOfKey, namedKey } from '../helper/named-key.ts'
import { endFrame, textFrame } from '../helper/upstream-frames.ts'

const anna = namedKey({
  hashes: [hashOfKey('annas')],
  models: ['claude-haiku-4*', 'claude-haiku-big', 'mine']
})

/** A worker that knows anna's key, and counts what it asks of the upstream. */
async function rig(t: Test, catalogue: Catalogue = LIVE, permits = 10) {
  let asked = 0
  const upstream = await CountingUpstream.start(t, (_request, response) => {
    asked++
    response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' })
    response.end(Buffer.concat([textFrame('hello'), endFrame]))
  })
  const primary = await FakePrimary.start(t, upstream.url, {
    env: { MODEL_ALIASES: 'mine=claude-opus-4.6,claude-haiku-big=claude-opus-4.6' },
    permits,
    start: { knownKeys: { isKeyRequired: true, keys: [anna] }, catalogue }
  })
  const post = async (path: string, body: object, key = 'annas') => {
    const response = await fetch(primary.url + path, {
      method: 'POST',
      headers: { 'x-api-key': key, 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], max_tokens: 9, ...body })
    })
    return { status: response.status, json: await response.json() }
  }
  const get = async (path: string, headers = {}) => {
    const response = await fetch(primary.url + path, {
      headers: { 'x-api-key': 'annas', ...headers }
    })
    return { status: response.status, json: await response.json() }
  }
  return { primary, post, get, asked: () => asked }
}

const LIVE = { ...BUILT_IN_CATALOGUE, isLive: true }

t.test('a key with a list of models', (t) => {
  t.test('may ask those, and aliases of the operator that are listed', async (t) => {
    const { post, asked } = await rig(t)
    for (const model of ['claude-haiku-4.5', 'claude-haiku-4-5-20251001', 'mine']) {
      t.match(await post('/v1/messages', { model }), { status: 200 }, model)
    }
    t.equal(asked(), 3)
  })

  t.test('may ask nothing else, whatever it is called', async (t) => {
    const { post, asked } = await rig(t)
    t.match(await post('/v1/messages', { model: 'claude-opus-4.6' }), {
      status: 403,
      json: {
        error: {
          type: 'permission_error',
          message:
            /"anna" does not allow the model "claude-opus-4.6"\. It allows mine, .*claude-haiku-4\.5/
        }
      }
    })
    const chat = await post('/v1/chat/completions', { model: 'auto' })
    t.match(chat, {
      status: 403,
      json: { error: { type: 'permission_error', param: 'model' } }
    })
    t.match(await post('/v1/responses', { model: 'auto', input: 'hi', messages: undefined }), {
      status: 403
    })
    t.equal(asked(), 0)
    t.match(await post('/v1/messages', { model: 'auto' }, 'good-key'), { status: 200 })
  })

  t.test('sees only those', async (t) => {
    const { get } = await rig(t)
    const list = async (headers = {}): Promise<readonly string[]> => {
      const { json } = (await get('/v1/models', headers)) as { json: { data: { id: string }[] } }
      return json.data.map(({ id }) => id)
    }
    t.same((await list()).toSorted(), ['claude-haiku-4.5', 'claude-haiku-big', 'mine'])
    const anthropic = { 'anthropic-version': '2023-06-01' }
    t.equal((await list(anthropic)).length, 3)
    const seen = await list({ ...anthropic, 'user-agent': 'claude-code/2.1.332' })
    t.same(seen.toSorted(), ['claude-haiku-4-5', 'claude-haiku-big', 'mine'], 'as Claude Code does')
    t.match(await get('/v1/models/claude-haiku-4-5'), { status: 200 })
    t.match(await get('/v1/models/mine'), { status: 200, json: { id: 'mine' } })
    t.match(await get('/v1/models/claude-opus-4.6'), { status: 403 })
  })

  t.test('is told of no others when it asks for one that does not exist', async (t) => {
    const { post, get } = await rig(t)
    const told = /does not exist.*"anna" allows mine, claude-haiku-big, claude-haiku-4\.5\.$/
    const answers = [
      await post('/v1/messages', { model: 'gtp-5' }),
      await post('/v1/chat/completions', { model: 'gtp-5' }),
      await get('/v1/models/gtp-5')
    ]
    for (const answer of answers) {
      t.match(answer, { status: 404, json: { error: { message: told } } })
    }
    const other = await post('/v1/messages', { model: 'gtp-5' }, 'good-key')
    t.match(other, { status: 404, json: { error: { message: /nearest are: / } } })
  })

  t.test('has tokens counted for those alone, and is told of no others', async (t) => {
    const { post } = await rig(t)
    const count = (model: string) => post('/v1/messages/count_tokens', { model })
    t.match(await count('claude-haiku-4.5'), { status: 200 })
    t.match(await count('mine'), { status: 200 })
    t.match(await count('claude-opus-4.6'), { status: 403, json: { error: { message: /"anna"/ } } })
    const unknown = await count('claud-opus-4.6')
    t.equal(unknown.status, 404)
    t.notMatch(JSON.stringify(unknown.json), /claude-(opus|sonnet|fable)|gpt|auto/)
  })

  t.test('is told by lint what would become of its request', async (t) => {
    const { post } = await rig(t)
    const lint = async (model: string) =>
      (await post('/v1/lint?dialect=anthropic-messages', { model })).json
    t.match(await lint('mine'), { ok: true, findings: [] })
    const refused = {
      ok: false,
      findings: [{ rule: 'model-known', severity: 'refused', pointer: '/model', message: /"anna"/ }]
    }
    for (const model of ['claude-opus-4.6', 'auto', 'claud-opus-4.6']) {
      const report = await lint(model)
      t.match(report, refused, model)
      t.equal((report as typeof refused).findings.length, 1, 'nothing of what stands in for it')
      const others = JSON.stringify(report).replaceAll(model, '').replaceAll('claude-haiku', '')
      t.notMatch(others, /claude-|gpt|auto/)
    }
  })

  t.test('does not see another by a name that only looks like one of its own', async (t) => {
    const models = BUILT_IN_CATALOGUE.models.filter(({ id }) => !id.includes('haiku'))
    const { get, post } = await rig(t, { models, isLive: true })
    t.match(await post('/v1/messages', { model: 'claude-haiku-9' }), { status: 403 })
    t.match(await get('/v1/models/claude-haiku-9'), { status: 403 })
  })
  t.end()
})

t.test('the operator’s figures are not for named keys', async (t) => {
  const { get } = await rig(t)
  t.match(await get('/metrics'), { status: 403, json: { error: { type: 'permission_error' } } })
})

t.test('a key that is changed or revoked', async (t) => {
  const { primary } = await rig(t)
  const ask = () => startChat(primary.url, 'hi', { headers: { 'x-api-key': 'annas' } }).answer
  t.match(await ask(), { status: 403 })
  primary.tell({
    type: 'keys.changed',
    knownKeys: { isKeyRequired: true, keys: [{ ...anna, models: null }] }
  })
  t.match(await ask(), { status: 200 })
  const revoked = { ...anna, revokedAt: Date.parse('2026-09-09') }
  primary.tell({ type: 'keys.changed', knownKeys: { isKeyRequired: true, keys: [revoked] } })
  t.match(await ask(), { status: 401, text: /was revoked on 2026-09-09/ })
  primary.tell({ type: 'keys.changed', knownKeys: { isKeyRequired: true, keys: [] } })
  t.match(await ask(), { status: 401, text: /invalid_api_key/ })
})

/** Anna and the operator wait for a connection; she does on a WebSocket, too. */
async function waitingRig(t: Test) {
  const { primary, asked } = await rig(t, LIVE, 0)
  const change = (key: Partial<NamedKey>): void =>
    primary.tell({
      type: 'keys.changed',
      knownKeys: { isKeyRequired: true, keys: [{ ...anna, models: null, ...key }] }
    })
  change({})
  const ask = (key: string) =>
    // As a page sends it, which has a session in place of a key.
    startChat(primary.url, 'hi', { headers: { 'x-api-key': key, 'x-csrf-token': 'made-up' } })
      .answer
  const [annas, others] = [ask('annas'), ask('good-key')]
  const socket = await FrameClient.open(t, primary.url, { key: 'annas' })
  socket.create({ input: 'hi', model: 'claude-haiku-4.5' })
  while ((await primary.heard('lease.report')).waiting < 3);
  return { primary, change, annas, others, socket, asked }
}

t.test('requests that wait end with their key, and nothing is asked for them', async (t) => {
  const { primary, change, annas, others, socket, asked } = await waitingRig(t)
  change({ revokedAt: Date.parse('2026-09-09') })
  t.match(await annas, { status: 401, text: /was revoked on 2026-09-09/ })
  t.match(await socket.answer(), [{ type: 'error', status: 401 }])
  t.match(await socket.closed, { code: 1008 })
  primary.grant({ granted: 1 })
  t.match(await others, { status: 200 })
  t.equal(asked(), 1)
})

t.test('a request that is still read ends with its key', async (t) => {
  const { primary, asked } = await rig(t)
  const call = request(`${primary.url}/v1/messages`, {
    method: 'POST',
    agent: false,
    headers: { 'x-api-key': 'annas', 'content-length': 100, expect: '100-continue' }
  })
  t.teardown(() => call.destroy())
  call.on('error', () => {}) // the rest of its body is never sent
  call.flushHeaders()
  await once(call, 'continue')
  call.write('{')
  const revoked = { ...anna, revokedAt: Date.parse('2026-09-09') }
  primary.tell({ type: 'keys.changed', knownKeys: { isKeyRequired: true, keys: [revoked] } })
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  t.equal(response.statusCode, 401)
  t.equal(asked(), 0)
})

for (const [what, ending] of [
  ['a key', (at: number) => ({ expiresAt: at })],
  ['a former secret', (at: number) => ({ hashes: [hashOfKey('annas', at)] })]
] as const) {
  t.test(`requests that wait end when ${what} expires`, async (t) => {
    const { primary, change, annas, others, socket, asked } = await waitingRig(t)
    change(ending(Date.now() + 300))
    t.match(await annas, { status: 401, text: /has expired on|was replaced by a newer one/ })
    t.match(await socket.answer(), [{ type: 'error', status: 401 }])
    t.match(await socket.closed, { code: 1008 })
    primary.grant({ granted: 1 })
    t.match(await others, { status: 200 })
    t.equal(asked(), 1)
  })
}
