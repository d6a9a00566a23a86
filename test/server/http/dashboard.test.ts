import { once } from 'node:events'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import {
  Agent,
  type ClientRequest,
  type IncomingMessage,
  request,
  type ServerResponse
} from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { DashboardNews, DashboardWish } from '../../../src/ipc/dashboard.ts'
import { FakePrimary, type FakePrimaryOptions } from '../../helper/fake-primary.ts'
import { hashOfKey, namedKey } from '../../helper/named-key.ts'

t.setTimeout(120_000)

const upstream = new URL('http://127.0.0.1:9')
const json = { 'content-type': 'application/json' }

async function setUp(t: Test, options: FakePrimaryOptions = {}) {
  const primary = await FakePrimary.start(t, upstream, options)
  const ask = (path: string, init: RequestInit = {}) => fetch(`${primary.url}${path}`, init)
  const tell = (news: DashboardNews): void => primary.tell({ type: 'dashboard.news', news })
  /** The next wish of a name. */
  const wished = async <Name extends DashboardWish['name']>(
    name: Name
  ): Promise<Extract<DashboardWish, { name: Name }>> => {
    for (;;) {
      const { wish } = await primary.heard('dashboard.wish')
      if (wish.name === name) return wish as Extract<DashboardWish, { name: Name }>
    }
  }
  const wishes = () =>
    primary.messages.flatMap((message) => (message.type === 'dashboard.wish' ? message.wish : []))
  const signIn = (key: string, headers: Record<string, string> = {}) =>
    ask('/dashboard/session', {
      method: 'POST',
      headers: { ...json, ...headers },
      body: JSON.stringify({ key })
    })
  /** Answers the next that wants events. */
  const admit = async (pages: number, events = 'event: snapshot\ndata: {}\n\n') => {
    const wanted = await wished('open')
    tell({ name: 'opened', requestId: wanted.requestId, pages, events })
    return wanted
  }
  const left = (): number =>
    wishes().reduce((sum, wish) => sum + (wish.name === 'left' ? wish.pages : 0), 0)
  return { primary, ask, signIn, admit, left, tell, wished, wishes }
}

function cookieOf(response: Response): string {
  return response.headers.getSetCookie()[0]?.split(';', 1)[0] ?? ''
}

interface OpenPage {
  readonly call: ClientRequest
  readonly response: IncomingMessage
  /** Resolves with all that has come once it contains this. */
  readonly until: (text: string) => Promise<string>
  readonly ended: Promise<unknown>
}

/** A page that listens to events, over a connection of its own. */
async function listen(url: string, headers: Record<string, string>): Promise<OpenPage> {
  const call = request(`${url}/dashboard/events`, { agent: false, headers })
  call.end()
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  call.on('error', () => {})
  response.on('error', () => {})
  let text = ''
  const news = new Set<() => void>()
  response.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
    for (const look of news) look()
  })
  const ended = new Promise((resolve) => response.once('close', resolve))
  const until = (wanted: string): Promise<string> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (text.includes(wanted)) resolve(text)
      }
      news.add(look)
      look()
    })
  return { call, response, until, ended }
}

const withKey = { authorization: 'Bearer good-key' }

t.test('the page and its files are for everybody, with nothing from elsewhere', async (t) => {
  const { ask } = await setUp(t)
  const page = await ask('/')
  t.equal(page.status, 200)
  t.equal(page.headers.get('content-type'), 'text/html; charset=utf-8')
  const policy = page.headers.get('content-security-policy') ?? ''
  t.match(policy, /default-src 'none'.*script-src 'self'.*frame-ancestors 'none'/)
  t.notMatch(policy, /unsafe/)
  t.equal(page.headers.get('x-content-type-options'), 'nosniff')
  t.equal(page.headers.get('referrer-policy'), 'no-referrer')
  const html = await page.text()
  const files = [...html.matchAll(/(?:src|href)="(dashboard\/[^"]+)"/g)].map(
    ([, path = '']) => path
  )
  t.ok(files.length > 3, files.join(' '))
  for (const path of files) {
    const file = await ask(`/${path}`)
    t.equal(file.status, 200, path)
    t.ok((await file.arrayBuffer()).byteLength > 0)
    t.match(file.headers.get('content-type') ?? '', /^(text\/(css|javascript)|image\/)/, path)
    t.equal(file.headers.get('cache-control'), 'no-cache')
    const etag = file.headers.get('etag') ?? ''
    const again = await ask(`/${path}`, { headers: { 'if-none-match': etag } })
    t.equal(again.status, 304, `${path} is not sent twice`)
  }
  const head = await ask('/', { method: 'HEAD' })
  t.equal(head.status, 200)
  t.equal(head.headers.get('content-length'), String(Buffer.byteLength(html)))
})

