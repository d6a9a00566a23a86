import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { allHeard } from '../helper/all-heard.ts'
import { DEVICE_GRANT, DeviceClient, statusWith, tokensOf } from '../helper/device-client.ts'
import { until } from '../helper/fleet-team.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { PanelClient } from '../helper/panel-client.ts'

/* The sign-in of devices over real sockets, to the letter of RFC 8628, 8414 and 7009. */

t.setTimeout(600_000) // real processes, on a machine that may be busy

const OPERATOR = 'the-key-of-the-operator'

interface Stand {
  readonly gateway: GatewayProcess
  readonly device: DeviceClient
  readonly panel: PanelClient
}

async function setUp(
  t: Test,
  env: Record<string, string> = {},
  envFile: Record<string, string> = {}
): Promise<Stand> {
  const gateway = await startGateway({
    env: { PROXY_API_KEY: OPERATOR, WORKERS: '2', WORKER_SPREAD: 'even', ...env },
    envFile
  })
  t.teardown(() => gateway.destroy())
  const panel = PanelClient.withKey(gateway.url, OPERATOR)
  return { gateway, device: new DeviceClient(gateway.url), panel }
}

const stand = await setUp(t)
const { gateway, device, panel } = stand

t.test('RFC 8414: the metadata', async (t) => {
  const { status, headers, json } = await device.metadata()
  t.equal(status, 200)
  t.match(headers.get('content-type'), /^application\/json/, '§3.2 MUST: application/json')
  t.equal(headers.get('cache-control'), 'no-store')
  t.equal(json.issuer, gateway.url, '§3.3 MUST: identical to the address that was asked')
  t.same(json, {
    issuer: gateway.url,
    device_authorization_endpoint: `${gateway.url}/oauth/device_authorization`,
    token_endpoint: `${gateway.url}/oauth/token`,
    revocation_endpoint: `${gateway.url}/oauth/revoke`,
    grant_types_supported: [DEVICE_GRANT, 'refresh_token'],
    response_types_supported: [],
    token_endpoint_auth_methods_supported: ['none'],
    revocation_endpoint_auth_methods_supported: ['none'],
    gateway_protocol_version: 1
  })
  for (const value of Object.values(json))
    t.ok(!Array.isArray(value) || value.length > 0 || value === json.response_types_supported)
})

t.test('RFC 8628 §3.1, §3.2: asking for codes', async (t) => {
  const { status, headers, json } = await device.ask({ client_id: 'a-client', extra: 'ignored' })
  t.equal(status, 200)
  t.match(headers.get('content-type'), /^application\/json/)
  t.equal(headers.get('cache-control'), 'no-store')
  t.match(json.device_code, /^kgd_/)
  t.match(json.user_code, /^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/)
  t.equal(json.verification_uri, `${gateway.url}/device`)
  t.equal(json.verification_uri_complete, `${gateway.url}/device?user_code=${json.user_code}`)
  t.equal(json.expires_in, 600)
  t.equal(json.interval, 5)
  const again = await device.ask({})
  t.equal(again.status, 200, 'without client_id, as Claude Code asks')
  t.not(again.json.device_code, json.device_code)
  const doubled = await device.post('/oauth/device_authorization', 'surface=a&surface=b')
  t.match(doubled, { status: 400, json: { error: 'invalid_request' } }, 'RFC 6749 §3.2 MUST NOT')
  const asJson = await device.post('/oauth/device_authorization', '{}', {
    'content-type': 'application/json'
  })
  t.match(asJson, { status: 400, json: { error: 'invalid_request' } }, '§3.1: form-encoded')
})

