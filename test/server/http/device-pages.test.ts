import { mkdtempSync, rmSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { DeviceControl } from '../../../src/control/device-control.ts'
import { DeviceActions } from '../../../src/control/panel/device-actions.ts'
import type { DeviceCall } from '../../../src/ipc/devices.ts'
import type { PanelAnswer, PanelCall } from '../../../src/ipc/panel.ts'
import type { NamedKey } from '../../../src/keys/key.ts'
import { asGatewayError } from '../../../src/shared/errors.ts'
import { FakePrimary, type FakePrimaryOptions } from '../../helper/fake-primary.ts'
import { FormBrowser } from '../../helper/form-browser.ts'
import { hashOfKey, namedKey } from '../../helper/named-key.ts'

/* The page /device over real sockets, with the real steps behind it: as people use it, and as others try to. */

t.setTimeout(120_000)

const OPERATOR = 'good-key' // that of FakePrimary
const ANNA = 'kgw_annas-own-key'
const ANNAS: NamedKey = namedKey({ id: 'k_anna', name: 'anna', hashes: [hashOfKey(ANNA)] })
const BEN: NamedKey = namedKey({ id: 'k_ben', name: 'ben', hashes: [hashOfKey('bens')] })
const LAPTOP = { clientId: null, client: 'claude_code', host: 'laptop-7', address: '192.0.2.7' }

interface Stand {
  readonly url: string
  readonly control: DeviceControl
  readonly clock: { now: number }
  /** Steps that the page has asked for. */
  readonly calls: DeviceCall[]
  /** Who was written down as deciding. */
  readonly audit: string[]
  /** Answers nothing any more. */
  silence: () => void
  readonly browser: () => FormBrowser
  readonly ask: (more?: Partial<typeof LAPTOP>) => Promise<{ code: string; secret: string }>
}

interface StandOptions extends Pick<FakePrimaryOptions, 'env'> {
  readonly keys?: readonly NamedKey[]
}

async function setUp(
  t: Test,
  { env = {}, keys = [ANNAS, BEN] }: StandOptions = {}
): Promise<Stand> {
  const stateDir = mkdtempSync(join(tmpdir(), 'device-pages-'))
  const knownKeys = { isKeyRequired: keys.length > 0, keys }
  const primary = await FakePrimary.start(t, new URL('http://127.0.0.1:9'), {
    env: { ...env, STATE_DIR: stateDir },
    start: { knownKeys }
  })
  const clock = { now: Date.now() }
  const audit: string[] = []
  const control = new DeviceControl({
    config: () => primary.told.config,
    knownKeys: () => knownKeys,
    tell: () => {},
    settled: async () => {},
    keepAudit: async ({ who, via, action, subject }) => {
      audit.push(`${who} (${via}) ${action} ${subject}`)
    },
    log: { info: () => {}, warn: () => {}, error: () => {} },
    now: () => clock.now
  })
  await control.start()
  t.teardown(() => {
    control.close()
    rmSync(stateDir, { recursive: true, force: true })
  })
  const calls: DeviceCall[] = []
  const actions = new DeviceActions({
    devices: control,
    keys: { knownKeys },
    keyActions: {
      make: () => Promise.reject(new Error('no key is made here')),
      unmake: () => Promise.reject(new Error('no key is made here')),
      toJson: async () => null as never
    }
  })
  const approve = async (call: PanelCall): Promise<PanelAnswer> => {
    try {
      if (call.action !== 'devices.approve') throw new Error(call.action)
      return await actions.approve(call)
    } catch (cause) {
      return { name: 'refusal', error: asGatewayError(cause).toData(), more: {} }
    }
  }
  let isSilent = false
  primary.worker.stopped.catch(() => {})
  primary.onQuestion((question, answer) => {
    if (isSilent) return
    if (question.type === 'panel.call') void approve(question.call).then(answer)
    if (question.type !== 'device.call') return
    calls.push(question.call)
    void control.answer(question.call).then(answer)
  })
  return {
    url: primary.url,
    control,
    clock,
    calls,
    audit,
    silence: () => {
      isSilent = true
      primary.fallSilent()
    },
    browser: () => new FormBrowser(primary.url),
    ask: async (more = {}) => {
      const answer = await control.ask({ ...LAPTOP, ...more })
      if (answer.name !== 'asked') throw new Error(answer.name)
      return { code: answer.userCode, secret: answer.deviceCode }
    }
  }
}

/** Enters the code, and the key where one is asked for. */
async function enter(browser: FormBrowser, code: string, key?: string): Promise<FormBrowser> {
  await browser.open('/device')
  await browser.submit('look', { user_code: code })
  if (key !== undefined) await browser.submit('sign-in', { key })
  return browser
}

t.test('an operator signs in at the page, sees who asks, and approves for a key', async (t) => {
  const { ask, browser, control, calls, audit } = await setUp(t)
  const { code, secret } = await ask()
  const page = browser()
  await page.open(`/device?user_code=${code.toLowerCase().replace('-', ' ')}`)
  t.equal(page.page.status, 200)
  t.equal(page.fieldsOf('look')['user_code'], code, 'filled in')
  t.same(calls, [], 'nothing is looked up by an address')
  t.notMatch(page.page.html, /<script|laptop-7/)
  const policy = String(page.page.headers['content-security-policy'])
  t.match(
    policy,
    /^default-src 'none'; style-src 'sha256-[^']+'; img-src data:; form-action 'self'/
  )
  t.match(policy, /frame-ancestors 'none'/)
  t.equal(page.page.headers['cache-control'], 'no-store')
  t.match(String(page.page.headers['set-cookie']), /Path=\/; .*HttpOnly; SameSite=Strict/)

  await page.submit('look')
  t.match(page.page.words, `Sign in to see who asks with the code ${code}`)
  t.notMatch(page.page.words, 'laptop-7', 'a stranger sees nothing of the device')
  await page.submit('sign-in', { key: 'wrong' })
  t.equal(page.page.status, 401)
  t.match(page.page.html, /aria-invalid="true"/)
  await page.submit('sign-in', { key: OPERATOR })
  t.notMatch(page.page.url, OPERATOR)
  t.match(
    page.page.words,
    /claude_code Machine laptop-7 Address 192\.0\.2\.7 not this browser’s \(127\.0\.0\.1\)/
  )
  t.match(page.page.words, /Asked \d+ seconds? ago/)
  t.match(
    page.page.html,
    /required><option value="" selected disabled>Choose a key<\/option><option value="k_anna">anna<\/option><option value="k_ben">ben<\/option>/
  )

  await page.submit('approve', { key: 'k_gone' })
  t.equal(page.page.status, 404)
  t.match(page.page.words, 'There is no key "k_gone"')
  const replay = page.fieldsOf('approve')
  await page.submit('approve', { key: 'k_ben' })
  t.equal(page.page.status, 200)
  t.match(page.page.words, 'The device is approved')
  t.same(audit, [`operator (session) device.approve ${code}`])
  const tokens = await control.poll(secret, null)
  t.equal(tokens.name, 'tokens')
  t.equal((await control.list()).devices[0]?.keyName, 'ben')

  await page.send(replay)
  t.equal(page.page.status, 404, 'the code is used up')
  t.match(page.page.words, 'No device waits with this code')
})

