import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CliProcess, type CliOutcome, runKiroGateway } from '../helper/cli-process.ts'
import { runCommandHere } from '../helper/command-here.ts'
import { CountingProxy } from '../helper/counting-proxy.ts'
import { DeviceClient, statusWith } from '../helper/device-client.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { PanelClient } from '../helper/panel-client.ts'
import {
  type SelfSignedCertificate,
  selfSignedCertificate
} from '../helper/self-signed-certificate.ts'
import { serverUrl } from '../helper/server-url.ts'

/* One machine signs in at the gateway of another by a code, and its clients get their tokens by a command. */

t.setTimeout(600_000) // processes, on a machine that may be very busy

const OPERATOR = 'operator-key-of-the-panel'
const TOKEN = /^kgt_\S+\n$/

interface Machine {
  readonly home: string
  readonly file: string
  /** In a process of its own, as clients do. */
  readonly run: (...args: readonly string[]) => Promise<CliOutcome>
  readonly runHere: (...args: readonly string[]) => Promise<CliOutcome>
  readonly begin: (...args: readonly string[]) => CliProcess
}

/** A machine without a gateway of its own. */
function makeMachine(t: Test): Machine {
  const home = t.testdir({})
  const options = { cwd: home, env: { STATE_DIR: join(home, 'state') }, input: '' }
  return {
    home,
    file: join(home, 'state', 'gateway-sign-in.json'),
    run: (...args) => runKiroGateway(args, options),
    runHere: (...args) => runCommandHere(args, options),
    begin: (...args) => {
      const begun = new CliProcess(args, options)
      t.teardown(() => begun.destroy())
      return begun
    }
  }
}

const NOT_THERE = /No gateway with these settings runs on this machine/

/** Commands of the operator, in the folder of the gateway. */
function operatorOf(gateway: GatewayProcess, key = OPERATOR) {
  const env = {
    ...(key !== '' && { PROXY_API_KEY: key }),
    SERVER_PORT: new URL(gateway.url).port,
    STATE_DIR: 'state'
  }
  const run = (args: readonly string[]) =>
    runCommandHere(['key', ...args], { cwd: gateway.folder, env })
  return async (...args: readonly string[]) => {
    let outcome = await run(args)
    // A busy gateway may take longer than a command waits for it.
    for (let tries = 1; NOT_THERE.test(outcome.stderr) && tries < 10; tries++)
      outcome = await run(args)
    return outcome
  }
}

async function signIn(machine: Machine, gateway: GatewayProcess, ...choice: readonly string[]) {
  const login = machine.begin('login', '--gateway', gateway.url)
  const [, code = ''] = await login.says(/approve the code ([A-Z]{4}-[A-Z]{4})/)
  const operate = operatorOf(gateway)
  const approved = await operate('approve', code, ...choice)
  return { code, approved, login: await login.ended }
}

