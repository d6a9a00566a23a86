import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { canSignIn, installedClaude, whyNoSignIn } from '../../../src/cli/setup/sign-in.ts'
import { runCommandHere } from '../../helper/command-here.ts'
import { selfSignedCertificate } from '../../helper/self-signed-certificate.ts'
import { serverUrl } from '../../helper/server-url.ts'

t.test('whyNoSignIn()', async (t) => {
  const good = [
    'http://127.0.0.1:8000',
    'http://localhost:8000',
    'http://[::1]:8000',
    'http://[::ffff:127.0.0.1]:8000',
    'https://gateway.example.com',
    'https://10.1.2.3',
    'https://100.100.1.1',
    'https://[fd00::1]'
  ]
  for (const url of good) t.equal(whyNoSignIn(url), null, url)
  for (const url of ['http://10.1.2.3', 'http://gateway.example.com'])
    t.match(whyNoSignIn(url), /https:\/\/ alone/, url)
  for (const url of ['https://203.0.114.7', 'https://[2a00::1]'])
    t.match(whyNoSignIn(url), /is a public address/, url)
})

/** A folder with a `claude` of this version, and nothing else. */
function claudeOf(t: Test, version: string): string {
  const folder = t.testdir()
  const path = join(folder, 'claude')
  writeFileSync(path, `#!/bin/sh\necho '${version} (Claude Code)'\n`)
  chmodSync(path, 0o755)
  return folder
}

t.test('installedClaude()', async (t) => {
  t.equal(await installedClaude({ PATH: t.testdir() }), null)
  t.equal(await installedClaude({ PATH: claudeOf(t, '2.1.332') }), '2.1.332')
  const versions = ['1.9.999', '2.0.400', '2.1.330', '2.1.331', '2.1.1000', '2.2.0', '10.0.0']
  t.same(versions.filter(canSignIn), ['2.1.331', '2.1.1000', '2.2.0', '10.0.0'])
})

/** Nobody listens there. */
const NOBODY = 'http://127.0.0.1:9'

async function startDoor(t: Test, status: number) {
  const server = createServer((_, response) => {
    const endpoint = 'http://127.0.0.1/oauth/device_authorization'
    response.writeHead(status).end(JSON.stringify({ device_authorization_endpoint: endpoint }))
  })
  const { origin } = await serverUrl(server)
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return origin
}

t.test('setup claude --sign-in', async (t) => {
  const cwd = t.testdir()
  const run = (args: readonly string[], env = {}) =>
    runCommandHere(['setup', ...args], {
      cwd,
      env: { STATE_DIR: 'state', CLAUDE_CONFIG_DIR: join(cwd, '.claude'), ...env }
    })
  const settings = join(cwd, '.claude/settings.json')
  const url = await startDoor(t, 200)

  t.test('writes the address and no key, and takes it back', async (t) => {
    mkdirSync(join(cwd, '.claude'))
    writeFileSync(settings, '{"theme":"dark"}')
    const done = await run(['claude', '--sign-in', '--url', url, '--yes'], {
      PROXY_API_KEY: 'a-key-of-the-gateway'
    })
    t.match(done, { code: 0, stdout: /\/login/ })
    t.same(JSON.parse(readFileSync(settings, 'utf8')), {
      theme: 'dark',
      forceLoginMethod: 'gateway',
      forceLoginGatewayUrl: url
    })
    t.match(await run(['claude', '--undo', '--yes']), { code: 0 })
    t.equal(readFileSync(settings, 'utf8'), '{"theme":"dark"}')
  })

  t.test('warns of a key that stays in its way, and not of one that it takes back', async (t) => {
    const other = t.testdir()
    const env = { CLAUDE_CONFIG_DIR: other }
    const signIn = ['claude', '--sign-in', '--url', url, '--yes']
    t.match(await run(['claude', '--url', NOBODY, '--key', 'x', '--yes'], env), { code: 0 })
    const { code, stderr } = await run(signIn, env)
    t.equal(code, 0)
    t.notMatch(stderr, /instead of signing in/)
    t.match(await run(['claude', '--undo', '--yes'], env), { code: 0 })
    writeFileSync(join(other, 'settings.json'), '{"env":{"ANTHROPIC_AUTH_TOKEN":"x"}}')
    t.match(await run(signIn, env), { code: 0, stderr: /uses it instead of signing in/ })
  })

  t.test('says why it would not work, and writes nothing', async (t) => {
    const off = await startDoor(t, 404)
    const refused: readonly (readonly [readonly string[], RegExp])[] = [
      [['claude', '--sign-in', '--url', off, '--yes'], /lets no device sign in.*DEVICE_SIGN_IN/],
      [['claude', '--sign-in', '--url', 'http://10.0.0.1', '--yes'], /https:\/\/ alone/],
      [['codex', '--sign-in', '--url', url, '--yes'], /Claude Code alone/],
      [['claude', '--sign-in', '--key', 'x', '--url', url, '--yes'], /needs no --key/],
      [['claude', '--undo', '--sign-in', '--yes'], /--undo does not take --sign-in/],
      [['codex', '--server', '--url', url], /Claude Code alone/],
      [['claude', '--server', '--yes'], /--server does not take --yes/]
    ]
    for (const [args, why] of refused) t.match(await run(args), { code: 2, stderr: why })
    t.equal(readFileSync(settings, 'utf8'), '{"theme":"dark"}')
  })

  t.test(
    'says that the certificate is not trusted, where a gateway answers with its own',
    async (t) => {
      const server = createTlsServer(selfSignedCertificate(), (_, response) => response.end())
      const { port } = await serverUrl(server)
      t.teardown(() => {
        server.closeAllConnections()
        server.close()
      })
      const address = `https://127.0.0.1:${port}`
      for (const way of [['--sign-in'], ['--key', 'x']]) {
        const { code, stderr } = await run(['claude', ...way, '--url', address, '--print'])
        t.equal(code, 0)
        t.match(stderr, /is not trusted here.*NODE_EXTRA_CA_CERTS/)
        t.notMatch(stderr, /No gateway answers/)
      }
    }
  )

  t.test('warns of a version that is too old', async (t) => {
    const PATH = claudeOf(t, '2.1.100')
    const args = ['claude', '--sign-in', '--url', url, '--print']
    t.match(await run(args, { PATH }), { code: 0, stderr: /2\.1\.100 is older than 2\.1\.331/ })
  })

  t.test('prints what an administrator puts on all machines', async (t) => {
    const printed = await run(['claude', '--server', '--url', 'https://gateway.example.com/'])
    t.match(printed, { code: 0, stderr: /\/etc\/claude-code\/managed-settings\.json/ })
    t.same(JSON.parse(printed.stdout), {
      forceLoginMethod: 'gateway',
      forceLoginGatewayUrl: 'https://gateway.example.com'
    })
    const { stdout } = await run(['claude', '--server', '--url', url, '--json'])
    t.match(JSON.parse(stdout), { paths: { macOS: String, Windows: String }, settings: {} })
  })
})
