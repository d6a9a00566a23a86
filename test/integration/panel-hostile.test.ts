import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { BookDatabase } from '../../src/control/book/book-database.ts'
import { NOTHING_USED, usagePath } from '../../src/control/book/usage-sums.ts'
import { PANEL_ACTION_NAMES, PANEL_ACTIONS, PERSONAL_ACTIONS } from '../../src/ipc/panel.ts'
import { markOf } from '../../src/shared/process-mark.ts'
import { allHeard } from '../helper/all-heard.ts'
import { until } from '../helper/fleet-team.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { ofPage, PanelClient, type PanelReply } from '../helper/panel-client.ts'

/*
 * What strangers, colleagues and other sites try at the panel, over real sockets. Every action of the table is tried, so a new
 * one is covered from its first day.
 */

t.setTimeout(600_000) // processes, on a machine that may be very busy
t.jobs = 1

const OPERATOR = 'operator-key-of-the-panel'
const KEYS = '/admin/v1/keys'
const AUDIT = '/admin/v1/audit'
const STATE = '/admin/v1/state'

interface Action {
  readonly name: (typeof PANEL_ACTION_NAMES)[number]
  readonly isChange: boolean
  readonly isPersonal: boolean
  readonly call: (client: PanelClient) => Promise<PanelReply>
}

function tokenOf(client: PanelClient) {
  return { 'x-csrf-token': client.headers['x-csrf-token'] ?? '' }
}

/** All actions, about this key. */
function actionsOn(id: string): readonly Action[] {
  return PANEL_ACTION_NAMES.map((name) => {
    const [method, pattern] = PANEL_ACTIONS[name]
    const path = pattern.replace(':id', id).replace(':n', '1').replace(':slot', '1')
    const body = { name: 'mallory', version: '*', provider: 'builder-id', address: 'x' }
    return {
      name,
      isChange: method === 'POST',
      isPersonal: PERSONAL_ACTIONS.has(name),
      call: (client) => (method === 'POST' ? client.post(path, body) : client.get(path))
    }
  })
}

/** Resolves when so many requests in a row show it, over connections that any worker may take. */
async function heardBy(isSo: () => Promise<boolean>): Promise<void> {
  for (let times = 0; times < 8; ) times = (await isSo()) ? times + 1 : 0
}

