import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { startChat } from '../helper/chat-client.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { FakeAuthServer } from '../helper/fake-auth-server.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { endFrame, textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const SECRETS = {
  accessToken: 'secret-access-token-1',
  refreshToken: 'r1-secret-refresh-token',
  clientId: 'secret-client-id',
  clientSecret: 'secret-client-secret',
  proxyKey: 'secret-client-key-of-the-gateway',
  kiroKey: 'ksk_secret-key-of-a-client',
  badKey: 'secret-key-that-is-wrong'
}

/** Whatever the gateway says, an upstream or a token service may repeat what it was sent. */
function echo(headers: Record<string, unknown>): string {
  return JSON.stringify({
    message: `The bearer token ${String(headers['authorization'])} is invalid.`
  })
}

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

function processesOf(pid: number): readonly string[] {
  const children = readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false
    try {
      return readFileSync(`/proc/${name}/status`, 'utf8').includes(`\nPPid:\t${pid}\n`)
    } catch {
      return false // it has ended meanwhile
    }
  })
  return children
}

t.test('no secret leaves a busy gateway in which much fails', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-secrets-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'token.json')
  const expiresAt = new Date(Date.now() - 1000).toISOString()
  const { accessToken, refreshToken, clientId, clientSecret } = SECRETS
  const tokens = { accessToken, refreshToken, clientId, clientSecret, authMethod: 'IdC', expiresAt }
  writeFileSync(file, JSON.stringify(tokens), { mode: 0o600 })

  const server = await new FakeAuthServer(SECRETS.refreshToken).listen()
  t.teardown(() => server.close())
  const said = JSON.stringify({
    error: 'slow_down',
    error_description: Object.values(SECRETS).join()
  })
  server.replies.push({ status: 400, body: said })
  server.replies.push({ status: 500, body: `<html>${Object.values(SECRETS).join(' ')}</html>` })
  let calls = 0
  const upstream = await CountingUpstream.start(t, (request, response) => {
    calls += 1
    if (request.url !== '/generateAssistantResponse')
      response.writeHead(500).end(echo(request.headers))
    else if (calls % 3 === 0) response.writeHead(403).end(echo(request.headers))
    else if (calls % 3 === 1) response.writeHead(400).end(echo(request.headers))
    else {
      response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' })
      response.end(Buffer.concat([textFrame('Hello.'), endFrame]))
    }
  })
  const gateway = await startGateway({
    env: {
      KIRO_CREDS_FILE: file,
      KIRO_OIDC_URL: server.url,
      KIRO_API_URL: upstream.url.origin,
      KIRO_KEY_PASSTHROUGH: 'true',
      PROXY_API_KEY: SECRETS.proxyKey,
      STATE_DIR: join(folder, 'state'),
      DEBUG_DIR: join(folder, 'debug'),
      DEBUG_MODE: 'all',
      LOG_LEVEL: 'trace',
      WORKERS: '2'
    }
  })
  t.teardown(() => gateway.destroy())
  const told: string[] = []
  const ask = async (key: string): Promise<void> => {
    const headers = { authorization: `Bearer ${key}` }
    const { status, text } = await startChat(gateway.url, 'hello', { headers }).answer
    told.push(`${status} ${text}`)
  }
  for (const key of [SECRETS.proxyKey, SECRETS.kiroKey, SECRETS.badKey]) {
    for (let turn = 0; turn < 6; turn += 1) await ask(key)
  }
  for (const [path, key] of [
    ['/metrics', SECRETS.proxyKey],
    ['/metrics', SECRETS.kiroKey],
    ['/v1/usage', SECRETS.proxyKey],
    ['/v1/usage', SECRETS.kiroKey],
    ['/v1/models', SECRETS.kiroKey],
    ['/readyz', '']
  ] as const) {
    const response = await fetch(`${gateway.url}${path}`, { headers: { 'x-api-key': key } })
    told.push(`${path} ${response.status} ${await response.text()}`)
  }
  const statuses = told.map((text) => text.slice(0, 3))
  t.ok(statuses.includes('200') && statuses.includes('401'), statuses.join(' '))

  const { pid = 0 } = gateway.child
  const children = process.platform === 'linux' ? processesOf(pid) : []
  for (const child of children) told.push(readFileSync(`/proc/${child}/environ`, 'latin1'))
  for (const one of [String(pid), ...children]) {
    if (process.platform !== 'linux') break
    told.push(readFileSync(`/proc/${one}/cmdline`, 'latin1'))
    told.push(readFileSync(`/proc/${one}/comm`, 'latin1'))
  }
  t.equal(await gateway.stop(), 0)
  told.push(JSON.stringify(gateway.lines), gateway.stderr)
  for (const path of filesBelow(join(folder, 'debug'))) told.push(path, readFileSync(path, 'utf8'))

  t.ok(server.calls.length > 0)
  const renewed = 'secret-refresh-token' // the end of every token that was renewed
  for (const [name, secret] of Object.entries({ ...SECRETS, renewed })) {
    const where = told.filter((text) => text.includes(secret)).map((text) => text.slice(0, 200))
    t.same(where, [], name)
  }
  const state = filesBelow(join(folder, 'state'))
  for (const path of [...state, file]) {
    t.equal(statSync(path).mode & 0o077, 0, `${path} is for its owner only`)
    const text = readFileSync(path, 'latin1')
    for (const secret of [SECRETS.proxyKey, SECRETS.kiroKey, SECRETS.badKey]) {
      if (path !== file) t.notOk(text.includes(secret), `${path} holds a client's key`)
    }
  }
})