t.test('a decision is made once, and a code ends', async (t) => {
  const { ask, browser, clock, audit } = await setUp(t)
  const { code } = await ask()
  const page = await enter(browser(), code, OPERATOR)
  const [approve, deny] = [page.fieldsOf('approve'), page.fieldsOf('deny')]
  await page.send(deny)
  t.match(page.page.words, 'The device is denied')
  await page.send(approve)
  t.equal(page.page.status, 409)
  t.match(page.page.words, 'Already denied')
  await enter(page, code)
  t.equal(page.page.status, 409)
  t.same(audit, [`operator (session) device.deny ${code}`])

  const late = await ask()
  await enter(page, late.code)
  clock.now += 605_000
  await page.submit('approve')
  t.equal(page.page.status, 404)
  t.match(page.page.words, 'start the sign-in there again')
})

t.test(
  'a form counts only for the browser, the user and the code that it was shown for',
  async (t) => {
    const { ask, browser, audit } = await setUp(t)
    const [mine, other] = [await ask(), await ask({ host: 'other' })]
    const page = await enter(browser(), mine.code, OPERATOR)
    const form = page.fieldsOf('approve')

    await page.send({ ...form, user_code: other.code })
    t.equal(page.page.status, 403, 'the code of another')
    await page.send({ ...form, form: '' })
    t.equal(page.page.status, 403, 'no token')
    await page.send({ ...form, form: `${form['form']?.slice(1)}A` })
    t.equal(page.page.status, 403, 'a token that was made up')

    const stranger = await enter(browser(), mine.code)
    await stranger.send(form)
    t.equal(stranger.page.status, 403, 'another browser without a sign-in')
    const colleague = await enter(browser(), mine.code, OPERATOR)
    await colleague.send(form)
    t.equal(colleague.page.status, 403, 'another browser of an operator')
    const entry = (await page.open('/device'), page.fieldsOf('look'))
    const elsewhere = browser()
    await elsewhere.open('/device')
    await elsewhere.send({ ...entry, user_code: mine.code })
    t.equal(elsewhere.page.status, 403, 'the form for the code in another browser')
    await page.send({ ...entry, step: 'approve', user_code: mine.code, key: 'k_ben' })
    t.equal(page.page.status, 403, 'the token of the form for the code')

    await enter(page, mine.code)
    await page.submit('sign-out')
    t.match(page.page.words, 'Enter it to see who asks')
    await page.send(form)
    t.equal(page.page.status, 403, 'after the user has signed out')
    t.same(audit, [], 'nothing was decided')
  }
)

