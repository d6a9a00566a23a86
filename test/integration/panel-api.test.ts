import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { allHeard } from '../helper/all-heard.ts'
import { CountingProxy } from '../helper/counting-proxy.ts'
import { FakeSignInServices } from '../helper/fake-sign-in-services.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { until } from '../helper/fleet-team.ts'
import { ofPage, PanelClient } from '../helper/panel-client.ts'
import { Simulator } from '../strict-simulator/simulator.ts'

/* The panel's API over real sockets: who may, who may not, and that each change is done once and written down. */

t.setTimeout(600_000) // processes, on a machine that may be very busy
t.jobs = 1

const OPERATOR = 'operator-key-of-the-panel'
const STATE = '/admin/v1/state'
const KEYS = '/admin/v1/keys'

const send = (client: PanelClient, content: string, id: string) =>
  client.post(
    '/v1/chat/completions',
    { model: 'claude-sonet-4.5', messages: [{ role: 'user', content }] },
    { 'x-request-id': id, 'user-agent': 'claude-cli/2.1' }
  )

/** Fails soon, as what is awaited takes moments. */
const inTime = async (isSo: () => Promise<boolean>, about: string): Promise<void> => {
  const deadline = performance.now() + 60_000
  await until(async () => {
    if (performance.now() > deadline) throw new Error(`not in time: ${about}`)
    return isSo()
  })
}

const ids = (found: { requests: { id: string }[] }): readonly string[] =>
  found.requests.map(({ id }) => id)

/** An upstream that knows more failures than the gateway's own simulator. */
async function startUpstream(t: Test): Promise<string> {
  const simulator = new Simulator()
  t.teardown(() => simulator.close())
  return (await simulator.start()).url
}

/** Status of an answer to a client with this address. */
async function statusFrom(
  localAddress: string,
  url: string,
  headers: Readonly<Record<string, string>>
): Promise<number | undefined> {
  const call = request(url, { localAddress, agent: false, headers }).end()
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  response.resume()
  return response.statusCode
}

/** Status line of an answer to exactly these bytes. */
async function rawStatus(url: string, path: string, lines: readonly string[]): Promise<number> {
  const { port, host } = new URL(url)
  const socket = connect({ port: Number(port), host: '127.0.0.1' })
  const head = [`GET ${path} HTTP/1.1`, `Host: ${host}`, ...lines, 'Connection: close', '', '']
  socket.write(Buffer.from(head.join('\r\n'), 'latin1'))
  const answer = await text(socket)
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1])
}