t.test('signs in, and gives its clients a token that lasts', async (t) => {
  const gateway = await startGateway({
    env: { PROXY_API_KEY: OPERATOR, WORKERS: '2', STATE_DIR: 'state' }
  })
  t.teardown(() => gateway.destroy())
  const operate = operatorOf(gateway)
  const machine = makeMachine(t)
  t.match(await operate('waiting'), { code: 0, stdout: /No device waits/ })

  const login = machine.begin('login', '--gateway', `${gateway.url}/`)
  const [, code = ''] = await login.says(/approve the code ([A-Z]{4}-[A-Z]{4})/)
  const waiting = await operate('waiting')
  t.match(
    waiting.stdout,
    new RegExp(`^CODE .*\\n${code} +kiro-gateway +\\S+ +127\\.0\\.0\\.1 +now\\n$`)
  )
  t.match(await operate('approve', 'BCDF-GHJK', '--new', 'ben'), {
    code: 2,
    stderr: /No device waits with this code/
  })
  t.match(await operate('approve', code, '--key', 'ben'), { code: 2, stderr: /no key "ben"/ })
  t.match(await operate('approve', code, '--key', 'ben', '--new', 'ben'), {
    code: 2,
    stderr: /not both/
  })
  t.match(await operate('approve', code, '--credits', '2/day'), {
    code: 2,
    stderr: /limits are for --new/
  })
  t.match(await operate('approve', 'nonsense'), { code: 2, stderr: /8 letters/ })
  const approved = await operate(
    'approve',
    code.toLowerCase(),
    '--new',
    'ben',
    '--credits',
    '20/month'
  )
  t.match(approved, { code: 0, stdout: `${code} is approved` }, approved.stderr)
  t.match(approved.stdout, /It uses the key ben\.\n$/)
  t.notMatch(approved.stdout, 'kgw_', 'nobody sees a secret of the key')
  const ended = await login.ended
  t.match(
    ended,
    { code: 0, stdout: `Signed in at ${gateway.url}. The sign-in is stored in` },
    ended.stderr
  )
  t.equal(statSync(machine.file).mode & 0o777, 0o600)
  t.notMatch(ended.stdout + ended.stderr, /kg[drt]_/, 'shows no token')

  const token = await machine.run('token')
  t.match(token, { code: 0, stdout: TOKEN }, token.stderr)
  t.equal(await statusWith(gateway.url, token.stdout.trim()), 200)
  t.equal((await machine.run('token')).stdout, token.stdout, 'it is still good')

  await t.test('a token is renewed before it ends, once for all who ask', async (t) => {
    const before = JSON.parse(readFileSync(machine.file, 'utf8'))
    const soon = new Date(Date.now() + 60_000).toISOString()
    writeFileSync(machine.file, JSON.stringify({ ...before, expiresAt: soon }))
    const all = await Promise.all(['1', '2', '3', '4'].map(() => machine.run('token')))
    for (const { stdout, stderr } of all) t.match(stdout, TOKEN, stderr)
    t.equal(new Set(all.map(({ stdout }) => stdout)).size, 1)
    t.not(JSON.parse(readFileSync(machine.file, 'utf8')).refreshToken, before.refreshToken)
    t.equal(statSync(machine.file).mode & 0o777, 0o600)
  })

  await t.test('clients that run a command are set up with it', async (t) => {
    const current = (await machine.run('token')).stdout
    for (const client of ['claude', 'codex', 'pi']) {
      const done = await machine.run('setup', client, '--yes')
      t.match(done, { code: 0, stdout: `now uses ${gateway.url}` }, done.stderr)
      t.notMatch(done.stdout + done.stderr, /kgt_/)
    }
    const claude = JSON.parse(readFileSync(join(machine.home, '.claude/settings.json'), 'utf8'))
    t.equal(claude.env.ANTHROPIC_BASE_URL, gateway.url)
    t.equal(claude.env.ANTHROPIC_AUTH_TOKEN, undefined)
    // As Claude Code runs it: by a shell, in any folder, with no settings of the gateway.
    const asClient = {
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '' },
      encoding: 'utf8'
    } as const
    t.equal(execFileSync('/bin/sh', ['-c', claude.apiKeyHelper], asClient), current)
    const pi = JSON.parse(readFileSync(join(machine.home, '.pi/agent/models.json'), 'utf8'))
    const { apiKey } = pi.providers['kiro-gateway']
    t.match(apiKey, /^!/)
    t.equal(execFileSync('/bin/sh', ['-c', apiKey.slice(1)], asClient), current)
    const codex = readFileSync(join(machine.home, '.codex/config.toml'), 'utf8')
    t.match(codex, /\[model_providers\.kiro-gateway\.auth\]\ncommand = /)
    t.match(codex, /args = \[.*"token", "--file", /)
    t.notMatch(codex, /experimental_bearer_token|kgt_/)
    for (const client of ['opencode', 'qwen', 'cline', 'continue', 'copilot', 'kilo', 'openclaw']) {
      const refused = await machine.runHere('setup', client, '--yes')
      t.match(
        refused,
        { code: 2, stderr: /runs no command to get its key.*lasts an hour/s },
        client
      )
    }
    const withKey = await machine.run(
      'setup',
      'claude',
      '--yes',
      '--url',
      gateway.url,
      '--key',
      OPERATOR
    )
    t.match(withKey, { code: 0 }, withKey.stderr)
    const after = JSON.parse(readFileSync(join(machine.home, '.claude/settings.json'), 'utf8'))
    t.match([after.apiKeyHelper, after.env.ANTHROPIC_AUTH_TOKEN], [undefined, OPERATOR])
    t.match(await machine.run('setup', 'claude', '--undo', '--yes'), { code: 0 })
    t.equal(existsSync(join(machine.home, '.claude/settings.json')), false)
  })

  await t.test('logs out at the gateway, and here', async (t) => {
    const current = (await machine.run('token')).stdout.trim()
    t.match(await machine.runHere('logout', '--gateway'), { code: 0, stdout: /^Removed / })
    t.equal(await statusWith(gateway.url, current), 401)
    t.equal(existsSync(machine.file), false)
    t.match(await machine.runHere('token'), { code: 2, stderr: /There is no sign-in at a gateway/ })
    t.match(await machine.runHere('logout', '--gateway'), {
      code: 0,
      stdout: /There is no sign-in/
    })
  })

  await t.test('says when the sign-in was denied, or has ended', async (t) => {
    const denied = machine.begin('login', '--gateway', gateway.url, '--json')
    const [, other = ''] = await denied.says(/"userCode":"([A-Z-]+)"/)
    t.match(await operate('deny', other), { code: 0, stdout: `${other} is denied.` })
    const refused = await denied.ended
    t.match(refused, { code: 1, stdout: /denied/ })
    const again = await signIn(machine, gateway, '--key', 'ben')
    t.match(again.login, { code: 0 }, again.login.stderr)
    t.match(await operate('revoke', 'ben'), { code: 0 })
    const kept = JSON.parse(readFileSync(machine.file, 'utf8'))
    writeFileSync(machine.file, JSON.stringify({ ...kept, expiresAt: new Date(1).toISOString() }))
    const over = await machine.run('token')
    t.match(over, {
      code: 2,
      stdout: '',
      stderr: /is no longer signed in at .*Sign in again: npx kiro-gateway login --gateway http/s
    })
    t.notMatch(over.stderr, /kg[rt]_/)
  })
})

