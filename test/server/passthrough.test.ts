import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { GOOD_STATUS } from '../../src/ipc/messages.ts'
import { startChat } from '../helper/chat-client.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { FakePrimary } from '../helper/fake-primary.ts'
import { endFrame, textFrame } from '../helper/upstream-frames.ts'

interface Call {
  readonly path: string
  readonly token: string
  readonly type: string | undefined
  readonly arn: string | undefined
}

const NO_SIGN_IN = {
  snapshot: null,
  problem: { code: 'GW_KEY_INVALID', message: 'This gateway has no sign-in of its own.' }
} as const

/** A worker that lets Kiro keys through, and an upstream that knows two of them. */
async function rig(
  t: Test,
  env: Record<string, string> = {},
  { hasSignIn = false, permits = 10 }: { hasSignIn?: boolean; permits?: number } = {}
) {
  const calls: Call[] = []
  const replies = new Map<string, (response: ServerResponse) => void>()
  const upstream = await CountingUpstream.start(t, (request, response) => {
    const call = callOf(request)
    calls.push(call)
    const reply = replies.get(call.token)
    if (reply !== undefined) return reply(response)
    serve(request, call, response)
  })
  const start = hasSignIn ? {} : { news: NO_SIGN_IN }
  const primary = await FakePrimary.start(t, upstream.url, {
    env: { KIRO_KEY_PASSTHROUGH: 'true', ...env },
    start,
    permits
  })
  const chat = (key: string) =>
    startChat(primary.url, 'hello', { headers: { authorization: `Bearer ${key}` } }).answer
  const get = async (path: string, key: string, signal: AbortSignal | null = null) => {
    const response = await fetch(primary.url + path, { headers: { 'x-api-key': key }, signal })
    return { status: response.status, text: await response.text() }
  }
  return { calls, replies, primary, chat, get, manage: upstream.url.origin }
}

function callOf({ url = '', headers }: IncomingMessage): Call {
  return {
    path: new URL(url, 'http://upstream').pathname,
    token: (headers.authorization ?? '').replace('Bearer ', ''),
    type: headers['tokentype'] as string | undefined,
    arn: headers['x-amzn-kiro-profile-arn'] as string | undefined
  }
}

function serve(request: IncomingMessage, { path, token }: Call, response: ServerResponse): void {
  if (path === '/generateAssistantResponse') {
    response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' })
    response.end(Buffer.concat([textFrame(`for ${token}`), endFrame]))
    return
  }
  const models = { models: [{ modelId: `model-of-${token}` }] }
  const used = { usageBreakdownList: [{ currentUsage: token.length }] }
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(request.method === 'GET' ? used : models))
}

function refuseKey(response: ServerResponse): void {
  response.writeHead(403, { 'content-type': 'application/json' })
  response.end('{"message":"The bearer token included in the request is invalid."}')
}

t.test('a client’s own Kiro key is what the upstream is asked with', async (t) => {
  const { chat, calls, primary } = await rig(t)
  t.match(await chat('ksk_one'), { status: 200, text: /for ksk_one/ })
  t.match(await chat('ksk_two'), { status: 200, text: /for ksk_two/ })
  const generations = calls.filter(({ path }) => path === '/generateAssistantResponse')
  t.match(generations, [
    { token: 'ksk_one', type: 'API_KEY', arn: undefined },
    { token: 'ksk_two', type: 'API_KEY', arn: undefined }
  ])
  t.notMatch(JSON.stringify(primary.messages), /ksk_/, 'the primary hears nothing of it')
})