t.test('other sites can neither send the forms nor show the page', async (t) => {
  const { ask, browser, calls, audit, url } = await setUp(t)
  const { code } = await ask()
  const page = await enter(browser(), code, OPERATOR)
  const form = page.fieldsOf('approve')
  const before = calls.length
  for (const headers of [
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
    { 'sec-fetch-site': 'same-site', origin: 'http://127.0.0.1:1' },
    { 'sec-fetch-site': 'none', origin: 'null' }
  ]) {
    await page.send(form, headers)
    t.equal(page.page.status, 403, JSON.stringify(headers))
  }
  const [, token = ''] = /name="form" value="([^"]+)"/.exec(page.page.html) ?? []
  t.equal(token, '', 'and gets no form')
  const old = await rawPost(
    `${url}/device`,
    { origin: 'https://evil.example', cookie: page.cookie },
    form
  )
  t.equal(old.status, 403, 'an old browser, which tells its origin alone')
  const json = await rawPost(
    `${url}/device`,
    { 'content-type': 'text/plain', cookie: page.cookie, origin: url },
    form
  )
  t.equal(json.status, 400)
  t.equal(calls.length, before, 'nothing is asked for')
  t.same(audit, [])

  // A link of another site brings no strict cookie: the page comes again as its own.
  const linked = browser()
  await linked.open(`/device?user_code=${code}`, { 'sec-fetch-site': 'cross-site' })
  t.match(linked.page.html, `<meta http-equiv="refresh" content="0; url=?user_code=${code}">`)
})

t.test('a link leads nowhere else', async (t) => {
  const { browser, calls } = await setUp(t)
  for (const given of [
    '//evil.example',
    'https://evil.example',
    'BCDFGHJK/../..',
    '"><b>',
    '&#13;'
  ]) {
    const page = browser()
    await page.open(
      `/device?user_code=${encodeURIComponent(given)}&form=x&sign-in=${encodeURIComponent(given)}`,
      {
        'sec-fetch-site': 'cross-site'
      }
    )
    t.match(page.page.html, 'content="0; url=?"', given)
    await page.open(`/device?user_code=${encodeURIComponent(given)}`)
    t.equal(page.fieldsOf('look')['user_code'], '', given)
    await page.submit('look', { user_code: given })
    t.equal(page.page.status, 400)
    t.match(page.page.words, 'This is not a code')
    t.notMatch(page.page.html, /<b>|location/)
  }
  t.same(calls, [])
})

t.test('names of a client and its machine are text', async (t) => {
  const { ask, browser } = await setUp(t)
  const { code } = await ask({
    client: '<script>alert(1)</script>',
    host: `"'><img src=x onerror=alert(1)>`
  })
  const page = await enter(browser(), code, OPERATOR)
  t.notMatch(page.page.html, /<script|<img/)
  t.match(
    page.page.words,
    `Program <script>alert(1)</script> Machine "'><img src=x onerror=alert(1)>`
  )
})

t.test('wrong codes are limited', async (t) => {
  const { browser, calls } = await setUp(t)
  const page = browser()
  await page.open('/device')
  const statuses: number[] = []
  for (let tries = 0; tries < 7; tries++) {
    await page.submit('look', { user_code: 'BCDF-GHJK' })
    statuses.push(page.page.status)
  }
  t.same(statuses, [404, 404, 404, 404, 404, 429, 429])
  t.match(page.page.words, /Too many wrong codes\. Wait \d+ seconds/)
  t.equal(calls.length, 7)
})

