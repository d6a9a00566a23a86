import { createServer } from 'node:http'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { changeKeys, keysPath } from '../../src/keys/key-store.ts'
import { Browser, findChromium } from '../helper/chromium.ts'
import { DEVICE_GRANT, DeviceClient } from '../helper/device-client.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { IdentityProvider } from '../helper/identity-provider.ts'
import { hashOfKey, namedKey } from '../helper/named-key.ts'
import { PanelClient } from '../helper/panel-client.ts'
import { serverUrl } from '../helper/server-url.ts'
import { stateFolder } from '../helper/state-folder.ts'
import { CLAUDE_VERSION, claudeProgram } from './claude-program.ts'
import { ObligingModel } from './obliging-model.ts'
import { findPostgres, ReferenceServer } from './reference-server.ts'

/**
 * `node test/claude-gateway/side-by-side.ts`: sends each request of Claude Code to the gateway in its own package and to
 * ours, and writes both answers to `side-by-side.md`; with `--check` it says whether that page is what it would write.
 * Needs Chromium, and PostgreSQL of Debian.
 */

const PAGE = join(import.meta.dirname, 'side-by-side.md')
const OPERATOR = 'the-key-of-the-operator'
const MANAGED = { model: 'claude-sonnet-4-6', permissions: { deny: ['WebFetch'] } }

interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

interface Side {
  readonly url: string
  readonly access: string
  readonly refresh: string
}

async function send(
  { url }: Pick<Side, 'url'>,
  path: string,
  init: RequestInit = {}
): Promise<Reply> {
  const response = await fetch(url + path, { redirect: 'manual', ...init })
  const body = (await response.text()).replaceAll(url, '{base}')
  return { status: response.status, headers: Object.fromEntries(response.headers), body }
}

/** An upstream of the reference, whose answer costs what its tokens do. */
async function startMessages(): Promise<string> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      const usage = { input_tokens: 100_000, output_tokens: 20 }
      const content = [{ type: 'text', text: 'answer' }]
      const answer = { id: 'msg_1', type: 'message', role: 'assistant', content, usage }
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(
        JSON.stringify({
          ...answer,
          model: 'claude-sonnet-4-6',
          stop_reason: 'end_turn',
          stop_sequence: null
        })
      )
    })
  })
  const { origin } = await serverUrl(server)
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return origin
}

async function startOurs(): Promise<string> {
  const stateDir = stateFolder(t)
  const managed = join(stateDir, 'managed.json')
  writeFileSync(managed, JSON.stringify(MANAGED))
  const keys = [
    namedKey({
      id: 'k_anna',
      name: 'anna',
      hashes: [hashOfKey('anna')],
      credits: { limit: 5, period: 'day' }
    })
  ]
  await changeKeys(keysPath(stateDir), () => keys, new AbortController().signal)
  const model = await ObligingModel.start(t)
  const gateway = await startGateway({
    upstreamUrl: model.origin,
    env: {
      STATE_DIR: stateDir,
      PROXY_API_KEY: OPERATOR,
      WORKERS: '1',
      MANAGED_SETTINGS_FILE: managed
    }
  })
  t.teardown(() => gateway.destroy())
  return gateway.url
}

type Approve = (code: string, complete: string) => Promise<void>

async function signIn(url: string, approve: Approve): Promise<Side> {
  const device = new DeviceClient(url)
  const { json: asked } = await device.ask()
  await approve(asked.user_code, asked.verification_uri_complete)
  for (let polls = 0; polls < 10; polls += 1) {
    await delay(1_000 * asked.interval)
    const { status, json } = await device.poll(asked.device_code)
    if (status === 200) return { url, access: json.access_token, refresh: json.refresh_token }
  }
  throw new Error(`${url} gives no token`)
}

const QUESTION = {
  model: 'claude-sonnet-4-6',
  max_tokens: 100,
  messages: [{ role: 'user', content: 'hi' }]
}

interface Step {
  readonly title: string
  readonly ask: (side: Side) => Promise<Reply>
}

function bearer({ access }: Side, more: Record<string, string> = {}) {
  return {
    authorization: `Bearer ${access}`,
    'user-agent': `claude-code/${CLAUDE_VERSION}`,
    ...more
  }
}

function form(path: string, fields: (side: Side) => Record<string, string>): Step['ask'] {
  return (side) => send(side, path, { method: 'POST', body: new URLSearchParams(fields(side)) })
}

function get(path: string, more: Record<string, string> = {}): Step['ask'] {
  return (side) => send(side, path, { headers: bearer(side, more) })
}