t.test('keys: made, used, changed, replaced, revoked, and written down', async (t) => {
  const gateway = await startGateway({ env: { PROXY_API_KEY: OPERATOR } })
  t.teardown(() => gateway.destroy())
  const program = PanelClient.withKey(gateway.url, OPERATOR)
  const page = await PanelClient.signedIn(gateway.url, OPERATOR)

  t.match((await page.get('/dashboard/session')).json, {
    role: 'operator',
    name: 'operator',
    via: 'session',
    mayChange: true,
    whyNot: null
  })
  const made = await page.post(KEYS, {
    name: 'anna',
    credits: '20/month',
    max_streams: 4,
    models: ['claude-*', 'auto'],
    expires: '2099-01-31',
    overage: true
  })
  t.equal(made.status, 201, made.text)
  t.equal(made.headers['cache-control'], 'no-store')
  const { secret, key, command, note } = made.json
  t.match(secret, /^kgw_/)
  t.equal(command, `npx kiro-gateway setup claude --url ${gateway.url} --key ${secret}`)
  t.equal(note, null)
  t.match(key, {
    name: 'anna',
    state: 'active',
    credits: { limit: 20, period: 'month', used: 0, reserved: 0, left: 20 },
    max_streams: 4,
    models: ['claude-*', 'auto'],
    overage: true,
    expires_at: '2099-02-01T00:00:00.000Z',
    last_seen: null
  })
  const anna = PanelClient.withKey(gateway.url, secret)
  const answered = await anna.post('/v1/chat/completions', {
    model: 'claude-sonnet-4.5',
    messages: [{ role: 'user', content: 'Hello' }]
  })
  t.equal(answered.status, 200, 'the key is in force at once')

  const shown = await program.get(`${KEYS}/${key.id}`)
  t.equal(shown.headers['etag'], `"${shown.json.key.version}"`)
  t.ok(shown.json.key.credits.used > 0)
  t.equal(shown.json.key.credits.reserved, 0, 'nothing is reserved once the answer has ended')
  await until(async () => (await program.get(`${KEYS}/${key.id}`)).json.key.today?.requests === 1)
  t.match(shown.json.key.last_seen, /^\d{4}-\d\d-\d\dT/)
  t.notMatch(shown.text, secret, 'it is shown once')

  const { version } = shown.json.key
  const changed = await page.post(`${KEYS}/${key.id}`, { version, credits: null, name: 'Anna B' })
  t.match(changed.json.key, { name: 'Anna B', credits: null, max_streams: 4 })
  const late = await program.post(`${KEYS}/${key.id}`, { version, max_streams: 9 })
  t.equal(late.status, 412, 'the second operator is told')
  t.match(late.json, {
    error: { code: 'GW_CHANGED_MEANWHILE' },
    key: { name: 'Anna B', max_streams: 4, version: changed.json.key.version }
  })
  const byTag = { 'if-match': `"${changed.json.key.version}"` }
  t.equal((await program.post(`${KEYS}/${key.id}`, { max_streams: 9 }, byTag)).status, 200)
  const blind = await program.post(`${KEYS}/${key.id}`, { max_streams: 1 })
  t.match(blind.json.error, { code: 'GW_FIELD_INVALID', param: 'version' })

  const rotated = await page.post(`${KEYS}/${key.id}/rotate`, { grace: '24h' })
  t.match(rotated.json.secret, /^kgw_/)
  t.not(rotated.json.secret, secret)
  t.ok(Date.parse(rotated.json.old_key_until) > Date.now())
  t.equal((await anna.get('/v1/models')).status, 200, 'the old one is good for a day')

  for (let times = 0; times < 2; times++) {
    const revoked = await page.post(`${KEYS}/${key.id}/revoke`)
    t.equal(revoked.status, 200)
    t.match(revoked.json, { key: { state: 'revoked' }, sentence: /"Anna B" can no longer get in/ })
  }
  t.equal((await anna.get('/v1/models')).status, 401)
  const gone = await page.post(`${KEYS}/${key.id}/rotate`)
  t.match(gone.json.error, { code: 'GW_CONFLICT' })
  t.equal((await page.get(`${KEYS}/k_none`)).json.error.code, 'GW_NOT_FOUND')

  const audit = (await page.get('/admin/v1/audit')).json.entries
  t.match(
    audit.map(({ action }: { action: string }) => action),
    ['key.revoke', 'key.rotate', 'key.change', 'key.change', 'key.add'],
    'each change once, the newest first'
  )
  t.match(audit.at(-1), {
    who: 'operator',
    via: 'session',
    from: '127.0.0.1',
    subject: 'anna',
    before: null,
    after: { name: 'anna', credits: { limit: 20, period: 'month' } }
  })
  t.match(audit[3], { before: { name: 'anna' }, after: { name: 'Anna B', credits: null } })
  t.notMatch(JSON.stringify(audit), secret)
  t.notMatch(JSON.stringify(gateway.lines), secret, 'no secret in the log')

  await t.test('the page tries a prompt with its session, and no other page does', async (t) => {
    const { secret } = (await page.post(KEYS, { name: 'bea', models: ['claude-*'] })).json
    t.equal((await send(page, 'Hello', 'try-1')).status, 200)
    t.equal((await page.get('/v1/models')).status, 200)
    t.equal((await send(page.without('x-csrf-token'), 'Hello', 'try-2')).status, 401)
    t.equal((await send(page.with({ 'x-csrf-token': 'A'.repeat(43) }), 'Hi', 'try-3')).status, 403)
    t.equal((await send(page.with({ 'sec-fetch-site': 'cross-site' }), 'Hi', 'try-4')).status, 403)
    t.equal((await send(page.without('cookie'), 'Hi', 'try-5')).status, 401)
    const person = await PanelClient.signedIn(gateway.url, secret)
    t.equal((await send(person, 'Hello', 'try-6')).status, 200)
    const models = (await person.get('/v1/models')).json.data
    t.ok(
      models.every(({ id }: { id: string }) => id.startsWith('claude-')),
      'with its own limits'
    )
    const { requests } = (await page.get('/admin/v1/requests')).json
    t.match(
      requests.slice(0, 2).map(({ id, key }: { id: string; key: string }) => [id, key]),
      [
        ['try-6', 'bea'],
        ['try-1', 'operator']
      ]
    )
  })

  await t.test('a gateway that has started again takes no form of before', async (t) => {
    const { port } = new URL(gateway.url)
    await gateway.stop()
    const env = { PROXY_API_KEY: OPERATOR, WORKERS: '1', SERVER_PORT: port }
    const second = await startGateway({ env })
    t.teardown(() => second.destroy())
    t.equal((await page.post(KEYS, { name: 'half' })).status, 401, 'sign in again')
    t.same(
      (await PanelClient.withKey(second.url, OPERATOR).get(KEYS)).json.keys,
      [],
      'nothing half done'
    )
  })
})