t.test('RFC 8628 §3.4, §3.5: polling for tokens', async (t) => {
  const { json: asked } = await device.ask({ client_id: 'laptop', host_name: 'lab-7' })
  const early = await device.poll(asked.device_code, { client_id: 'laptop' })
  t.match(early, { status: 400, json: { error: 'authorization_pending' } })
  t.equal(early.headers.get('cache-control'), 'no-store')
  const hasty = await device.poll(asked.device_code, { client_id: 'laptop' })
  t.match(hasty, { status: 400, json: { error: 'slow_down' } }, 'faster than the interval')
  const { json: shown } = await panel.get('/admin/v1/devices')
  const pending = shown.pending.find(({ code }: { code: string }) => code === asked.user_code)
  t.match(pending, { client: 'laptop', host: 'lab-7', address: '127.0.0.1' })
  const lifeMs = Date.parse(pending.expires_at) - Date.parse(pending.asked_at)
  t.ok(lifeMs >= 600_000 && lifeMs <= 601_000, `${lifeMs}`)

  const approved = await panel.post('/admin/v1/devices/approve', {
    code: asked.user_code.toLowerCase().replace('-', ' '),
    new: { name: 'anna', credits: '200/month' }
  })
  t.match(approved, { status: 200, json: { key: { name: 'anna', state: 'active' } } })
  t.notOk('secret' in approved.json, 'nobody sees the secret of the key')
  t.notMatch(approved.text, /kgw_/)
  const other = await device.poll(asked.device_code, { client_id: 'other' })
  t.match(other, { status: 400, json: { error: 'invalid_grant' } }, 'a code of another client')
  const got = await device.poll(asked.device_code, { client_id: 'laptop' })
  t.equal(got.status, 200)
  t.equal(got.headers.get('cache-control'), 'no-store', 'RFC 6749 §5.1 MUST')
  t.equal(got.headers.get('pragma'), 'no-cache', 'RFC 6749 §5.1 MUST')
  t.match(got.json, {
    access_token: /^kgt_/,
    token_type: 'Bearer',
    expires_in: 3600,
    refresh_token: /^kgr_/
  })
  const again = await device.poll(asked.device_code, { client_id: 'laptop' })
  t.match(again, { status: 400, json: { error: 'invalid_grant' } }, 'a device code is good once')

  const denied = await device.ask()
  await panel.post('/admin/v1/devices/deny', { code: denied.json.user_code })
  t.match(await device.poll(denied.json.device_code), {
    status: 400,
    json: { error: 'access_denied' }
  })
})

t.test('RFC 6749 §5.2: errors of the token endpoint', async (t) => {
  for (const [form, error] of [
    [{}, 'invalid_request'],
    [{ grant_type: '' }, 'invalid_request'],
    [{ grant_type: 'password' }, 'unsupported_grant_type'],
    [{ grant_type: DEVICE_GRANT }, 'invalid_request'],
    [{ grant_type: DEVICE_GRANT, device_code: 'kgd_x' }, 'invalid_grant'],
    [{ grant_type: 'refresh_token' }, 'invalid_request']
  ] as const) {
    const { status, headers, json } = await device.post('/oauth/token', form)
    t.match({ status, error: json.error }, { status: 400, error }, JSON.stringify(form))
    t.match(
      json.error_description,
      /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/,
      'MUST NOT: other characters'
    )
    t.match(headers.get('content-type'), /^application\/json/)
  }
  const { status, headers, json } = await device.refresh('kgr_unknown')
  t.match({ status, error: json.error }, { status: 401, error: 'invalid_grant' })
  t.equal(headers.get('x-should-retry'), 'false')
  t.match(headers.get('www-authenticate'), /^Bearer/, 'RFC 9110 §15.5.2 MUST')
  const long = await device.post('/oauth/token', { grant_type: 'x'.repeat(20_000) })
  t.match(long, { status: 400, json: { error: 'invalid_request' } })
  const get = await fetch(`${gateway.url}/oauth/token`)
  t.equal(get.status, 405, 'RFC 6749 §3.2 MUST: POST')
})