t.test('no action of the table is open to anybody else', async (t) => {
  const gateway = await startGateway({
    env: { PROXY_API_KEY: OPERATOR },
    envFile: { DASHBOARD: 'on' }
  })
  t.teardown(() => gateway.destroy())
  const { url } = gateway
  const program = PanelClient.withKey(url, OPERATOR)
  const page = await PanelClient.signedIn(url, OPERATOR)
  const other = await PanelClient.signedIn(url, OPERATOR)
  const { secret, key } = (await program.post(KEYS, { name: 'anna' })).json
  const person = await PanelClient.signedIn(url, secret)
  const named = PanelClient.withKey(url, secret)
  const actions = actionsOn(key.id)
  const changes = actions.filter(({ isChange }) => isChange)
  const reads = actions.filter(({ isChange }) => !isChange)
  const before = (await program.get(AUDIT)).json.entries

  const refused = async (
    some: readonly Action[],
    client: PanelClient,
    code: string,
    about: string
  ): Promise<void> => {
    const found = await Promise.all(some.map(({ call }) => call(client)))
    t.same(
      found.map(({ json }, at) => [some[at]?.name, json?.error?.code]),
      some.map(({ name }) => [name, code]),
      about
    )
  }
  await refused(actions, new PanelClient(url), 'GW_KEY_MISSING', 'a stranger')
  await refused(
    actions,
    new PanelClient(url, ofPage(url)),
    'GW_KEY_MISSING',
    'a page, not signed in'
  )
  await refused(actions, PanelClient.withKey(url, 'wrong'), 'GW_KEY_INVALID', 'a wrong key')
  await refused(actions, PanelClient.withKey(url, 'ksk_mine'), 'GW_KEY_INVALID', 'a Kiro key')
  const operators = actions.filter(({ isPersonal, isChange }) => isChange || !isPersonal)
  await refused(operators, named, 'GW_OPERATOR_ONLY', 'a named key')
  await refused(operators, person, 'GW_OPERATOR_ONLY', 'a person who has signed in')

  const forged: readonly (readonly [about: string, client: PanelClient])[] = [
    ['no token', page.without('x-csrf-token')],
    ['an empty one', page.with({ 'x-csrf-token': '' })],
    ['a made-up one', page.with({ 'x-csrf-token': 'A'.repeat(43) })],
    ['that of another session', page.with(tokenOf(other))],
    ['that of a person', page.with(tokenOf(person))]
  ]
  for (const [about, client] of forged) await refused(changes, client, 'GW_CSRF_INVALID', about)
  const sites: readonly (readonly [about: string, headers: Record<string, string>])[] = [
    ['another site', { 'sec-fetch-site': 'cross-site' }],
    ['another port of this host', { 'sec-fetch-site': 'same-site' }],
    ['a typed address', { 'sec-fetch-site': 'none' }]
  ]
  for (const [about, headers] of sites)
    await refused(changes, page.with(headers), 'GW_OTHER_SITE', about)
  const old = page.without('sec-fetch-site')
  for (const origin of ['https://evil.example', 'null', `${url}.evil.example`, `${url}0`])
    await refused(changes, old.with({ origin }), 'GW_OTHER_SITE', `origin ${origin}`)
  for (const site of ['cross-site', 'same-site'])
    await refused(reads, page.with({ 'sec-fetch-site': site }), 'GW_OTHER_SITE', `reads, ${site}`)
  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp'
  ]) {
    const form = await page.post(KEYS, { name: 'mallory' }, { 'content-type': type })
    t.equal(form.json.error.code, 'GW_BODY_INVALID', type)
  }

  const passedOn = page.with({ authorization: "Bearer a-token-of-the-proxy's-provider" })
  t.equal((await passedOn.get(STATE)).status, 200, 'who has signed in stays who they are')
  const withoutToken = passedOn.without('x-csrf-token')
  await refused(changes, withoutToken, 'GW_CSRF_INVALID', 'with their form token')
  const ofAnna = page.with({ authorization: `Bearer ${secret}` })
  await refused(operators, ofAnna, 'GW_OPERATOR_ONLY', 'a known key')
  const told = async (client: PanelClient) => (await client.get(STATE)).json.error.message
  const header = /"Authorization: Bearer OPERATOR_KEY" with a key of PROXY_API_KEY/
  t.match(await told(new PanelClient(url)), header, 'a program is told how to send its key')
  t.match(await told(PanelClient.withKey(url, 'wrong-key')), header)
  t.match(await told(new PanelClient(url, ofPage(url))), /Open the page at \/ and sign in/)

  t.same((await program.get(AUDIT)).json.entries, before, 'nothing was done')
  for (const { name, call, isChange } of actions.filter(({ isPersonal }) => isPersonal)) {
    const { status } = await call(named)
    t.ok(isChange ? status === 403 : [200, 404].includes(status), `${name} is a person's own`)
  }
  const own = { role: 'person', name: 'anna' }
  t.match((await named.get('/admin/v1/me')).json, { ...own, key: { id: key.id } })
  t.match((await person.get('/admin/v1/me')).json, own)
  const whyNot = { code: 'GW_OPERATOR_ONLY' }
  const session = (await person.get('/dashboard/session')).json
  t.match(session, { ...own, mayChange: false, whyNot })
  t.equal((await person.get('/dashboard/events')).status, 403, 'the feed is the operator’s')
  t.equal((await program.get('/admin/v1/nothing')).status, 404)

  await gateway.reload({ DASHBOARD: 'read-only' })
  await heardBy(async () => (await program.post(KEYS)).json?.error?.code === 'GW_READ_ONLY')
  await refused(changes, program, 'GW_READ_ONLY', 'read-only, a program')
  await refused(changes, page, 'GW_READ_ONLY', 'read-only, the page')
  t.equal((await page.get(STATE)).json.read_only, true)
  t.match((await page.get('/dashboard/session')).json, {
    mayChange: false,
    whyNot: { code: 'GW_READ_ONLY' }
  })
  for (const { name, call } of reads.filter(({ isPersonal }) => !isPersonal))
    t.ok([200, 404].includes((await call(program)).status), `${name} is shown`)
  await gateway.reload({ DASHBOARD: 'off' })
  await heardBy(async () => (await program.get(KEYS)).status === 404)
  await refused(actions, program, 'unknown_url', 'off, as if it did not exist')
  await refused(actions, page, 'unknown_url', 'off, the page')
  for (const path of ['/', '/dashboard/session'])
    t.equal((await program.get(path)).status, 404, `off: ${path}`)
  await gateway.reload({ DASHBOARD: 'on' })
  await allHeard(gateway, OPERATOR)
  const { entries } = (await program.get(AUDIT)).json
  const byPeople = entries.filter(({ who }: { who: string }) => who !== 'signal')
  t.same(byPeople, before, 'nothing was done, but the reloads of this test')

  const heads = await Promise.all(reads.map(async ({ call }) => (await call(program)).headers))
  for (const headers of heads)
    t.match(headers, {
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': /frame-ancestors 'none'/,
      'x-content-type-options': 'nosniff'
    })

  t.equal((await page.post(`${KEYS}/${key.id}/revoke`)).status, 200)
  t.equal((await person.get('/admin/v1/me')).status, 401, 'a session ends with its key')
})