t.test('requests, long after they have ended, say why they failed', async (t) => {
  const gateway = await startGateway({
    upstreamUrl: await startUpstream(t),
    env: { PROXY_API_KEY: OPERATOR, DEBUG_MODE: 'all', DEBUG_CONTENT: 'true' }
  })
  t.teardown(() => gateway.destroy())
  const program = PanelClient.withKey(gateway.url, OPERATOR)
  const REQUESTS = '/admin/v1/requests'
  t.same((await program.get(REQUESTS)).json, {
    requests: [],
    next: null,
    complete: true,
    searched_to: null
  })
  const { secret, key } = (await program.post(KEYS, { name: 'anna' })).json
  const anna = PanelClient.withKey(gateway.url, secret)
  const SECRET_WORDS = 'nobody may read this'
  for (let n = 1; n <= 3; n++) await send(anna, SECRET_WORDS, `anna-${n}`)
  const failed = await send(program, 'sim:html', 'failed-1')
  t.ok(failed.status >= 400, `${failed.status}`)
  const list = async (query: string) => (await program.get(`${REQUESTS}?${query}`)).json
  const all = await list('')
  t.same(ids(all), ['failed-1', 'anna-3', 'anna-2', 'anna-1'], 'the newest first, at once')
  const [why] = all.requests
  t.match(why, {
    key: 'operator',
    client: 'claude-code',
    route: '/v1/chat/completions',
    model_asked: 'claude-sonet-4.5',
    status: failed.status,
    code: /^GW_UPSTREAM/,
    fault: 'upstream',
    failure: {
      reason: failed.json.error.message,
      upstream_status: 403,
      upstream_request_id: String
    },
    attempts: 3
  })
  t.ok(why.body_bytes > 0)
  t.match(all.requests[1], { key: 'anna', key_id: key.id, code: '', fault: null, failure: null })
  t.ok(all.requests[1].credits > 0)
  t.same(ids(await list('failed=true')), ['failed-1'])
  t.same(ids(await list('key=ANNA&limit=2')), ['anna-3', 'anna-2'])
  t.same(ids(await list(`key=${key.id}&id=na-1`)), ['anna-1'])
  t.same(ids(await list('key=operator')), ['failed-1'])
  t.same(ids(await list(`status=${failed.status}`)), ['failed-1'])
  t.same(ids(await list(`code=${why.code}`)), ['failed-1'])
  for (const query of ['model=none', 'client=none', 'key=none', 'until=2020-01-01', 'id=none'])
    t.same(ids(await list(query)), [], query)
  t.same(ids(await list('since=1h')).length, 4)
  const seen: string[] = []
  let cursor = ''
  do {
    const page = await list(`limit=1${cursor}`)
    seen.push(...ids(page))
    cursor = page.next === null ? '' : `&cursor=${page.next}`
  } while (cursor !== '')
  t.same(seen, ids(all), 'page by page')
  for (const query of ['limit=0', 'limit=1000', 'status=x', 'since=yesterday', 'cursor=-1'])
    t.equal((await list(query)).error?.code, 'GW_FIELD_INVALID', query)

  const one = (await program.get(`${REQUESTS}/${why.n}`)).json
  t.match(one, { request: { id: 'failed-1' }, about: { code: why.code, url: /errors\.md#/ } })
  await until(async () => (await program.get(`${REQUESTS}/${why.n}`)).json.capture !== null)
  t.match((await program.get(`${REQUESTS}/${why.n}`)).json.capture.replay, /^kiro-gateway replay /)
  t.equal((await program.get(`${REQUESTS}/999`)).status, 404)

  const own = (await anna.get('/admin/v1/me/requests')).json
  t.same(ids(own), ['anna-3', 'anna-2', 'anna-1'], 'a person sees their own')
  t.same(ids((await anna.get('/admin/v1/me/requests?key=operator')).json), ids(own))
  t.equal((await anna.get(`/admin/v1/me/requests/${why.n}`)).status, 404, 'and no other')
  t.equal((await anna.get(`/admin/v1/me/requests/${own.requests[0].n}`)).status, 200)
  t.equal((await anna.get(REQUESTS)).status, 403)
  t.match((await anna.get('/admin/v1/me/usage?by=model')).json.total, { requests: 3, failed: 0 })

  const usage = (await program.get('/admin/v1/usage?by=key&split=model')).json
  t.match(usage.total, { requests: 4, failed: 1 })
  t.match(usage.rows[0], { key: 'anna', split: all.requests[1].model, requests: 3 })
  const days = (await program.get('/admin/v1/usage')).json
  t.match(days.rows, [{ day: new Date().toISOString().slice(0, 10), requests: 4 }])
  const csv = await program.get('/admin/v1/usage?by=client&format=csv')
  t.match(csv.headers, { 'content-type': /text\/csv/, 'content-disposition': /attachment/ })
  t.match(csv.text, /^client,requests,failed,.*\r\nclaude-code,4,1,/)
  t.equal((await program.get('/admin/v1/usage?by=day&split=day')).status, 400)

  const book = join(gateway.folder, '.local/state/kiro-gateway/usage.db')
  for (const end of ['', '-wal'])
    t.notOk(readFileSync(book + end).includes(SECRET_WORDS), 'never a word of content')
})

t.test('changes need TLS or this machine', async (t) => {
  const gateway = await startGateway({
    env: {
      PROXY_API_KEY: OPERATOR,
      WORKERS: '1',
      SERVER_HOST: '0.0.0.0',
      TRUSTED_PROXIES: '127.0.0.2'
    }
  })
  t.teardown(() => gateway.destroy())
  const { port } = new URL(gateway.url)
  const url = `http://127.0.0.1:${port}`
  const program = PanelClient.withKey(url, OPERATOR)
  const tries: readonly (readonly [
    about: string,
    headers: Record<string, string>,
    isRefused: boolean
  ])[] = [
    ['this machine', {}, false],
    ['a proxy on this machine without TLS', { 'x-forwarded-proto': 'http' }, true],
    ['a proxy on this machine with TLS', { 'x-forwarded-proto': 'https' }, false],
    ['two proxies, one without', { 'x-forwarded-proto': 'http, https' }, true],
    ['a page by plain HTTP', { origin: 'http://192.0.2.1:8000', host: '192.0.2.1:8000' }, true],
    ['a page by HTTPS', { origin: 'https://panel.example', host: 'panel.example' }, false],
    ['a page of this machine', { origin: 'http://localhost:8000', host: 'localhost:8000' }, false]
  ]
  for (const [about, headers, isRefused] of tries) {
    const reply = await program.post(`${KEYS}/k_none/revoke`, {}, headers)
    t.equal(reply.json.error.code, isRefused ? 'GW_TLS_REQUIRED' : 'GW_NOT_FOUND', about)
  }
  t.equal((await program.get(STATE, { 'x-forwarded-proto': 'http' })).status, 200, 'to read')
  const page = new PanelClient(url, { ...ofPage('http://192.0.2.1'), host: '192.0.2.1' })
  const signedIn = await page.post('/dashboard/session', { key: OPERATOR })
  t.match(signedIn.json, { mayChange: false, whyNot: { code: 'GW_TLS_REQUIRED' } })
})

t.test('a gateway without keys: this machine may, foreign pages may not', async (t) => {
  const gateway = await startGateway({ env: { WORKERS: '1' } })
  t.teardown(() => gateway.destroy())
  const { url } = gateway
  const session = await new PanelClient(url, ofPage(url)).get('/dashboard/session')
  t.match(session.json, { role: 'operator', via: 'open', isKeyNeeded: false, mayChange: true })
  const page = new PanelClient(url, { ...ofPage(url), 'x-csrf-token': session.json.csrf })
  t.equal((await page.without('x-csrf-token').post(KEYS, { name: 'a' })).status, 403)
  t.equal((await page.with({ origin: 'https://evil.example' }).post(KEYS)).status, 401)
  const state = (await new PanelClient(url).get(STATE)).json
  t.match(state, {
    upstream: 'simulator',
    verdict: { level: 'green', sentence: 'All is well.' },
    sign_in: { state: 'simulator' }
  })
  const program = new PanelClient(url)
  for (const client of [page, program]) {
    const early = await client.post(KEYS, { name: 'first' })
    t.match(
      { status: early.status, ...early.json.error },
      { status: 409, code: 'GW_CONFLICT', message: /"kiro-gateway key new --write".*HUP/ },
      'nobody locks themselves out by the way'
    )
  }
  const unclear = await program.post(KEYS, { name: 'first', without_operator_key: 'yes' })
  t.equal(unclear.json.error.param, 'without_operator_key')
  t.same((await program.get(KEYS)).json.keys, [])

  writeFileSync(join(gateway.folder, '.env'), `PROXY_API_KEY=${OPERATOR}\n`)
  t.equal((await program.post('/admin/v1/reload')).status, 200)
  t.equal((await program.get(STATE)).status, 401, 'a reload is enough')
  const operator = PanelClient.withKey(url, OPERATOR)
  t.equal((await operator.post(KEYS, { name: 'first' })).status, 201)
})

t.test('the first named key of a gateway without keys, for whoever insists', async (t) => {
  const gateway = await startGateway({ env: { WORKERS: '1' } })
  t.teardown(() => gateway.destroy())
  const program = new PanelClient(gateway.url)
  const made = await program.post(KEYS, { name: 'first', without_operator_key: true })
  t.equal(made.status, 201, made.text)
  t.match(made.json.note, /every request needs a key/)
  t.equal((await program.get(STATE)).status, 401, 'from now on')
})

t.test('settings, reload, limits and workers', async (t) => {
  const gateway = await startGateway({
    env: { PROXY_API_KEY: OPERATOR, WORKERS: '2' },
    envFile: { LOG_LEVEL: 'info', VPN_PROXY_URL: '' }
  })
  t.teardown(() => gateway.destroy())
  const program = PanelClient.withKey(gateway.url, OPERATOR)
  const settingsOf = async () => (await program.get('/admin/v1/settings')).json.settings
  const setting = async (name: string) =>
    (await settingsOf()).find((one: { name: string }) => one.name === name)
  t.match(await setting('PROXY_API_KEY'), { value: 'set', source: 'environment', is_secret: true })
  t.match(await setting('LOG_LEVEL'), { value: 'info', source: 'file', needs_restart: false })
  t.match(await setting('HTTP_POOL_TIMEOUT'), { source: 'default', pending: null })
  t.notMatch(JSON.stringify(await settingsOf()), OPERATOR)

  const write = (values: Readonly<Record<string, string>>) =>
    writeFileSync(
      join(gateway.folder, '.env'),
      Object.entries(values)
        .map(([name, value]) => `${name}=${value}\n`)
        .join('')
    )
  write({ LOG_LEVEL: 'debug', LOG_FORMAT: 'json' })
  t.match(await setting('LOG_FORMAT'), { pending: 'json', needs_restart: true })
  const reloaded = await program.post('/admin/v1/reload')
  t.match(reloaded.json, { need_restart: ['LOG_FORMAT'], sentence: /1 changed.*LOG_FORMAT waits/ })
  t.match(await setting('LOG_LEVEL'), { value: 'debug' })
  write({ LOG_LEVEL: 'loud', HTTP_MAX_CONNECTIONS: 'many' })
  const wrong = await program.post('/admin/v1/reload')
  t.equal(wrong.status, 400)
  t.match(wrong.json.error.message, /HTTP_MAX_CONNECTIONS[^]*LOG_LEVEL[^]*Nothing was changed/)
  t.match(await setting('LOG_LEVEL'), { value: 'debug' })
  const latest = async () => (await program.get('/admin/v1/audit?limit=1')).json.entries[0]
  const failed = { action: 'settings.reload.failed', before: null }
  t.match(await latest(), { ...failed, who: 'operator', after: { reason: /LOG_LEVEL/ } })
  const bySignal = { who: 'signal', via: 'SIGHUP' }
  gateway.child.kill('SIGHUP')
  await until(async () => (await latest()).who === 'signal')
  t.match(await latest(), { ...failed, ...bySignal, after: { reason: /LOG_LEVEL/ } })
  rmSync(join(gateway.folder, '.env'))
  const gone = await program.post('/admin/v1/reload')
  t.match(gone.json.error, { message: /\.env cannot be read[^]*Nothing was changed/ })
  writeFileSync(join(gateway.folder, '.env'), Buffer.from('LOG_LEVEL=warn\n', 'utf16le'))
  const foreign = await program.post('/admin/v1/reload')
  t.match(foreign.json.error, { message: /\.env cannot be read: .*UTF-8[^]*Nothing was changed/ })
  const shownBroken = (await program.get('/admin/v1/settings')).json
  t.match(shownBroken, { file: '.env', problem: /UTF-8/ }, 'settings are shown all the same')
  t.match(await setting('LOG_LEVEL'), { value: 'debug' })
  write({ LOG_LEVEL: 'warn', LOG_FORMAT: 'json' })
  gateway.child.kill('SIGHUP')
  await until(async () => (await latest()).action === 'settings.reload')
  t.match(await latest(), { ...bySignal, before: { LOG_LEVEL: 'debug' } })

  const chat = (content: string) =>
    program.post('/v1/chat/completions', {
      model: 'claude-sonnet-5.5',
      messages: [{ role: 'user', content }]
    })
  t.equal((await chat('sim:quota')).status, 429)
  const bars = async () => (await program.get('/metrics')).text
  await until(async () => (await bars()).includes('account_bars{bar="monthly"} 1'))
  await allHeard(gateway, OPERATOR)
  t.equal((await chat('Hello')).status, 429, 'it is remembered')
  const { verdict } = (await program.get(STATE)).json
  t.match(verdict, {
    level: 'red',
    sentence: "Kiro's monthly credits are used up.",
    action: { label: 'Call Kiro again now', place: 'gateway' }
  })
  t.match((await program.get('/readyz')).json, { level: 'red', codes: ['quota-used-up'] })
  const left = async () => (await program.get(STATE)).json.credits.remaining
  await inTime(async () => (await left()) === 0, 'no credits are left in the figures either')
  t.same((await program.post('/admin/v1/account/lift', { bar: 'hourly' })).json.lifted, [])
  t.same((await program.post('/admin/v1/account/lift', { bar: 'monthly' })).json.lifted, [
    'monthly'
  ])
  const [state, ready] = await Promise.all([program.get(STATE), program.get('/readyz')])
  t.not(state.json.verdict.sentence, verdict.sentence, 'the judgement is another one at once')
  t.match(ready.json, { codes: [], verdict: state.json.verdict.code }, 'at /readyz, too')
  t.equal((await chat('Hello')).status, 200, 'asked again')
  await inTime(async () => (await left()) > 0, 'the figures are asked for again')
  t.match((await program.get(STATE)).json.verdict, { level: 'green' })

  const shown = (await program.get('/admin/v1/gateway')).json
  t.match(shown, { installed: /^(?:clone|npm)$/, fleet: null, connections: { members: Array } })
  t.same(
    shown.workers.map(({ slot }: { slot: number }) => slot),
    [1, 2]
  )
  const [{ pid }] = shown.workers
  const recycled = await program.post('/admin/v1/workers/1/recycle')
  t.match({ status: recycled.status, ...recycled.json }, { status: 202, slot: 1 })
  await until(async () => {
    const { workers } = (await program.get('/admin/v1/gateway')).json
    return workers[0].pid !== pid && workers[0].state === 'ready'
  })
  t.equal((await program.post('/admin/v1/workers/9/recycle')).status, 404)
  const audit = (await program.get('/admin/v1/audit?limit=2')).json
  t.match(
    audit.entries.map(({ action }: { action: string }) => action),
    ['worker.recycle', 'account.lift']
  )
  t.match(audit.entries[1], {
    subject: 'monthly quota',
    before: { in_force: true },
    after: { in_force: false }
  })
  const before = (await program.get(`/admin/v1/audit?cursor=${audit.next}`)).json.entries
  t.match(before.at(-1), {
    action: 'settings.reload',
    before: { LOG_LEVEL: 'info' },
    after: { LOG_LEVEL: 'debug' }
  })
})

t.test('the last failed request is amber, three are red, everywhere', async (t) => {
  const gateway = await startGateway({
    upstreamUrl: await startUpstream(t),
    env: { PROXY_API_KEY: OPERATOR, WORKERS: '2' }
  })
  t.teardown(() => gateway.destroy())
  const program = PanelClient.withKey(gateway.url, OPERATOR)
  const ask = (content: string) => send(program, content, 'req-1')
  const levels = async () => {
    const ready = await program.get('/readyz')
    return [(await program.get(STATE)).json.verdict.level, ready.json.level, ready.status]
  }
  /** Resolves when both tell this: one worker hears of it before the other. */
  const become = async (level: string, why: string) => {
    await until(async () => (await levels()).join() === [level, level, 200].join())
    t.pass(why)
  }
  await become('green', 'nothing has failed')
  await ask('sim:html')
  await become('amber', 'the last request has failed')
  for (let n = 0; n < 2; n++) await ask('sim:html')
  await become('red', 'three have; it can still serve, so a balancer keeps it')
  const told = async (): Promise<string> => {
    const { codes = [], problems = [] } = (await program.get('/readyz')).json
    return [...codes, ...problems].join()
  }
  await until(async () => /^requests-failing,.*last 3/.test(await told()))
  await ask('Hello')
  await become('amber', '3 of 4 in the last minute')
  await until(async () => !(await told()).includes('requests-failing'))
})

t.test('signs in to Kiro, cancels, and signs out', async (t) => {
  const services = await new FakeSignInServices().listen()
  t.teardown(() => services.close())
  const env = {
    PROXY_API_KEY: OPERATOR,
    WORKERS: '1',
    KIRO_OIDC_URL: services.url,
    KIRO_AUTH_URL: services.url,
    LOGIN_ON_START: 'true'
  }
  const gateway = await startGateway({ env })
  t.teardown(() => gateway.destroy())
  const program = PanelClient.withKey(gateway.url, OPERATOR)
  const SIGN_IN = '/admin/v1/sign-in'
  t.match((await program.get(SIGN_IN)).json, {
    state: 'signed-out',
    source_is_own: true,
    flow: null
  })
  for (const [param, body] of [
    ['provider', { provider: 'facebook' }],
    ['start_url', { provider: 'organisation', start_url: 'http://x' }],
    ['region', { provider: 'organisation', start_url: 'https://x.awsapps.com/start', region: '/' }]
  ] as const) {
    t.match((await program.post(SIGN_IN, body)).json.error, { code: 'GW_FIELD_INVALID', param })
  }
  const begun = await program.post(SIGN_IN, { provider: 'builder-id' })
  t.equal(begun.status, 201, begun.text)
  t.match(begun.json.flow, {
    state: 'waiting',
    url: /^https:/,
    user_code: /-/,
    restart_needed: false
  })
  const second = await program.post(SIGN_IN, { provider: 'google' })
  t.match(
    { status: second.status, ...second.json },
    { status: 409, error: { code: 'GW_CONFLICT' }, flow: { id: begun.json.flow.id } }
  )
  t.match((await program.post(`${SIGN_IN}/cancel`)).json.flow, { state: 'cancelled' })
  t.equal((await program.post(`${SIGN_IN}/cancel`)).status, 409)

  const social = (await program.post(SIGN_IN, { provider: 'google' })).json.flow
  t.match(social, { state: 'waiting', needs_paste: true, user_code: null })
  const foreign = await program.post(`${SIGN_IN}/paste`, {
    address: 'http://localhost:3128/?state=x'
  })
  t.match(foreign.json.error, { code: 'GW_FIELD_INVALID', param: 'address' })
  const pasted = await program.post(`${SIGN_IN}/paste`, { address: services.browse(social.url) })
  t.match(pasted.json.flow, { state: 'done', restart_needed: false }, pasted.text)
  await until(async () => (await program.get(SIGN_IN)).json.state === 'signed-in')
  t.notMatch(JSON.stringify(gateway.lines), /portal-code-|refresh-token-|-access-\d/)

  const out = await program.post('/admin/v1/sign-out')
  t.match(out.json, { was_signed_in: true })
  await until(async () => (await program.get(SIGN_IN)).json.state === 'signed-out')
  t.equal((await program.post('/admin/v1/sign-out')).json.was_signed_in, false)

  const again = (await program.post(SIGN_IN, { provider: 'builder-id' })).json.flow
  services.confirm(again.url) // the gateway may have printed a newer code
  await until(async () => (await program.get(SIGN_IN)).json.flow.state === 'done')
  t.equal((await program.get(SIGN_IN)).json.flow.id, again.id)
  await until(async () => (await program.get(SIGN_IN)).json.state === 'signed-in')
  const actions = (await program.get('/admin/v1/audit')).json.entries
  t.same(
    actions.map(({ action }: { action: string }) => action),
    [
      'sign-in.done',
      'sign-in.start',
      'sign-out',
      'sign-out',
      'sign-in.done',
      'sign-in.start',
      'sign-in.cancel',
      'sign-in.start'
    ]
  )
})

t.test('a trusted proxy names who operates the gateway', async (t) => {
  const gateway = await startGateway({
    env: {
      PROXY_API_KEY: OPERATOR,
      WORKERS: '1',
      SERVER_HOST: '0.0.0.0',
      TRUSTED_PROXIES: '127.0.0.1',
      DASHBOARD_TRUSTED_HEADER: 'X-Forwarded-User',
      DASHBOARD_OPERATORS: 'anna@example.com,ben'
    }
  })
  t.teardown(() => gateway.destroy())
  const url = `http://127.0.0.1:${new URL(gateway.url).port}`
  const proxied = (user: string): PanelClient =>
    new PanelClient(url, {
      origin: 'https://panel.example',
      host: 'panel.example',
      'sec-fetch-site': 'same-origin',
      'x-forwarded-proto': 'https',
      'x-forwarded-for': '203.0.113.9, 198.51.100.7',
      'x-forwarded-user': user
    })
  const anna = proxied('Anna@example.com')
  t.equal((await anna.get('/docs')).status, 200, 'the description is for them, too')
  t.equal((await proxied('eve').get('/docs')).status, 401)
  const session = (await anna.get('/dashboard/session')).json
  t.match(session, { role: 'operator', name: 'Anna@example.com', via: 'header', mayChange: true })
  t.equal((await anna.post(KEYS, { name: 'x' })).json.error.code, 'GW_CSRF_INVALID')
  const ben = (await proxied('ben').get('/dashboard/session')).json
  t.not(ben.csrf, session.csrf)
  const changing = anna.with({ 'x-csrf-token': session.csrf })
  t.equal((await anna.with({ 'x-csrf-token': ben.csrf }).post(KEYS, { name: 'x' })).status, 403)
  t.equal((await changing.post(KEYS, { name: 'x' })).status, 201)
  t.match((await changing.get('/admin/v1/audit')).json.entries, [
    { who: 'Anna@example.com', via: 'header', from: '198.51.100.7', action: 'key.add' }
  ])
  t.equal((await send(changing, 'Hello', 'try-1')).status, 200, 'a test prompt')
  for (const user of ['mallory', '', 'a\tb'])
    t.equal((await proxied(user).get(STATE)).status, 401, JSON.stringify(user))
  const passedOn = { authorization: 'Bearer token-of-the-proxy' } // as oauth2-proxy sends it
  t.equal((await anna.with(passedOn).get(STATE)).status, 200, 'a token of the provider is no key')
  t.equal((await anna.with(passedOn).post(KEYS, { name: 'y' })).json.error.code, 'GW_CSRF_INVALID')
  t.equal((await changing.with(passedOn).post(KEYS, { name: 'y' })).status, 201)
  t.equal((await send(changing.with(passedOn), 'Hello', 'try-2')).status, 200)
  t.equal((await proxied('mallory').with(passedOn).get(STATE)).status, 401)
  const ownKey = { authorization: `Bearer ${OPERATOR}` }
  t.equal((await proxied('mallory').with(ownKey).get(STATE)).status, 200, 'a key is a key')
  t.equal(await statusFrom('127.0.0.9', url + STATE, { 'x-forwarded-user': 'ben' }), 401, 'another')
  t.equal(await statusFrom('127.0.0.1', url + STATE, { 'x-forwarded-user': 'ben' }), 200)

  await t.test('and cannot be smuggled in', async (t) => {
    const cases: readonly (readonly [status: number, lines: readonly string[]])[] = [
      [200, ['X-Forwarded-User: ben']],
      [200, ['x-forwarded-user:   BEN  ']],
      [401, ['X-Forwarded-User: mallory', 'X-Forwarded-User: ben']],
      [401, ['X-Forwarded-User: ben', 'X-Forwarded-User: mallory']],
      [401, ['X-Forwarded-User: ben,mallory']],
      [401, ['X-Forwarded-User: "ben"']],
      [401, ['X_Forwarded_User: ben']],
      [401, ['X-Forwarded-User: \xa0ben\xa0']],
      [401, ['X-Forwarded-User: b\xe9n']],
      [400, ['X-Forwarded-User : ben']],
      [400, ['X-Forwarded-User: ben\0']],
      [400, ['X-Other: a\nX-Forwarded-User: ben']],
      [400, ['X-Other: a\rX-Forwarded-User: ben']],
      [400, ['X-Forwarded-User: mallory', ' ben']]
    ]
    for (const [status, lines] of cases)
      t.equal(await rawStatus(url, STATE, lines), status, JSON.stringify(lines))
  })
})

t.test('a gateway on the simulator starts again to use a new sign-in', async (t) => {
  const services = await new FakeSignInServices().listen()
  t.teardown(() => services.close())
  const proxy = await CountingProxy.start(t, 'http')
  const stateDir = t.testdir({})
  const env = {
    PROXY_API_KEY: OPERATOR,
    WORKERS: '2',
    VPN_PROXY_URL: proxy.url,
    KIRO_OIDC_URL: services.url,
    KIRO_AUTH_URL: services.url,
    STATE_DIR: stateDir
  }
  const first = await startGateway({ env })
  t.teardown(() => first.destroy())
  const program = PanelClient.withKey(first.url, OPERATOR)
  t.equal((await send(program, 'Hello', 'simulated-1')).status, 200)
  t.same(proxy.targets, [], 'the simulator is on this machine')
  const { flow } = (await program.post('/admin/v1/sign-in', { provider: 'github' })).json
  const done = await program.post('/admin/v1/sign-in/paste', {
    address: services.browse(flow.url, 'github')
  })
  t.match(done.json.flow, { state: 'done', restart_needed: true, sentence: /Restart the gateway/ })
  t.equal((await program.get(STATE)).json.upstream, 'simulator')
  t.same(proxy.targets, [new URL(services.url).host], 'the sign-in goes through the proxy')
  const { settings } = (await program.get('/admin/v1/settings')).json
  const ofProxy = settings.find(({ name }: { name: string }) => name === 'VPN_PROXY_URL')
  t.match(ofProxy, { value: 'set', pending: null })
  const file = join(first.folder, '.env')
  writeFileSync(file, 'LOG_LEVEL=loud\n')
  const refused = await program.post('/admin/v1/restart')
  t.match(
    { status: refused.status, ...refused.json.error },
    { status: 409, message: /LOG_LEVEL[^]*The gateway was not restarted/ }
  )
  writeFileSync(file, '')
  const before = first.lines.length
  const restarted = await program.post('/admin/v1/restart')
  t.equal(restarted.status, 202, restarted.text)
  const again = await first.logged(({ msg }) => msg === 'gateway ready', before)
  t.equal(first.child.exitCode, null, 'in the same process')
  const children = readFileSync(`/proc/${first.child.pid}/task/${first.child.pid}/children`, 'utf8')
  t.equal(children.trim().split(' ').length, 2, 'with its two workers and nothing of before')
  const after = PanelClient.withKey(String(again['url']), OPERATOR)
  t.match((await after.get(STATE)).json, { upstream: 'kiro', sign_in: { state: 'signed-in' } })
  const [last, entry] = (await after.get('/admin/v1/audit')).json.entries
  t.match(last, { action: 'gateway.restart', who: 'operator' })
  t.match(entry, { action: 'sign-in.done', subject: 'Github' }, 'the log outlives the gateway')
})