t.test('a browser that is signed in is no stranger', async (t) => {
  const { primary, signIn } = await setUp(t)
  const cookie = cookieOf(await signIn('good-key'))
  const { hostname, port } = new URL(primary.url)
  for (const path of ['/', '/dashboard/main.js']) {
    for (const [headers, isKnown] of [
      [`cookie: ${cookie}\r\n`, true],
      ['', false]
    ] as const) {
      const client = connect(Number(port), hostname)
      t.teardown(() => client.destroy())
      let got = ''
      client.on('data', (chunk: Buffer) => {
        got += chunk.toString('latin1')
      })
      // A stranger gets so many answers on a connection.
      for (let answers = 1; answers <= 33 && !client.destroyed; answers++) {
        client.write(`HEAD ${path} HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n`)
        while (got.split('\r\n\r\n').length <= answers && !client.destroyed) await delay(2)
      }
      t.equal(!/^connection: close/im.test(got), isKnown, `${path} ${headers}`)
    }
  }
})

t.test('no other file', async (t) => {
  const { ask } = await setUp(t)
  for (const name of [
    'nothing.js',
    'index.html.bak',
    'tsconfig.json',
    '.html',
    '..%2ffeed.ts',
    '%2e%2e%2f..%2fpackage.json',
    '..%5cfeed.js',
    'page',
    `${'a'.repeat(150)}.js`,
    'main.js%00.css'
  ]) {
    const response = await ask(`/dashboard/${name}`)
    t.equal(response.status, 404, name)
    t.match(await response.json(), { error: { message: /no such file/ } })
  }
})

t.test('signing in, and out', async (t) => {
  const { ask, signIn, primary } = await setUp(t)
  const nobody = {
    isKeyNeeded: true,
    isSignedIn: false,
    canSignIn: true,
    expiresAt: null,
    role: null,
    name: null,
    via: null,
    csrf: null,
    mayChange: false,
    whyNot: null,
    ways: ['key'],
    hasDevices: true,
    signOutUrl: null
  }
  t.same(await (await ask('/dashboard/session')).json(), nobody)
  const response = await signIn('good-key', { origin: primary.url })
  t.equal(response.status, 200)
  t.equal(response.headers.get('cache-control'), 'no-store')
  const { expiresAt, csrf } = (await response.json()) as { expiresAt: number; csrf: string }
  t.ok(Math.abs(expiresAt - Date.now() - 12 * 3_600_000) < 60_000)
  t.match(
    response.headers.getSetCookie()[0],
    /; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/
  )
  const cookie = cookieOf(response)
  const mine = await ask('/dashboard/session', { headers: { cookie } })
  t.same(await mine.json(), {
    ...nobody,
    isSignedIn: true,
    expiresAt,
    role: 'operator',
    name: 'operator',
    via: 'session',
    csrf,
    mayChange: true
  })
  const out = await ask('/dashboard/session', { method: 'DELETE', headers: { cookie } })
  t.equal(out.status, 204)
  t.match(out.headers.getSetCookie()[0], /^kiro_gateway_session=; Path=\/; Max-Age=0; HttpOnly/)
})