function post(path: string, body: object): Step['ask'] {
  return (side) =>
    send(side, path, {
      method: 'POST',
      headers: bearer(side, { 'content-type': 'application/json' }),
      body: JSON.stringify(body)
    })
}

const ask = post('/v1/messages?beta=true', QUESTION)

/** The reference repeats what it has told of usage for so long. */
const REPEATED_MS = 3_000

async function usageOfNow(side: Side): Promise<Reply> {
  await delay(REPEATED_MS)
  return get('/api/oauth/usage')(side)
}

const STEPS: readonly Step[] = [
  { title: 'metadata', ask: (side) => send(side, '/.well-known/oauth-authorization-server') },
  {
    title: 'device authorization',
    ask: form('/oauth/device_authorization', () => ({ surface: 'claude_code' }))
  },
  {
    title: 'poll with an unknown code',
    ask: form('/oauth/token', () => ({ grant_type: DEVICE_GRANT, device_code: 'unknown' }))
  },
  {
    title: 'poll before it is approved',
    ask: async ({ url }) => {
      const { json } = await new DeviceClient(url).ask()
      const fields = { grant_type: DEVICE_GRANT, device_code: json.device_code }
      return form('/oauth/token', () => fields)({ url, access: '', refresh: '' })
    }
  },
  {
    title: 'poll too early',
    ask: async ({ url }) => {
      const device = new DeviceClient(url)
      const { json } = await device.ask()
      await device.poll(json.device_code)
      const fields = { grant_type: DEVICE_GRANT, device_code: json.device_code }
      return form('/oauth/token', () => fields)({ url, access: '', refresh: '' })
    }
  },
  { title: 'poll of another grant', ask: form('/oauth/token', () => ({ grant_type: 'password' })) },
  {
    title: 'refresh with an unknown token',
    ask: form('/oauth/token', () => ({ grant_type: 'refresh_token', refresh_token: 'unknown' }))
  },
  { title: 'settings', ask: get('/managed/settings') },
  {
    title: 'settings, with the checksum',
    ask: async (side) => {
      const { headers } = await get('/managed/settings')(side)
      return get('/managed/settings', { 'if-none-match': headers['etag'] ?? '' })(side)
    }
  },
  { title: 'settings, with an asterisk', ask: get('/managed/settings', { 'if-none-match': '*' }) },
  { title: 'usage before the first question', ask: get('/api/oauth/usage') },
  { title: 'a question', ask },
  { title: 'usage', ask: usageOfNow },
  {
    title: 'a question above 75 %',
    ask: async (side) => {
      for (let count = 0; count < 8; count += 1) {
        const reply = await ask(side)
        const surpassed = 'anthropic-ratelimit-unified-overage-surpassed-threshold'
        if (reply.status !== 200 || reply.headers[surpassed] !== undefined) return reply
      }
      throw new Error('there is no threshold')
    }
  },
  {
    title: 'a question at the limit',
    ask: async (side) => {
      for (let count = 0; count < 8; count += 1) {
        const reply = await ask(side)
        if (reply.status === 429) return reply
      }
      throw new Error('there is no limit')
    }
  },
  { title: 'usage at the limit', ask: usageOfNow },
  { title: 'models', ask: get('/v1/models?limit=1000', { 'anthropic-version': '2023-06-01' }) },
  { title: 'metrics', ask: post('/v1/metrics', { resourceMetrics: [] }) },
  { title: 'logs', ask: post('/v1/logs', { resourceLogs: [] }) },
  { title: 'traces', ask: post('/v1/traces', { resourceSpans: [] }) },
  {
    title: 'a question of a stranger',
    ask: (side) => ask({ ...side, access: 'stranger' })
  },
  {
    title: 'usage of a stranger',
    ask: (side) => get('/api/oauth/usage')({ ...side, access: 'x' })
  },
  {
    title: 'metrics of a stranger',
    ask: (side) => post('/v1/metrics', {})({ ...side, access: 'x' })
  },
  {
    title: 'a new token',
    ask: form('/oauth/token', ({ refresh }) => ({
      grant_type: 'refresh_token',
      refresh_token: refresh
    }))
  },
  { title: 'revocation', ask: form('/oauth/revoke', ({ access }) => ({ token: access })) },
  { title: 'usage after it', ask: get('/api/oauth/usage') }
]