t.test('an access token is the key itself, in each header and each worker', async (t) => {
  const { access } = await device.signIn(panel, { key: 'anna' })
  const usage = async (headers: Record<string, string>) =>
    (
      await fetch(`${gateway.url}/v1/usage`, { headers: { ...headers, connection: 'close' } })
    ).json()
  for (let turn = 0; turn < 6; turn += 1) {
    t.match(await usage({ authorization: `Bearer ${access}` }), { key: 'anna' })
    t.match(await usage({ 'x-api-key': access }), { key: 'anna' })
  }
  const asked = await fetch(`${gateway.url}/v1/messages`, {
    method: 'POST',
    headers: { authorization: `Bearer ${access}`, 'anthropic-version': '2023-06-01' },
    body: JSON.stringify({
      model: 'claude-sonnet-4.6',
      max_tokens: 100,
      messages: [{ role: 'user', content: 'Hello' }]
    })
  })
  t.equal(asked.status, 200)
  await asked.text()
  const { json } = await panel.get('/admin/v1/keys')
  const anna = json.keys.find(({ name }: { name: string }) => name === 'anna')
  t.ok(anna.credits.used > 0, 'and counts for it')
  const operators = await fetch(`${gateway.url}/metrics`, {
    headers: { authorization: `Bearer ${access}` }
  })
  t.equal(operators.status, 403, 'it is no operator')
  await operators.text()
})

t.test('RFC 6749 §6 and RFC 6749 §10.4: refreshing, once for each token', async (t) => {
  const first = await device.signIn(panel, { key: 'anna' })
  const second = tokensOf(await device.refresh(first.refresh))
  t.not(second.refresh, first.refresh)
  t.equal(await statusWith(gateway.url, second.access), 200)
  t.equal(await statusWith(gateway.url, first.access), 200, 'until it expires')
  const reused = await device.refresh(first.refresh)
  t.match(reused, { status: 401, json: { error: 'invalid_grant' } })
  for (let turn = 0; turn < 6; turn += 1) {
    t.equal(await statusWith(gateway.url, second.access), 401, 'the whole sign-in has ended')
    t.equal(await statusWith(gateway.url, first.access, 'x-api-key'), 401)
  }
  t.equal((await device.refresh(second.refresh)).status, 401)
  await gateway.logged(({ msg }) => /a used refresh token was presented again/.test(String(msg)))
})

t.test('RFC 7009: revoking', async (t) => {
  const one = await device.signIn(panel, { key: 'anna' })
  const other = await device.signIn(panel, { key: 'anna' })
  const revoked = await device.revoke(one.access, { token_type_hint: 'access_token' })
  t.equal(revoked.status, 200, 'RFC 7009 §2.2')
  t.equal(revoked.headers.get('cache-control'), 'no-store')
  for (let turn = 0; turn < 6; turn += 1) t.equal(await statusWith(gateway.url, one.access), 401)
  t.equal((await device.refresh(one.refresh)).status, 401, 'RFC 7009 §2.1: the refresh token, too')
  t.equal(
    (await device.revoke(one.access)).status,
    200,
    'RFC 7009 §2.2: an invalid token is no error'
  )
  t.equal((await device.revoke('junk', { token_type_hint: 'unknown' })).status, 200)
  t.match(await device.post('/oauth/revoke', {}), {
    status: 400,
    json: { error: 'invalid_request' }
  })
  t.equal(await statusWith(gateway.url, other.access), 200, 'nobody else is signed out')
  await device.revoke(other.refresh, { token_type_hint: 'access_token' })
  t.equal(
    await statusWith(gateway.url, other.access),
    401,
    'RFC 7009 §2.1: a wrong hint does not matter'
  )
})

t.test('approving twice, denied, unknown codes and keys, and what is written down', async (t) => {
  const { json: asked } = await device.ask()
  const code = asked.user_code
  const approve = (body: object) => panel.post('/admin/v1/devices/approve', body)
  t.match(await approve({ code, key: 'nobody' }), {
    status: 404,
    json: { error: { param: 'key' } }
  })
  t.match(await approve({ code }), {
    status: 409,
    json: { error: { message: /This gateway has keys/ } }
  })
  t.equal((await approve({ code, key: 'anna' })).status, 200)
  t.match(await approve({ code, new: { name: 'bert' } }), {
    status: 409,
    json: { error: { message: /approved already/ } }
  })
  t.match(await approve({ code: 'BBBB-BBBB', new: { name: 'bert' } }), { status: 404 })
  const { json: keys } = await panel.get('/admin/v1/keys')
  t.notOk(
    keys.keys.some(({ name }: { name: string }) => name === 'bert'),
    'no key is made for a device that does not wait'
  )
  t.match(await panel.post('/admin/v1/devices/deny', { code }), { status: 409 })
  const { access } = tokensOf(await device.poll(asked.device_code))
  const { json } = await panel.get('/admin/v1/devices')
  const [newest] = json.devices
  t.match(newest, { key_name: 'anna', client: 'claude_code', approved_by: 'operator' })
  t.equal((await panel.post(`/admin/v1/devices/${newest.id}/end`)).status, 200)
  t.equal((await panel.post(`/admin/v1/devices/${newest.id}/end`)).status, 404)
  for (let turn = 0; turn < 6; turn += 1) t.equal(await statusWith(gateway.url, access), 401)
  const { json: audit } = await panel.get('/admin/v1/audit')
  const written = audit.entries.map(({ action }: { action: string }) => action)
  t.same(written.slice(0, 2), ['device.end', 'device.approve'])
})