t.test(
  'the description is for those with a key, and for browsers that are signed in',
  async (t) => {
    const book = {
      isKeyRequired: true,
      keys: [namedKey({ name: 'anna', hashes: [hashOfKey('kg_anna')] })]
    }
    const { ask, signIn } = await setUp(t, { start: { knownKeys: book } })
    const cookie = cookieOf(await signIn('good-key'))
    const pages = ['/docs/guides', '/docs/settings.md', '/llms.txt']
    for (const path of ['/openapi.json', '/docs', ...pages]) {
      const refused = await ask(path)
      t.equal(refused.status, 401, path)
      t.match(await refused.text(), /sign in to the dashboard at \/ first/)
      for (const headers of [{ cookie: `${cookie}x` }, { authorization: 'Bearer wrong-key' }]) {
        t.equal((await ask(path, { headers })).status, 401)
      }
      for (const headers of [{ cookie }, withKey, { 'x-api-key': 'kg_anna' }] as const) {
        const answer = await ask(path, { headers: { ...headers } })
        t.equal(answer.status, 200, `${path} with ${Object.keys(headers).join()}`)
        t.ok((await answer.text()).length > 1000)
      }
    }
    const elsewhere = await ask('/v1/models', { headers: { cookie } })
    t.equal(elsewhere.status, 401, 'a session opens nothing else')
  }
)