t.test('addresses that a proxy tells', async (t) => {
  const gateway = await startGateway({
    env: {
      PROXY_API_KEY: OPERATOR,
      WORKERS: '1',
      SERVER_HOST: '0.0.0.0',
      TRUSTED_PROXIES: '10.0.0.0/8'
    }
  })
  t.teardown(() => gateway.destroy())
  const url = `http://127.0.0.1:${new URL(gateway.url).port}`
  const program = PanelClient.withKey(url, OPERATOR)
  const cases: readonly (readonly [told: string, kept: string])[] = [
    ['203.0.113.9', '203.0.113.9'],
    ['192.0.2.66, 203.0.113.9', '203.0.113.9'],
    ['192.0.2.66, 203.0.113.9, 10.0.0.2, 127.0.0.1', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['203.0.113.9:50123', '203.0.113.9'],
    ['[2001:db8::7]:443', '2001:db8::7'],
    ['2001:db8::7', '2001:db8::7'],
    ['192.0.2.66, unknown', '127.0.0.1'],
    ['<img src=x onerror=alert(1)>', '127.0.0.1'],
    ['=cmd|calc', '127.0.0.1'],
    ['', '127.0.0.1']
  ]
  for (const [at, [told]] of cases.entries())
    t.equal((await program.post(KEYS, { name: `k${at}` }, { 'x-forwarded-for': told })).status, 201)
  const { entries } = (await program.get(AUDIT)).json
  t.same(
    entries.map(({ from }: { from: string }) => from).toReversed(),
    cases.map(([, kept]) => kept)
  )
})

/** Tries to sign in from an address. */
function guess(url: string, from: string, key: string): Promise<PanelReply> {
  const client = new PanelClient(url, { ...ofPage(url), 'x-forwarded-for': from })
  return client.post('/dashboard/session', { key })
}

t.test('fields and keys that are wrong', async (t) => {
  const gateway = await startGateway({ env: { PROXY_API_KEY: OPERATOR, WORKERS: '1' } })
  t.teardown(() => gateway.destroy())
  const { url } = gateway
  const program = PanelClient.withKey(url, OPERATOR)

  await t.test('wrong fields are named, and nothing is done', async (t) => {
    const wrong: readonly (readonly [param: string, body: object])[] = [
      ['name', {}],
      ['name', { name: 'operator' }],
      ['name', { name: '<script>' }],
      ['credits', { name: 'a', credits: '20/moon' }],
      ['credits', { name: 'a', credits: { limit: -1, period: 'day' } }],
      ['requests_per_minute', { name: 'a', requests_per_minute: 0 }],
      ['max_streams', { name: 'a', max_streams: 1.5 }],
      ['models', { name: 'a', models: ['with space'] }],
      ['expires', { name: 'a', expires: '2020-01-01' }],
      ['overage', { name: 'a', overage: 'yes' }]
    ]
    for (const [param, body] of wrong) {
      const reply = await program.post(KEYS, body)
      t.match(
        { status: reply.status, ...reply.json.error },
        { status: 400, code: 'GW_FIELD_INVALID', param },
        JSON.stringify(body)
      )
    }
    t.equal((await program.post(KEYS, { name: 'a' })).status, 201)
    const double = await program.post(KEYS, { name: 'A' })
    t.match({ status: double.status, ...double.json.error }, { status: 409, code: 'GW_CONFLICT' })
    const both = await Promise.all([1, 2].map(() => program.post(KEYS, { name: 'twice' })))
    t.same(
      both.map(({ status }) => status).toSorted((a, b) => a - b),
      [201, 409],
      'a double click makes one key'
    )
    const { keys } = (await program.get(KEYS)).json
    t.same(keys.map(({ name }: { name: string }) => name).toSorted(), ['a', 'twice'])
    const long = await program.post(KEYS, { name: 'b', models: ['x'.repeat(20_000)] })
    t.equal(long.json.error.code, 'GW_BODY_TOO_LARGE')
  })

  await t.test(
    'a field of another type is refused, not taken for one that was left out',
    async (t) => {
      const { key } = (await program.post(KEYS, { name: 'anna' })).json
      const own = `${KEYS}/${key.id}`
      const cases: readonly (readonly [path: string, param: string, body: object])[] = [
        [KEYS, 'name', { name: ['anna'] }],
        [`${own}/rotate`, 'grace', { grace: 24 }],
        [`${own}/rotate`, 'version', { version: 1, grace: '24h' }],
        [`${own}/revoke`, 'version', { version: {} }],
        ['/admin/v1/account/lift', 'bar', { bar: ['daily'] }],
        ['/admin/v1/sign-in', 'provider', { provider: ['organisation'] }],
        ['/admin/v1/sign-in', 'start_url', { provider: 'organisation', start_url: {} }]
      ]
      for (const [path, param, body] of cases) {
        const reply = await program.post(path, body)
        t.match(
          { status: reply.status, ...reply.json.error },
          { status: 400, code: 'GW_FIELD_INVALID', param },
          `${path} ${JSON.stringify(body)}`
        )
      }
      t.equal((await program.get(own)).json.key.version, key.version, 'nothing has changed')
    }
  )

  await t.test('guessing is slowed down, and nobody is locked out', async (t) => {
    const began = performance.now()
    const guesses = await Promise.all(
      Array.from({ length: 100 }, (_, n) => guess(url, '192.0.2.1', `guess-${n}`))
    )
    const found = Map.groupBy(guesses, ({ status }) => status)
    t.equal(found.get(401)?.length, 5, 'each is answered')
    t.equal(found.get(429)?.length, 95, 'too many')
    t.ok(performance.now() - began >= 1_000, 'each beyond them takes a second')
    t.ok(found.get(429)?.every(({ headers }) => Number(headers['retry-after']) > 0))
    t.equal(
      (await guess(url, '192.0.2.1', OPERATOR)).status,
      200,
      'the operator behind the same proxy'
    )
    const spread = await Promise.all(
      Array.from({ length: 200 }, (_, n) => guess(url, `198.51.100.${n}`, `guess-${n}`))
    )
    t.ok(
      spread.filter(({ status }) => status === 401).length <= 60,
      'many addresses have a limit in all'
    )
    t.equal((await guess(url, '203.0.113.9', OPERATOR)).status, 200, 'the operator from elsewhere')
  })
})

t.test('the cookie of a session', async (t) => {
  const gateway = await startGateway({
    env: { PROXY_API_KEY: OPERATOR, SERVER_HOST: '0.0.0.0', WORKERS: '2' }
  })
  t.teardown(() => gateway.destroy())
  const url = `http://127.0.0.1:${new URL(gateway.url).port}`
  const cookieOf = async (headers: Record<string, string>): Promise<string> => {
    const reply = await new PanelClient(url, headers).post('/dashboard/session', { key: OPERATOR })
    return String(reply.headers['set-cookie'])
  }
  const FLAGS = /; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict(; Secure)?$/
  const plain = await cookieOf(ofPage(url))
  t.match(plain, FLAGS)
  t.notMatch(plain, /Secure/)
  const byTls = await cookieOf({
    ...ofPage('https://panel.example'),
    host: 'panel.example',
    'x-forwarded-proto': 'https'
  })
  t.match(byTls, /; SameSite=Strict; Secure$/)
  const planted = 'kiro_gateway_session=2.zzzzzzzz.planted'
  const fresh = await cookieOf({ ...ofPage(url), cookie: planted })
  t.notMatch(fresh, 'planted', 'a sign-in takes no session that was there before')

  const page = await PanelClient.signedIn(url, OPERATOR)
  t.equal((await page.get('/admin/v1/state')).status, 200)
  const left = await page.delete('/dashboard/session')
  t.equal(left.status, 204)
  t.match(String(left.headers['set-cookie']), /kiro_gateway_session=; Path=\/; Max-Age=0/)
  // The other worker is told.
  await until(async () => (await page.get('/admin/v1/state')).status === 401)
  t.equal((await page.post(KEYS, { name: 'late' })).status, 401, 'a copy of the cookie ends, too')
  const program = PanelClient.withKey(url, OPERATOR)
  for (const slot of [1, 2]) {
    const began = gateway.lines.length
    await program.post(`/admin/v1/workers/${slot}/recycle`)
    await gateway.logged(
      ({ msg, state, workerId }) =>
        msg === 'worker changed state' && state === 'ready' && workerId === slot,
      began
    )
  }
  t.equal((await page.get('/admin/v1/state')).status, 401, 'also for workers that start later')
})

/** Everything that is in the files of a folder. */
function filesIn(folder: string): readonly (readonly [name: string, bytes: Buffer])[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => [name, readFileSync(join(parentPath, name))] as const)
}