t.test('a revoked key ends its devices at once', async (t) => {
  const made = await panel.post('/admin/v1/keys', { name: 'carl' })
  const { access, refresh } = await device.signIn(panel, { key: made.json.key.id })
  t.equal(await statusWith(gateway.url, access), 200)
  await panel.post(`/admin/v1/keys/${made.json.key.id}/revoke`, {})
  for (let turn = 0; turn < 6; turn += 1) t.equal(await statusWith(gateway.url, access), 401)
  t.match(await device.refresh(refresh), { status: 401, json: { error: 'invalid_grant' } })
  t.equal(await statusWith(gateway.url, made.json.secret), 401)
})

t.test('pages of other sites may not ask', async (t) => {
  for (const site of ['cross-site', 'same-site'])
    t.match(await device.post('/oauth/device_authorization', {}, { 'sec-fetch-site': site }), {
      status: 403,
      json: { error: 'access_denied' }
    })
})

t.test('nothing secret is logged', async (t) => {
  const text = gateway.lines.map((line) => JSON.stringify(line)).join('\n') + gateway.stderr
  t.notMatch(text, /kg[drtw]_/)
  t.match(text, /a device has signed in/)
})

/** A client that is not on this machine, as a proxy tells. */
async function metadataFor(url: string, headers: Record<string, string>): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const call = request(`${url}/.well-known/oauth-authorization-server`, { headers, agent: false })
  call.on('error', reject).on('response', (response) => {
    let text = ''
    response.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
    response.on('end', () => resolve(text))
  })
  call.end()
  return promise
}

t.test('behind a proxy with TLS the addresses are those of the proxy', async (t) => {
  const headers = { host: 'gateway.example.com', 'x-forwarded-proto': 'https' }
  const { issuer, token_endpoint } = JSON.parse(await metadataFor(gateway.url, headers))
  t.equal(issuer, 'https://gateway.example.com')
  t.equal(token_endpoint, 'https://gateway.example.com/oauth/token')
  const plain = await device.post('/oauth/token', {}, { 'x-forwarded-proto': 'http' })
  t.match(plain, { status: 400, json: { error_description: /HTTPS/ } }, 'tokens go over TLS')
})