t.test('the description says to sign in only where somebody can', async (t) => {
  const env = { PROXY_API_KEY: '', KIRO_KEY_PASSTHROUGH: 'true' }
  const passthrough = await setUp(t, { env })
  t.match(await (await passthrough.ask('/docs')).text(), /Send your Kiro API key/)
  const book = { isKeyRequired: true, keys: [namedKey({ hashes: [hashOfKey('kg_anna')] })] }
  const named = await setUp(t, { env: { PROXY_API_KEY: '' }, start: { knownKeys: book } })
  t.match(await (await named.ask('/docs')).text(), /Ask the gateway's operator for a key/)
})

t.test('without keys the description is for everybody on this machine', async (t) => {
  const { ask } = await setUp(t, { env: { PROXY_API_KEY: '' } })
  t.equal((await ask('/docs')).status, 200)
  t.equal((await ask('/openapi.json')).status, 200)
  t.equal((await ask('/llms.txt')).status, 200)
  const page = { origin: 'https://elsewhere.example' }
  t.equal((await ask('/openapi.json', { headers: page })).status, 401)
})

t.test('a key that does not come whole in time is answered with 408', async (t) => {
  const { primary } = await setUp(t, { env: { BODY_TIMEOUT: '0.3' } })
  const headers = { ...json, 'content-length': 100 }
  const call = request(`${primary.url}/dashboard/session`, { method: 'POST', headers })
  call.on('error', () => {}) // the connection ends after the answer
  call.write('{"key":')
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  t.equal(response.statusCode, 408)
  call.destroy()
})

t.test('a client that leaves while it sends its key is no failure of the gateway', async (t) => {
  const lines: string[] = []
  const { ask, primary } = await setUp(t, { env: { LOG_LEVEL: 'info' }, lines })
  const headers = { ...json, 'content-length': 100 }
  const call = request(`${primary.url}/dashboard/session`, { method: 'POST', headers })
  call.on('error', () => {})
  call.write('{"key":')
  await ask('/health') // its beginning has come by then
  call.destroy()
  while (!lines.some((line) => /GW_CLIENT_CLOSED|request failed/.test(line))) await delay(5)
  t.match(lines.join(''), /GW_CLIENT_CLOSED/)
  t.notMatch(lines.join(''), /request failed/)
})

t.test('a request that is cut for what its client leaves unread says so in the log', async (t) => {
  const lines: string[] = []
  const { primary } = await setUp(t, { env: { LOG_LEVEL: 'info' }, lines })
  const arrived = new Promise<ServerResponse>((resolve) => {
    const onArrived = (message: unknown): void => {
      resolve((message as { response: ServerResponse }).response)
    }
    subscribe('http.server.response.created', onArrived)
    t.teardown(() => unsubscribe('http.server.response.created', onArrived))
  })
  const call = request(`${primary.url}/v1/messages`, {
    method: 'POST',
    headers: { ...json, ...withKey, 'content-length': 100 }
  })
  call.on('error', () => {})
  call.write('{"model":')
  const response = await arrived
  response.socket?.resetAndDestroy()
  response.emit('unread') // as the census does
  while (!lines.some((line) => /GW_CLIENT_|request failed/.test(line))) await delay(5)
  t.match(lines.join(''), /"code":"GW_CLIENT_STALLED".*unread/)
})

t.test('behind TLS the cookie never leaves it', async (t) => {
  const { signIn } = await setUp(t)
  const headers = { origin: 'https://gateway.example', 'sec-fetch-site': 'same-origin' }
  const response = await signIn('good-key', headers)
  t.equal(response.status, 200)
  t.match(response.headers.getSetCookie()[0], /; SameSite=Strict; Secure$/)
})

t.test('who may not sign in', async (t) => {
  const { ask, signIn, primary } = await setUp(t, {
    start: {
      knownKeys: { isKeyRequired: true, keys: [namedKey({ hashes: [hashOfKey('anna-key')] })] }
    }
  })
  const refused = async (response: Response, status: number, message: RegExp) => {
    t.equal(response.status, status, String(message))
    t.match(await response.json(), { error: { message } })
    t.same(response.headers.getSetCookie(), [], 'no cookie')
  }
  await refused(
    await signIn('bad-key'),
    401,
    /not one of PROXY_API_KEY|Ask the gateway's operator for a key/
  )
  const person = await signIn('anna-key')
  t.match(await person.json(), { role: 'person', name: 'anna', mayChange: false })
  const feed = await ask('/dashboard/events', { headers: { cookie: cookieOf(person) } })
  t.equal(feed.status, 403, 'a person is told nothing of all clients')
  const foreign = { origin: 'http://evil.example' }
  await refused(await signIn('good-key', foreign), 403, /own dashboard page/)
  for (const site of ['cross-site', 'same-site', 'none']) {
    const headers = { origin: primary.url, 'sec-fetch-site': site }
    await refused(await signIn('good-key', headers), 403, /own dashboard page/)
  }
  const post = (headers: Record<string, string>, body: string) =>
    ask('/dashboard/session', { method: 'POST', headers, body })
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  await refused(await post(form, 'key=good-key'), 400, /Send|JSON/)
  const plain = { 'content-type': 'text/plain' }
  await refused(await post(plain, '{"key":"good-key"}'), 400, /Send|JSON/)
  for (const body of ['', '{', '[]', '{"key":1}', '{"key":""}', '"good-key"']) {
    await refused(await post(json, body), 400, /Send|JSON/)
  }
  const long = JSON.stringify({ key: 'good-key', more: 'x'.repeat(10_000) })
  await refused(await post(json, long), 413, /bytes/)
  const signOut = { method: 'DELETE', headers: { origin: 'http://evil.example' } }
  await refused(await ask('/dashboard/session', signOut), 403, /own dashboard page/)
})

t.test('tries with wrong keys are limited, and a right key signs in all the same', async (t) => {
  const { signIn } = await setUp(t)
  for (let tries = 0; tries < 5; tries++) t.equal((await signIn('bad-key')).status, 401)
  const began = performance.now()
  const all = await Promise.all(['bad-key', 'good-key', 'bad-key'].map((key) => signIn(key)))
  t.same(
    all.map(({ status }) => status),
    [429, 200, 429]
  )
  const [often = new Response(), signedIn = new Response()] = all
  t.match(cookieOf(signedIn), /^kiro_gateway_session=/)
  t.ok(performance.now() - began >= 990, 'a wrong key is not told sooner than a right one')
  t.match(often.headers.get('retry-after'), /^(5\d|60)$/)
  t.match(await often.json(), { error: { message: /Too many sign-in attempts/ } })
  t.equal((await signIn('bad-key')).status, 429, 'it frees no try of others')
})

t.test('events need a session, or a key of the operator', async (t) => {
  const { ask, signIn, admit, primary, wishes } = await setUp(t, {
    start: {
      knownKeys: { isKeyRequired: true, keys: [namedKey({ hashes: [hashOfKey('anna-key')] })] }
    }
  })
  const statusOf = async (headers: Record<string, string>): Promise<number> =>
    (await ask('/dashboard/events', { headers })).status
  t.equal(await statusOf({}), 401)
  t.equal(await statusOf({ cookie: 'kiro_gateway_session=1.abc.def.ghi' }), 401)
  t.equal(await statusOf({ authorization: 'Bearer bad-key' }), 401)
  t.equal(await statusOf({ authorization: 'Bearer anna-key' }), 403)
  t.equal(await statusOf({ ...withKey, 'sec-fetch-site': 'cross-site' }), 403)
  t.notOk(wishes().some(({ name }) => name === 'open'))
  const cookie = cookieOf(await signIn('good-key'))
  for (const headers of [{ cookie }, withKey]) {
    const admitted = admit(1)
    const page = await listen(primary.url, headers)
    t.equal((await admitted).pages, 1)
    t.equal(page.response.statusCode, 200)
    t.equal(page.response.headers['content-type'], 'text/event-stream; charset=utf-8')
    t.equal(await page.until('snapshot'), 'retry: 500\n\nevent: snapshot\ndata: {}\n\n')
    page.call.destroy()
  }
  const head = await ask('/dashboard/events', { method: 'HEAD', headers: withKey })
  t.equal(head.status, 200)
})

t.test('an open gateway asks for no key, but not every page', async (t) => {
  const { ask, signIn, admit, primary } = await setUp(t, { env: { PROXY_API_KEY: '' } })
  const session = await ask('/dashboard/session')
  t.match(await session.json(), { isKeyNeeded: false, isSignedIn: true })
  t.equal((await signIn('')).status, 200)
  t.equal(
    (await ask('/dashboard/events', { headers: { origin: 'http://evil.example' } })).status,
    401
  )
  const call = request(`${primary.url}/dashboard/events`, { headers: { host: 'evil.example' } })
  call.end()
  const [{ statusCode }] = (await once(call, 'response')) as [IncomingMessage]
  t.equal(statusCode, 401, 'a name that points here')
  call.destroy()
  const admitted = admit(1)
  const page = await listen(primary.url, {})
  await admitted
  await page.until('snapshot')
  page.call.destroy()
})

t.test('with named keys alone, persons sign in, and nobody is the operator', async (t) => {
  const { ask } = await setUp(t, {
    env: { PROXY_API_KEY: '' },
    start: {
      knownKeys: { isKeyRequired: true, keys: [namedKey({ hashes: [hashOfKey('anna-key')] })] }
    }
  })
  const session = await ask('/dashboard/session')
  t.match(await session.json(), { isKeyNeeded: true, isSignedIn: false, canSignIn: true })
})

t.test('what the primary tells goes to all pages at once', async (t) => {
  const { admit, primary, left, tell } = await setUp(t)
  const pages: OpenPage[] = []
  for (let count = 0; count < 3; count++) {
    const admitted = admit(1)
    pages.push(await listen(primary.url, withKey))
    await admitted
  }
  tell({ name: 'events', events: 'event: tick\ndata: {"n":1}\n\n' })
  for (const page of pages) await page.until('"n":1')
  t.equal(left(), 0)
  for (const { call } of pages) call.destroy()
  while (left() < 3) await delay(5)
  tell({ name: 'events', events: 'event: tick\ndata: {}\n\n' })
  t.equal(left(), 3, 'each is told of once')
})

t.test('more pages than the primary lets in', async (t) => {
  const { primary, ask, admit, left, tell, wished } = await setUp(t)
  const first = admit(1)
  const page = await listen(primary.url, withKey)
  await first
  const second = wished('open')
  const refused = ask('/dashboard/events', { headers: withKey })
  const { requestId } = await second
  // These come while the primary is being asked.
  const others = [1, 2].map(() => ask('/dashboard/events', { headers: withKey }))
  const third = wished('open')
  await delay(1_000) // until both have come, also on a busy machine
  tell({ name: 'opened', requestId, pages: 0, events: '' })
  const response = await refused
  t.equal(response.status, 503)
  t.match(await response.json(), { error: { message: /Too many dashboard pages/ } })
  const asked = await third
  t.equal(asked.pages, 2, 'asked for together')
  tell({ name: 'opened', requestId: asked.requestId, pages: 0, events: '' })
  for (const other of await Promise.all(others)) t.equal(other.status, 503)
  t.equal(left(), 0)
  page.call.destroy()
})

t.test('a page that is gone before it is let in', async (t) => {
  const { primary, left, tell, wished } = await setUp(t)
  const wanted = wished('open')
  const call = request(`${primary.url}/dashboard/events`, { agent: false, headers: withKey })
  call.on('error', () => {}).end()
  const { requestId } = await wanted
  call.destroy()
  await delay(100) // until the worker has seen it
  tell({ name: 'opened', requestId, pages: 1, events: 'event: x\ndata: {}\n\n' })
  while (left() < 1) await delay(5)
  t.equal(left(), 1, 'its place is free again')
})

t.test('pages are let go when the worker goes, and hold up nothing', async (t) => {
  const { primary, admit } = await setUp(t, { env: { DRAIN_TIMEOUT: '30' } })
  const admitted = admit(1)
  const page = await listen(primary.url, withKey)
  await admitted
  await page.until('snapshot')
  const began = performance.now()
  primary.tell({ type: 'worker.retire', patienceMs: 60_000 })
  t.match(await page.until('leaving'), /event: leaving\ndata: \{\}\n\n$/)
  await page.ended
  await primary.worker.stopped
  t.ok(performance.now() - began < 10_000, `gone after ${Math.round(performance.now() - began)} ms`)
})

t.test('a worker that goes sends new pages away to another', async (t) => {
  const { primary } = await setUp(t, { env: { DRAIN_TIMEOUT: '30' } })
  // A connection that is open already, as those of browsers are.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const get = async (path: string): Promise<string> => {
    const call = request(`${primary.url}${path}`, { agent, headers: withKey }).end()
    const [response] = (await once(call, 'response')) as [IncomingMessage]
    t.equal(response.statusCode, 200)
    return text(response)
  }
  t.match(await get('/dashboard/session'), /"isSignedIn":false/)
  primary.tell({ type: 'worker.retire', patienceMs: 60_000 })
  t.equal(await get('/dashboard/events'), 'retry: 500\n\nevent: leaving\ndata: {}\n\n')
})