t.test('a secret is shown once and is nowhere afterwards', async (t) => {
  const gateway = await startGateway({
    env: {
      PROXY_API_KEY: OPERATOR,
      DEBUG_MODE: 'all',
      DEBUG_CONTENT: 'true',
      LOG_LEVEL: 'debug',
      WORKERS: '2'
    }
  })
  t.teardown(() => gateway.destroy())
  const program = PanelClient.withKey(gateway.url, OPERATOR)
  const page = await PanelClient.signedIn(gateway.url, OPERATOR)
  const made = await page.post(KEYS, { name: 'anna', credits: '5/day' })
  const { key } = made.json
  const rotated = await page.post(`${KEYS}/${key.id}/rotate`, { grace: '24h' })
  const secrets = [made.json.secret, rotated.json.secret].map(String)
  const { cookie = '', 'x-csrf-token': token = '' } = page.headers
  for (const secret of secrets) {
    const client = PanelClient.withKey(gateway.url, secret)
    for (const content of ['Hello', 'sim:reset']) {
      await client.post('/v1/chat/completions', {
        model: 'claude-sonnet-4.5',
        messages: [{ role: 'user', content }]
      })
    }
    await PanelClient.signedIn(gateway.url, secret)
  }
  const feed = await firstOfFeed(gateway.url, page.headers)
  await until(async () => (await program.get('/admin/v1/requests')).json.requests.length === 4)
  const pages = await Promise.all(
    [
      ...actionsOn(key.id).filter(({ isChange }) => !isChange),
      ...['/metrics', '/readyz', '/v1/usage', '/openapi.json', '/dashboard/session'].map(
        (path) => ({ name: path, call: (client: PanelClient) => client.get(path) })
      )
    ].map(async ({ name, call }) => [name, (await call(program)).text] as const)
  )
  const places: readonly (readonly [string, string | Buffer])[] = [
    ...pages,
    ['feed', feed],
    ['log', JSON.stringify(gateway.lines)],
    ['stderr', gateway.stderr],
    ...filesIn(gateway.folder)
  ]
  t.ok(places.some(([name]) => name === 'usage.db'))
  const hidden = [...secrets, OPERATOR, cookie.split('=')[1] ?? '', token]
  for (const [name, place] of places)
    t.same(
      hidden.filter((secret) => secret === '' || place.includes(secret)),
      [],
      name
    )
})