t.test('only by HTTPS or on this machine', async (t) => {
  const { url, calls } = await setUp(t)
  const { port } = new URL(url)
  const page = new FormBrowser(url)
  const far = { host: `gateway.example:${port}` }
  await page.open('/device', far)
  const plain = { ...far, origin: `http://gateway.example:${port}` }
  await page.submit('look', { user_code: 'BCDF-GHJK' }, plain)
  t.equal(page.page.status, 403)
  t.match(page.page.words, /HTTPS/)
  t.same(calls, [])
  await page.open('/device', far)
  const secure = { ...far, origin: 'https://gateway.example', 'sec-fetch-site': 'same-origin' }
  await page.submit('look', { user_code: 'BCDF-GHJK' }, secure)
  t.equal(page.page.status, 404)
  t.match(String(page.page.headers['set-cookie']), /; Secure/)
})

t.test('says nothing of success before the primary has', async (t) => {
  const { ask, browser, silence } = await setUp(t)
  const { code } = await ask()
  const page = await enter(browser(), code, OPERATOR)
  silence()
  await page.submit('approve')
  t.equal(page.page.status, 503)
  t.match(page.page.words, 'it is unknown whether the sign-in was approved or denied')
  t.notMatch(page.page.words, /The device is approved/)
})

t.test('a person with a named key', async (t) => {
  await t.test('has to ask the operator by default', async (t) => {
    const { ask, browser, audit } = await setUp(t)
    const { code } = await ask()
    const page = await enter(browser(), code, ANNA)
    t.match(page.page.words, `kiro-gateway key approve ${code}`)
    const token = page.fieldsOf('sign-out')['form'] ?? ''
    for (const step of ['approve', 'deny']) {
      await page.send({ step, form: token, user_code: code })
      t.equal(page.page.status, 403, step)
      t.match(page.page.words, 'Only an operator')
    }
    t.same(audit, [])
  })
  await t.test('approves for their own key with DEVICE_SIGN_IN=self', async (t) => {
    const { ask, browser, control, audit } = await setUp(t, { env: { DEVICE_SIGN_IN: 'self' } })
    const { code, secret } = await ask()
    const page = await enter(browser(), code, ANNA)
    t.match(page.page.words, 'your key anna')
    await page.submit('approve', { key: 'k_ben' })
    t.equal(page.page.status, 200)
    t.same(audit, [`anna (session) device.approve ${code}`])
    t.equal((await control.poll(secret, null)).name, 'tokens')
    const [device] = (await control.list()).devices
    t.equal(device?.keyName, 'anna', 'whatever key the form names')
  })
})

t.test('a gateway without keys needs one click, and none of its pages elsewhere', async (t) => {
  const { ask, browser, control } = await setUp(t, { env: { PROXY_API_KEY: '' }, keys: [] })
  const { code, secret } = await ask()
  const page = await enter(browser(), code)
  t.match(page.page.words, 'This gateway has no keys')
  await page.submit('approve')
  t.match(page.page.words, 'The device is approved')
  t.equal((await control.poll(secret, null)).name, 'tokens')
  await page.open('/device', { host: 'rebound.example' })
  t.equal(page.page.status, 401)
})

t.test(
  'says so where the panel is read-only, and is not there where it is turned off',
  async (t) => {
    const readOnly = await setUp(t, { env: { DASHBOARD: 'read-only' } })
    const { code } = await readOnly.ask()
    const page = await enter(readOnly.browser(), code, OPERATOR)
    t.match(page.page.words, 'DASHBOARD=read-only')
    const off = await setUp(t, { env: { DEVICE_SIGN_IN: 'off' } })
    for (const method of ['GET', 'POST']) {
      const response = await fetch(`${off.url}/device`, { method })
      t.equal(response.status, 404)
      t.match(await response.text(), /does not exist/)
    }
  }
)

async function rawPost(
  url: string,
  headers: Readonly<Record<string, string>>,
  fields: Readonly<Record<string, string>>
): Promise<{ readonly status: number; readonly text: string }> {
  const type = { 'content-type': 'application/x-www-form-urlencoded' }
  const call = httpRequest(url, { method: 'POST', agent: false, headers: { ...type, ...headers } })
  call.end(new URLSearchParams(fields).toString())
  const { promise, resolve } = Promise.withResolvers<{ status: number; text: string }>()
  call.on('response', (response) => {
    void text(response).then((body) => resolve({ status: response.statusCode ?? 0, text: body }))
  })
  return promise
}