t.test('says why there is no way to sign in', async (t) => {
  const machine = makeMachine(t)
  const gateway = await startGateway({
    env: { PROXY_API_KEY: OPERATOR, DEVICE_SIGN_IN: 'off', STATE_DIR: 'state', WORKERS: '1' }
  })
  t.teardown(() => gateway.destroy())
  const off = await machine.runHere('login', '--gateway', gateway.url)
  t.match(off, { code: 2, stderr: /DEVICE_SIGN_IN is not off/ })
  t.match(await operatorOf(gateway)('waiting'), { code: 2, stderr: /DEVICE_SIGN_IN=off/ })
  const nobody = await machine.runHere('login', '--gateway', 'http://127.0.0.1:9')
  t.match(nobody, { code: 2, stderr: /http:\/\/127\.0\.0\.1:9 does not answer\./ })
  const plain = await machine.runHere('login', '--gateway', 'http://gateway.example')
  t.match(plain, { code: 2, stderr: /is not encrypted/ })
  t.match(await machine.runHere('login', '--gateway', gateway.url, '--paste'), {
    code: 2,
    stderr: /no other option/
  })
  const elsewhere = await runCommandHere(['key', 'waiting'], {
    cwd: machine.home,
    env: { SERVER_PORT: '9' }
  })
  t.match(elsewhere, { code: 2, stderr: NOT_THERE })
})

/** A gateway that denies every code, and knows no refresh token. */
async function startDenying(t: Test, name: string, certificate: SelfSignedCertificate) {
  let url = ''
  const answers = (path: string): readonly [number, object] => {
    if (path === '/oauth/device_authorization')
      return [
        200,
        {
          device_code: 'd',
          user_code: 'BCDF-GHJK',
          verification_uri: url,
          expires_in: 60,
          interval: 1
        }
      ]
    if (path === '/oauth/token') return [400, { error: 'access_denied' }]
    const endpoint = (end: string): string => `${url}/oauth/${end}`
    return [
      200,
      {
        issuer: url,
        device_authorization_endpoint: endpoint('device_authorization'),
        token_endpoint: endpoint('token')
      }
    ]
  }
  const server = createServer(certificate, (request, response) => {
    const [status, json] = answers(request.url ?? '')
    request.resume()
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(json))
  })
  const { port } = await serverUrl(server, 'https')
  t.teardown(() => server.close())
  url = `https://${name}:${port}`
  return { url, target: `${name}:${port}` }
}

t.test('goes through the proxy, except on this machine', async (t) => {
  const certificate = selfSignedCertificate('gateway.test')
  const { url, target } = await startDenying(t, 'gateway.test', certificate)
  const proxy = await CountingProxy.start(t, 'http')
  const cwd = t.testdir({ 'ca.pem': certificate.cert })
  const stateDir = join(cwd, 'state')
  const env = { STATE_DIR: stateDir, NODE_EXTRA_CA_CERTS: join(cwd, 'ca.pem') }
  const run = (args: readonly string[], proxyEnv: Record<string, string>) =>
    runKiroGateway(args, { cwd, env: { ...env, ...proxyEnv }, input: '' })

  const login = await run(['login', '--gateway', url], { HTTPS_PROXY: proxy.url })
  t.match(login, { code: 1, stderr: /denied/ }, login.stdout + login.stderr)
  t.same(new Set(proxy.targets), new Set([target]))

  proxy.targets.length = 0
  const file = { gateway: url, accessToken: 'a', refreshToken: 'b', expiresAt: new Date(1) }
  writeFileSync(join(stateDir, 'gateway-sign-in.json'), JSON.stringify(file))
  const token = await run(['token'], { HTTPS_PROXY: proxy.url })
  t.match(token, { code: 2, stderr: /access_denied/ })
  t.same(new Set(proxy.targets), new Set([target]))

  const forbidden = await run(['login', '--gateway', 'https://forbidden.test'], {
    HTTPS_PROXY: proxy.url
  })
  t.match(forbidden, { code: 2, stderr: /does not answer\. The proxy of HTTPS_PROXY refuses/ })

  proxy.targets.length = 0
  const here = await run(['login', '--gateway', 'http://127.0.0.1:9'], { VPN_PROXY_URL: proxy.url })
  t.match(here, { code: 2, stderr: /does not answer/ })
  t.same(proxy.targets, [], 'a tunnel may end there')
})

t.test('a gateway without keys is approved without one', async (t) => {
  const gateway = await startGateway({ env: { WORKERS: '2', STATE_DIR: 'state' } })
  t.teardown(() => gateway.destroy())
  const operate = operatorOf(gateway, '')
  const { json } = await new DeviceClient(gateway.url).ask()
  t.match(await operate('approve', json.user_code), { code: 0, stdout: /is approved/ })
  const panel = new PanelClient(gateway.url)
  t.same((await panel.get('/admin/v1/devices')).json.pending, [])
})