t.test('DASHBOARD=off: nothing is there', async (t) => {
  const { ask } = await setUp(t, { env: { DASHBOARD: 'off' } })
  for (const path of ['/', '/dashboard/main.js', '/dashboard/session', '/dashboard/events']) {
    const response = await ask(path, { headers: withKey })
    t.equal(response.status, 404, path)
    t.match(await response.json(), { error: { message: /The route GET .* does not exist/ } })
  }
})

t.test('a page that does not read is given up, with what the system holds for it', async (t) => {
  const { primary, admit, left, tell } = await setUp(t)
  const admitted = admit(1, `event: snapshot\ndata: "${'x'.repeat(100_000)}"\n\n`)
  const call = request(`${primary.url}/dashboard/events`, { agent: false, headers: withKey })
  call.on('error', () => {}).end()
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  response.on('error', () => {}).pause()
  await admitted
  // As much as a loaded gateway tells in some minutes.
  const events = `event: tick\ndata: "${'y'.repeat(60_000)}"\n\n`
  let told = 0
  while (left() === 0) {
    tell({ name: 'events', events })
    told += events.length
    await delay(5)
  }
  t.ok(told < 16_000_000, `after ${Math.round(told / 1000)} KB`)
  t.equal(left(), 1)
  call.destroy()
})