async function firstOfFeed(
  url: string,
  headers: Readonly<Record<string, string>>
): Promise<string> {
  const gone = new AbortController()
  const answer = await fetch(`${url}/dashboard/events`, { headers, signal: gone.signal })
  const reader = answer.body?.getReader()
  let told = ''
  while (!told.includes('event: snapshot')) {
    const { value, done } = (await reader?.read()) ?? { done: true, value: undefined }
    told += Buffer.from(value ?? []).toString()
    if (done) break
  }
  gone.abort()
  return told
}

const DAY_MS = 86_400_000
const DAYS = 90
const PEOPLE = 300
const FORMULA = '=cmd|calc'

/** A record of 90 days of a company, as an earlier gateway has left it. */
async function companyRecord(stateDir: string): Promise<void> {
  const now = Date.now()
  const today = Math.floor(now / DAY_MS)
  const { book } = await BookDatabase.open({
    path: usagePath(stateDir),
    now,
    run: { id: 'earlier', mark: markOf(process.pid) },
    isKept: true,
    periods: [],
    damagedFile: null
  })
  const people = Array.from({ length: PEOPLE }, (_, n) => `k_${String(n).padStart(4, '0')}`)
  await book.commit({
    seq: 0,
    now,
    isKept: true,
    rows: [],
    sums: people.flatMap((key) =>
      Array.from({ length: DAYS }, (_, back) => ({
        day: today - back,
        key,
        client: 'claude-code',
        model: FORMULA,
        sums: { ...NOTHING_USED, requests: 1, credits: 1_000_000 }
      }))
    ),
    names: people.map((key) => [key, `person ${key.slice(2)}`] as const),
    charges: [],
    asks: [],
    prices: [],
    audit: [],
    pruneBefore: 0
  })
  book.close()
}