t.test('a new Kiro key may send its first request in small pieces, as any key may', async (t) => {
  const { primary } = await rig(t)
  const content = 'word '.repeat(800)
  const body = JSON.stringify({ model: 'auto', messages: [{ role: 'user', content }] })
  const { port } = new URL(primary.url)
  const client = connect(Number(port), '127.0.0.1')
  t.teardown(() => client.destroy())
  const chunks = body.match(/.{1,9}/gs)?.map((part) => `${part.length}\r\n${part}\r\n`) ?? []
  t.ok(chunks.length > 400)
  client.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ksk_new\r\ntransfer-encoding: chunked\r\n\r\n${chunks.join('')}0\r\n\r\n`
  )
  const [answer] = await once(client, 'data')
  t.match(String(answer), /^HTTP\/1.1 200 /)
})

t.test('keys of the gateway use its own sign-in, if it has one', async (t) => {
  const own = await rig(t, {}, { hasSignIn: true })
  t.match(await own.chat('good-key'), { status: 200, text: /for token-1/ })
  t.match(await own.chat('ksk_one'), { status: 200, text: /for ksk_one/ })
  const none = await rig(t)
  t.match(await none.chat('good-key'), { status: 401, text: /no sign-in of its own/ })
})

t.test('without keys of the gateway a Kiro key is still needed', async (t) => {
  const { chat, get } = await rig(t, { PROXY_API_KEY: '' })
  t.match(await chat('ksk_one'), { status: 200 })
  t.match(await chat('anything'), { status: 401, text: /ksk_/ })
  t.match(await get('/v1/models', ''), { status: 401 })
  t.match(await get('/readyz', ''), { status: 200 })
})

t.test('a refused key is its client’s affair', async (t) => {
  const { chat, replies, calls } = await rig(t)
  replies.set('ksk_bad', refuseKey)
  const { status, text } = await chat('ksk_bad')
  t.equal(status, 401)
  t.match(text, /rejects this Kiro API key/)
  t.notMatch(text, /ksk_bad/)
  t.equal(calls.filter(({ path }) => path === '/generateAssistantResponse').length, 1)
  t.match(await chat('ksk_good'), { status: 200 })
})

t.test('a refused key is not asked about again for a minute', async (t) => {
  const { chat, get, replies, calls } = await rig(t)
  replies.set('ksk_bad', refuseKey)
  t.match(await chat('ksk_bad'), { status: 401 })
  const before = calls.length
  t.match(await chat('ksk_bad'), { status: 401, text: /rejects this Kiro API key/ })
  t.match(await get('/v1/usage', 'ksk_bad'), { status: 401 })
  t.match(await get('/v1/models', 'ksk_bad'), { status: 401 })
  t.equal(calls.length, before)
})

t.test('keys that are new are tried at a small rate, and others are not held up', async (t) => {
  const { chat, get, calls } = await rig(t, { KIRO_KEY_NEW_PER_MINUTE: '3' })
  t.match(await chat('ksk_real'), { status: 200 })
  t.match(await get('/v1/models', 'ksk_other'), { status: 200 })
  t.match(await get('/v1/usage', 'ksk_third'), { status: 200 })
  const before = calls.length
  for (const key of ['ksk_1', 'ksk_2', 'ksk_3']) {
    t.match(await chat(key), { status: 429, text: /sent to this gateway. Try again in \d+ s/ })
    t.match(await get('/v1/models', key), { status: 429 })
    t.match(await get('/v1/usage', key), { status: 429 })
  }
  t.equal(calls.length, before, 'nobody is asked about them')
  for (const key of ['ksk_real', 'ksk_third']) t.match(await chat(key), { status: 200 })
})

/** Answers that say that the upstream has taken the key, and the status that its client gets. */
const PROOFS = [
  [402, '{"message":"You have reached the limit.","reason":"MONTHLY_REQUEST_COUNT"}', 429],
  [429, '{"message":"Slow down.","reason":"USER_REQUEST_RATE_EXCEEDED"}', 429],
  [400, '{"__type":"ValidationException","message":"Improperly formed request."}', 400],
  [400, '{"message":"Input is too long.","reason":"CONTENT_LENGTH_EXCEEDS_THRESHOLD"}', 400]
] as const

t.test('a refusal that only an accepted key can meet ends its trial', async (t) => {
  for (const [status, body, told] of PROOFS) {
    const { chat, get, replies, primary } = await rig(t, { KIRO_KEY_NEW_PER_MINUTE: '1' })
    replies.set('ksk_real', (response) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(body)
    })
    t.match(await chat('ksk_real'), { status: told }, body)
    const lesson = primary.messages.find(({ type }) => type === 'kiro-key.lesson')
    t.match(lesson, { isAccepted: true }, body)
    replies.delete('ksk_real')
    t.match(await get('/v1/usage', 'ksk_real'), { status: 200 }, 'no other try is needed')
  }
})

t.test('a rate that may be of the whole service says nothing of a key', async (t) => {
  const { chat, replies, primary } = await rig(t, { UPSTREAM_MAX_ATTEMPTS: '1' })
  replies.set('ksk_any', (response) => {
    response.writeHead(429, { 'content-type': 'application/json' })
    response.end('{"__type":"ThrottlingException","message":"Rate exceeded"}')
  })
  t.match(await chat('ksk_any'), { status: 429 })
  t.notOk(primary.messages.some(({ type }) => type === 'kiro-key.lesson'))
})

t.test('a key that is refused when its models are asked for is refused', async (t) => {
  const { get, chat, replies, calls } = await rig(t)
  replies.set('ksk_bad', refuseKey)
  t.match(await get('/v1/models', 'ksk_bad'), { status: 401, text: /rejects this/ })
  t.equal(calls.length, 1)
  t.match(await get('/v1/models', 'ksk_bad'), { status: 401 })
  t.match(await chat('ksk_bad'), { status: 401 })
  t.equal(calls.length, 1, 'nor is it asked about again')
})

t.test('a key that is refused when its region is looked for is refused', async (t) => {
  const { chat, replies, calls, manage } = await rig(t)
  const open = await rig(t, { KIRO_MANAGEMENT_URL: `${manage}/{region}` })
  replies.set('ksk_bad', refuseKey)
  open.replies.set('ksk_bad', refuseKey)
  t.match(await open.chat('ksk_bad'), { status: 401, text: /rejects this/ })
  t.equal(calls.length, 1, 'one question, of the region')
  t.equal(open.calls.length, 0, 'and none of the answer')
  t.match(await chat('ksk_good'), { status: 200 })
  t.match(await open.chat('ksk_good'), { status: 200 })
})

function refuseWithoutWords(response: ServerResponse): void {
  response.writeHead(403).end()
}

/** Serves answers, and refuses with an empty 403 whatever is asked of the account. */
function refuseSilently(response: ServerResponse): void {
  if (response.req.url !== '/generateAssistantResponse') refuseWithoutWords(response)
  else serve(response.req, callOf(response.req), response)
}

t.test('models or usage that are refused without a word say nothing of a key', async (t) => {
  const regions = await rig(t)
  for (const env of [{}, { KIRO_MANAGEMENT_URL: `${regions.manage}/{region}` }]) {
    const { get, chat, replies, primary } = await rig(t, env)
    regions.replies.clear()
    t.match(await chat('ksk_old'), { status: 200 })
    for (const key of ['ksk_old', 'ksk_new']) {
      for (const one of [replies, regions.replies]) one.set(key, refuseSilently)
      t.match(await get('/v1/models', key), { status: 200, text: /auto/ }, 'the built-in list')
      t.not((await get('/v1/usage', key)).status, 200)
      t.match(await chat(key), { status: 200 }, key)
    }
    t.notOk(
      primary.messages.some((one) => one.type === 'kiro-key.lesson' && !one.isAccepted),
      'no worker is told that one is refused'
    )
  }
})

t.test('a generation that is refused without a word says nothing of a key', async (t) => {
  const { chat, replies, calls, primary } = await rig(t)
  t.match(await chat('ksk_old'), { status: 200 })
  for (const key of ['ksk_old', 'ksk_new']) {
    replies.set(key, refuseWithoutWords)
    const before = calls.length
    t.match(await chat(key), { status: 401, text: /without a body/ }, key)
    t.equal(calls.length, before + 1, 'a key cannot be renewed')
    replies.delete(key)
    t.match(await chat(key), { status: 200 }, `${key} is tried again at once`)
  }
  t.notOk(
    primary.messages.some((one) => one.type === 'kiro-key.lesson' && !one.isAccepted),
    'no worker is told that one is refused'
  )
})

t.test('a key that is refused when the web is searched is refused', async (t) => {
  const { chat, replies, primary } = await rig(t)
  t.match(await chat('ksk_old'), { status: 200 })
  replies.set('ksk_old', refuseKey)
  const response = await fetch(`${primary.url}/v1/messages`, {
    method: 'POST',
    headers: { 'x-api-key': 'ksk_old' },
    body: JSON.stringify({
      model: 'auto',
      max_tokens: 100,
      messages: [{ role: 'user', content: 'Perform a web search for the query: node' }],
      tools: [{ type: 'web_search_20250305', name: 'web_search' }]
    })
  })
  t.equal(response.status, 401)
  t.match(await response.text(), /rejects this Kiro API key/)
  t.ok(
    primary.messages.some((one) => one.type === 'kiro-key.lesson' && !one.isAccepted),
    'all workers are told'
  )
})

t.test('many requests of a new key at once are one trial', async (t) => {
  const { chat, replies, calls } = await rig(t, { KIRO_KEY_NEW_PER_MINUTE: '1' })
  const answers = await Promise.all(Array.from({ length: 20 }, () => chat('ksk_real')))
  t.ok(answers.every(({ status }) => status === 200))
  calls.length = 0
  replies.set('ksk_bad', refuseKey)
  const refused = await Promise.all(Array.from({ length: 20 }, () => chat('ksk_bad')))
  t.ok(
    refused.every(({ status }) => status === 429),
    'the rate is used up'
  )
  t.equal(calls.length, 0)
})

t.test('a key that another worker has seen accepted needs no trial', async (t) => {
  const { chat, primary } = await rig(t, { KIRO_KEY_NEW_PER_MINUTE: '1' })
  t.match(await chat('ksk_one'), { status: 200 })
  const lesson = primary.messages.find(({ type }) => type === 'kiro-key.lesson')
  t.match(lesson, { name: /^kiro-[0-9a-f]{32}$/, isAccepted: true })
  t.match(await chat('ksk_two'), { status: 429 })
  const digest = createHash('sha256').update('ksk_two').digest('hex')
  const name = `kiro-${digest.slice(0, 32)}`
  primary.tell({ type: 'kiro-key.learnt', name, isAccepted: true })
  t.match(await chat('ksk_two'), { status: 200 })
})

t.test('made-up keys stand in line as one client', async (t) => {
  const { chat, replies, primary, calls } = await rig(
    t,
    { KIRO_KEY_NEW_PER_MINUTE: '1000' },
    { permits: 1 }
  )
  t.match(await chat('ksk_real'), { status: 200 })
  const held = Promise.withResolvers<ServerResponse>()
  replies.set('ksk_held', held.resolve)
  const first = chat('ksk_held')
  const response = await held.promise
  const waiting = async (count: number): Promise<void> => {
    while ((await primary.heard('lease.report')).waiting !== count);
  }
  const madeUp = Array.from({ length: 7 }, (_, index) => chat(`ksk_${index}`))
  await waiting(7)
  const real = chat('ksk_real')
  await waiting(8)
  calls.length = 0
  refuseKey(response)
  t.match(await first, { status: 401 })
  t.match(await real, { status: 200 })
  await Promise.all(madeUp)
  const place = calls.findIndex(({ token }) => token === 'ksk_real')
  t.ok(place <= 1, `${place} of them were served before`)
})

t.test('a used-up quota is remembered for its key alone', async (t) => {
  const { chat, replies, calls, primary } = await rig(t)
  replies.set('ksk_spent', (response) => {
    response.writeHead(402, { 'content-type': 'application/json' })
    response.end('{"message":"You have reached the limit.","reason":"MONTHLY_REQUEST_COUNT"}')
  })
  t.match(await chat('ksk_spent'), { status: 429 })
  const before = calls.length
  t.match(await chat('ksk_spent'), { status: 429 })
  t.equal(calls.length, before, 'it is not asked again')
  t.match(await chat('ksk_good'), { status: 200 })
  t.notOk(
    primary.messages.some(({ type }) => type === 'account.refused'),
    'nor is the account of the gateway barred'
  )
})

t.test('a used-up quota of the gateway’s own account ends no waits of others', async (t) => {
  const { chat, primary } = await rig(t, {}, { hasSignIn: true, permits: 0 })
  const [own, other] = [chat('good-key'), chat('ksk_one')]
  for (;;) {
    const { waiting } = await primary.heard('lease.report')
    if (waiting === 2) break
  }
  const until = Date.now() + 60_000
  const bar = { bar: 'monthly', code: 'GW_UPSTREAM_QUOTA', message: 'Used up.', until } as const
  primary.tell({ type: 'account.status', status: { ...GOOD_STATUS, bars: [bar] } })
  t.match(await own, { status: 429, text: /quota of the upstream account is used up/ })
  primary.grant({ granted: 1 })
  t.match(await other, { status: 200, text: /for ksk_one/ })
})

t.test('what needs any key needs a Kiro key that the upstream has accepted', async (t) => {
  const { get, chat, calls } = await rig(t)
  for (const path of ['/openapi.json', '/docs']) {
    t.match(await get(path, 'ksk_madeup'), { status: 401, text: /accepted.*\/v1\/models/ }, path)
    t.match(await get(path, 'good-key'), { status: 200 }, path)
  }
  t.equal(calls.length, 0)
  t.match(await chat('ksk_one'), { status: 200 })
  for (const path of ['/openapi.json', '/docs'])
    t.match(await get(path, 'ksk_one'), { status: 200 }, path)
})

t.test('models and usage are the key’s, metrics the operator’s', async (t) => {
  const { get } = await rig(t)
  t.match(await get('/v1/models', 'ksk_one'), { status: 200, text: /model-of-ksk_one/ })
  t.match(await get('/v1/models', 'ksk_two'), { status: 200, text: /model-of-ksk_two/ })
  t.match(await get('/v1/usage', 'ksk_one'), { status: 200, text: /"used":7\b/ })
  t.match(await get('/metrics', 'ksk_one'), { status: 401 })
})

t.test(
  'a client that leaves while its models are asked for takes them from nobody else',
  async (t) => {
    const { calls, get, replies } = await rig(t)
    const asked = Promise.withResolvers<void>()
    const answered = Promise.withResolvers<void>()
    replies.set('ksk_one', (response) => {
      asked.resolve()
      void answered.promise.then(() => response.end('{"models":[{"modelId":"model-of-ksk_one"}]}'))
    })
    const leaver = new AbortController()
    const left = t.rejects(get('/v1/models', 'ksk_one', leaver.signal))
    await asked.promise
    const beside = get('/v1/models', 'ksk_one')
    leaver.abort()
    await left
    const after = get('/v1/models', 'ksk_one')
    for (let looks = 0; looks < 5; looks += 1) await get('/readyz', '') // both have come by then
    answered.resolve()
    t.match(await beside, { status: 200, text: /model-of-ksk_one/ }, 'one who came meanwhile')
    t.match(await after, { status: 200, text: /model-of-ksk_one/ }, 'one who came later')
    t.equal(calls.length, 1, 'one question serves all')
  }
)

t.test(
  'models that the upstream does not tell are asked for again after a while only',
  async (t) => {
    const { calls, get, replies } = await rig(t)
    replies.set('ksk_one', (response) => void response.writeHead(500).end())
    t.match(await get('/v1/models', 'ksk_one'), { status: 200, text: /auto/ }, 'the built-in list')
    const { length } = calls
    t.match(await get('/v1/models', 'ksk_one'), { status: 200, text: /auto/ })
    t.equal(calls.length, length)
  }
)