/** Those of HTTP and of a vendor's or our own diagnosis say nothing of the contract. */
const LEFT_OUT =
  /^(?:date|connection|keep-alive|content-length|transfer-encoding|server-timing|x-request-id|request-id|x-kiro-gateway-.*|content-security-policy|strict-transport-security|x-content-type-options|x-frame-options|referrer-policy|permissions-policy|cross-origin-.*)$/

const SECRETS = /"(access_token|refresh_token|device_code|user_code|uuid|request_id)":"[^"]*"/g
/** What is another each time: ids of answers, and how long and until when. */
const CHANGING = [
  [/"id":"msg_[^"]*"/g, '"id":"msg_…"'],
  [/"resets_at":"[^"]*"/g, '"resets_at":"…"'],
  [/^(retry-after|anthropic-ratelimit-[\w-]*reset): \d+$/, '$1: …']
] as const

function steady(text: string): string {
  return CHANGING.reduce((so, [pattern, shape]) => so.replace(pattern, shape), text)
}

function shown({ headers, body }: Reply): string {
  const lines = Object.entries(headers)
    .filter(([name]) => !LEFT_OUT.test(name))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `\`${steady(`${name}: ${value}`)}\``)
  const text = steady(body)
    .replaceAll(SECRETS, '"$1":"…"')
    .replaceAll(/user_code=[A-Z-]+/g, 'user_code=…')
    .replaceAll(/\s+/g, ' ')
  const cut = text.length > 700 ? `${text.slice(0, 700)}…` : text
  const told = cut === '' ? [] : [`\`${cut.replaceAll('|', '\\|').replaceAll('`', "'")}\``]
  return [...lines, ...told].join('<br>')
}

t.test('the reference and ours', async (t) => {
  const executable = findChromium()
  const postgres = findPostgres()
  if (executable === null || postgres === null) throw new Error('Chromium or PostgreSQL is missing')
  const program = await claudeProgram(
    join(import.meta.dirname, '../../node_modules/.cache/clients')
  )
  const identities = await IdentityProvider.start(t)
  identities.account = { sub: 'anna', email: 'anna@example.com', email_verified: true }
  const upstream = await startMessages()
  const server = await ReferenceServer.start(t, {
    program,
    postgres,
    identities,
    upstream,
    managed: MANAGED
  })
  const browser = await Browser.start({ executable })
  t.teardown(() => browser.close())
  const ours = await startOurs()
  const reference = await signIn(server.url, async (_, complete) => {
    const { page } = browser
    await page.goto(complete)
    await page.locator('button[type=submit], button, input[type=submit]').first().click()
    await page.waitForURL(/\/oauth\/callback/)
    await page.waitForLoadState()
  })
  await server.limit('anna', 150)
  const own = await signIn(ours, async (code) => {
    const panel = PanelClient.withKey(ours, OPERATOR)
    await panel.post('/admin/v1/devices/approve', { code, key: 'anna' })
  })
  const rows: string[] = []
  for (const { title, ask: run } of STEPS) {
    const [theirs, mine] = [await run(reference), await run(own)]
    t.comment(`${title}: ${theirs.status} ${mine.status}`)
    const statuses =
      theirs.status === mine.status ? `${mine.status}` : `${theirs.status} / ${mine.status}`
    rows.push(`| ${title} | ${statuses} | ${shown(theirs)} | ${shown(mine)} |`)
  }
  const page = `${HEAD}\n${rows.join('\n')}\n`
  if (process.argv.includes('--check')) t.equal(narrow(readFileSync(PAGE, 'utf8')), narrow(page))
  else writeFileSync(PAGE, page)
  t.equal(rows.length, STEPS.length)
})

/** A table without what a formatter adds to it. */
function narrow(page: string): string {
  return page.replaceAll(/ +/g, ' ').replaceAll(/-{3,}/g, '---')
}

const HEAD = `# Side by side

Lab note, written by \`node test/claude-gateway/side-by-side.ts\`: what the gateway in the package of Claude Code ${CLAUDE_VERSION}
(\`claude gateway\`, with PostgreSQL and an OpenID provider) answers to each request of the client, and what ours does. Limits:
150 cents and 5 credits a day. Headers of HTTP and of diagnosis are left out, secrets are \`…\`.

Where they differ: the reference has no revocation here, cannot refresh because this provider gives it no refresh token, and
repeats its usage for 2 s. It calls a poll too early with 429, RFC 8628 with 400; the client takes both. Ours names credits (\`CRD\`), adds \`x-should-retry: false\` to each 401, as the contract asks, and
counts what running requests have reserved.

| request | status (theirs / ours) | reference | ours |
| --- | --- | --- | --- |`