t.test(
  '90 days of 300 people: all of it as CSV, and nobody keeps the operator waiting',
  async (t) => {
    const stateDir = t.testdir({})
    await companyRecord(stateDir)
    const env = { PROXY_API_KEY: OPERATOR, STATE_DIR: stateDir, WORKERS: '1' }
    const gateway = await startGateway({ env })
    t.teardown(() => gateway.destroy())
    const program = PanelClient.withKey(gateway.url, OPERATOR)
    const csv = await program.get('/admin/v1/usage?by=day&split=key&format=csv')
    const lines = csv.text.trimEnd().split('\r\n')
    t.equal(lines.length, 1 + DAYS * PEOPLE, 'each row')
    t.equal(new Set(lines).size, lines.length, 'once')
    t.match(lines[0], /^day,key,requests,/)
    t.match(csv.headers, { 'content-disposition': /attachment/, 'cache-control': 'no-store' })
    const byModel = await program.get('/admin/v1/usage?by=model&format=csv')
    t.match(byModel.text, /\r\n'=cmd\|calc,27000,/, 'no cell is a formula')

    const { json } = await program.get('/admin/v1/usage?by=day&split=key')
    const today = new Date().toISOString().slice(0, 10)
    const perDay = Map.groupBy(json.rows, ({ day }: { day: string }) => day)
    t.match(json, { truncated: true, total: { requests: DAYS * PEOPLE, credits: DAYS * PEOPLE } })
    t.equal(perDay.get(today)?.length, PEOPLE, 'the newest days are there')
    t.same(
      [...perDay.values()].filter((of) => of.length !== PEOPLE),
      [],
      'and each is whole'
    )
    t.same([...perDay.keys()], [...perDay.keys()].toSorted(), 'in their order')

    const { secret } = (await program.post(KEYS, { name: 'anna' })).json
    const anna = PanelClient.withKey(gateway.url, secret)
    const flood = Array.from({ length: 100 }, () => anna.get('/admin/v1/me/requests?id=nothing'))
    const own = await Promise.all(
      Array.from({ length: 20 }, () => program.get('/admin/v1/requests?limit=1'))
    )
    t.same([...new Set(own.map(({ status }) => status))], [200], 'the operator is answered')
    const answered = await Promise.all(flood)
    t.match(
      answered.find(({ status }) => status !== 200)?.json ?? { error: { code: 'GW_CONFLICT' } },
      { error: { code: 'GW_CONFLICT' } }
    )
  }
)