t.test('after a restart and a reload; DEVICE_SIGN_IN=off', async (t) => {
  const { gateway, device, panel } = await setUp(t, {}, { DEVICE_SIGN_IN: 'approve' })
  const { access, refresh } = await device.signIn(panel, { new: { name: 'anna' } })
  const gone = await device.signIn(panel, { key: 'anna' })
  await device.revoke(gone.access)
  const { json: asked } = await device.ask()
  await gateway.reload({ DEVICE_SIGN_IN: 'self' })
  t.equal(await statusWith(gateway.url, access), 200, 'a reload changes nothing')

  await panel.post('/admin/v1/restart')
  await gateway.logged(({ msg }) => msg === 'drained')
  const from = gateway.lines.length
  const ready = await gateway.logged(({ msg }) => msg === 'gateway ready', from)
  const url = String(ready['url'])
  const [later, operator] = [new DeviceClient(url), PanelClient.withKey(url, OPERATOR)]
  t.equal(await statusWith(url, access), 200)
  t.equal(await statusWith(url, gone.access), 401, 'what has ended stays so')
  t.equal((await later.refresh(gone.refresh)).status, 401)
  t.equal(
    (await operator.post('/admin/v1/devices/approve', { code: asked.user_code, key: 'anna' }))
      .status,
    200
  )
  t.equal((await later.poll(asked.device_code)).status, 200, 'a code that waited still does')
  const { refresh: next } = tokensOf(await later.refresh(refresh))

  await gateway.reload({ DEVICE_SIGN_IN: 'off' })
  await until(async () => (await statusWith(url, access)) === 401) // workers hear of it a moment later
  for (const [method, path] of [
    ['GET', '/.well-known/oauth-authorization-server'],
    ['POST', '/oauth/device_authorization'],
    ['POST', '/oauth/token'],
    ['GET', '/oauth/token'],
    ['POST', '/oauth/revoke']
  ] as const) {
    const known = await fetch(url + path, { method })
    const unknown = await fetch(`${url}/oauth/none`, { method })
    t.equal(known.status, 404, `${method} ${path}`)
    t.equal(
      (await known.text()).replace(path, '/oauth/none').replaceAll(/req_\w+/g, ''),
      (await unknown.text()).replaceAll(/req_\w+/g, ''),
      'like any unknown path'
    )
  }
  t.equal(await statusWith(url, access), 401, 'and its tokens are none')
  await gateway.reload({ DEVICE_SIGN_IN: 'approve' })
  await until(async () => (await statusWith(url, access)) === 200)
  t.equal((await later.refresh(next)).status, 200)
})

t.test('too many codes, and sign-ins that cannot be read', async (t) => {
  const { gateway, device, panel } = await setUp(t, { STATE_DIR: 'state' })
  const { refresh } = await device.signIn(panel, { new: { name: 'anna' } })
  const { json: asked } = await device.ask()
  for (let more = 1; more < 20; more += 1) t.equal((await device.ask()).status, 200)
  const full = await device.ask()
  t.match(full, { status: 429, json: { error: 'slow_down', error_description: /Too many/ } })
  t.match(full.headers.get('retry-after'), /^\d+$/)

  const code = asked.user_code
  t.equal((await panel.post('/admin/v1/devices/approve', { code, key: 'anna' })).status, 200)
  const path = join(gateway.folder, 'state', 'devices.json')
  const before = readFileSync(path)
  writeFileSync(path, JSON.stringify({ version: 2 })) // which this version leaves alone
  const polled = await device.poll(asked.device_code)
  t.match(polled, {
    status: 400,
    json: { error: 'slow_down', error_description: /newer version.*Wait 5 seconds longer/ }
  })
  t.match(await device.refresh(refresh), {
    status: 503,
    json: { error: 'temporarily_unavailable' }
  })
  t.match(await device.ask(), { status: 503, json: { error: 'temporarily_unavailable' } })
  writeFileSync(path, before)
  t.equal((await device.poll(asked.device_code)).status, 200, 'the code was still good')
  t.equal((await device.refresh(refresh)).status, 200)
})

t.test('a gateway without keys: a click, no key, and an end when keys are set', async (t) => {
  const gateway = await startGateway({ env: { WORKERS: '2' }, envFile: {} })
  t.teardown(() => gateway.destroy())
  const [device, panel] = [new DeviceClient(gateway.url), new PanelClient(gateway.url)]
  const { json: asked } = await device.ask()
  t.match(
    await panel.post('/admin/v1/devices/approve', { code: asked.user_code, new: { name: 'anna' } }),
    { status: 409, json: { error: { message: /no keys/ } } },
    'no first named key is made'
  )
  t.equal((await panel.post('/admin/v1/devices/approve', { code: asked.user_code })).status, 200)
  const { access, refresh } = tokensOf(await device.poll(asked.device_code))
  t.equal(await statusWith(gateway.url, access), 200)
  t.match(
    await device.post('/oauth/device_authorization', {}, { origin: 'https://evil.example' }),
    { status: 403, json: { error: 'access_denied' } },
    'pages of other sites are refused'
  )
  await gateway.reload({ PROXY_API_KEY: OPERATOR })
  await allHeard(gateway, OPERATOR)
  t.equal(await statusWith(gateway.url, access), 401)
  t.match(await device.refresh(refresh), { status: 401, json: { error: 'invalid_grant' } })
})
