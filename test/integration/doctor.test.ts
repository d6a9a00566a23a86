import { setTimeout as delay } from 'node:timers/promises'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { createServer as createTcpServer, type Server } from 'node:net'
import {
  chmodSync,
  copyFileSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import type { AccountFigures } from '../../src/simulator/account.ts'
import { farFromMidnight } from '../helper/far-from-midnight.ts'
import { CountingProxy } from '../helper/counting-proxy.ts'
import { deafPort } from '../helper/deaf-port.ts'
import { freePort } from '../helper/free-port.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { NameServer } from '../helper/name-server.ts'
import { openBook } from '../helper/open-book.ts'
import type { CliOutcome } from '../helper/cli-process.ts'
import { DoctorRoom, reportOf, runDoctor, runDoctorHere, SECRETS } from '../helper/run-doctor.ts'
import { startSimulator } from '../helper/run-simulator.ts'
import { selfSignedCertificate } from '../helper/self-signed-certificate.ts'
import { serverUrl } from '../helper/server-url.ts'
import { usageRow } from '../helper/usage-row.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy
t.jobs = 2 // most of them wait, each with gateways of its own

const DAY_MS = 86_400_000

/** A set-up in which one thing is wrong, and what has to be said of it. */
interface BrokenSetUp {
  readonly name: string
  /** Breaks a set-up that is well; may return settings that differ and what starts the program. */
  breakIt(
    t: Test,
    room: DoctorRoom,
    upstreamUrl: string
  ): Promise<{ readonly env?: Record<string, string>; readonly launcher?: readonly string[] }>
  /** The finding that names the cause. */
  readonly id: string
  readonly what: RegExp
  readonly change: RegExp
  readonly level?: 'warning'
  /** It shows in a process of its own alone: what is in `.env`, of Node's variables, or what starts it. */
  readonly needsProcess?: true
  /** What the account has used. */
  readonly account?: Partial<AccountFigures>
}

const isRoot = process.getuid?.() === 0

const broken: readonly BrokenSetUp[] = [
  {
    name: 'a misspelt setting',
    breakIt: async () => ({ env: { HTTP_MAX_CONECTIONS: '10' } }),
    id: 'settings-odd',
    level: 'warning',
    what: /HTTP_MAX_CONECTIONS is not a setting. Did you mean HTTP_MAX_CONNECTIONS/,
    change: /\.env/
  },
  {
    name: 'settings that contradict each other',
    breakIt: async () => ({ env: { SERVER_HOST: '0.0.0.0', PROXY_API_KEY: '' } }),
    id: 'settings-invalid',
    what: /anyone on the network could use your subscription/,
    change: /docs\/settings\.md/
  },
  {
    name: 'names in .env that nobody reads, or too late',
    needsProcess: true,
    async breakIt(_t, room) {
      room.write('.env', 'TUNNEL_TOKEN=x\nNODE_EXTRA_CA_CERTS=/x.pem\n')
      return {}
    },
    id: 'settings-unknown',
    level: 'warning',
    what: /TUNNEL_TOKEN/,
    change: /spelling/
  },
  {
    name: 'a misspelt setting in .env, where two letters may be wrong',
    needsProcess: true,
    async breakIt(_t, room) {
      room.write('.env', 'SERVR_PROT=9000\n')
      return {}
    },
    id: 'settings-odd',
    level: 'warning',
    what: /SERVR_PROT is not a setting. Did you mean SERVER_PORT/,
    change: /\.env/
  },
  {
    name: 'client keys under a misspelt name',
    breakIt: async () => ({ env: { PROXY_APIKEY: SECRETS.apiKey, PROXY_API_KEY: '' } }),
    id: 'settings-invalid',
    what: /PROXY_APIKEY is not a setting. Did you mean PROXY_API_KEY/,
    change: /docs\/settings\.md/
  },
  {
    name: 'secrets in a file that everybody can read',
    needsProcess: true,
    async breakIt(_t, room) {
      const path = room.write('.env', `PROXY_API_KEY=${SECRETS.apiKey}\n`)
      chmodSync(path, 0o644)
      return {}
    },
    id: 'env-file-open',
    level: 'warning',
    what: /\.env can be read by others \(644\)/,
    change: /chmod 600/
  },
  {
    name: 'a file of settings that is not where ENV_FILE says',
    needsProcess: true,
    breakIt: async () => ({ env: { ENV_FILE: '/nowhere/.env' } }),
    id: 'settings-odd',
    level: 'warning',
    what: /ENV_FILE names \/nowhere\/\.env, which cannot be read \(ENOENT\)/,
    change: /\.env/
  },
  {
    name: 'a credentials file that was cut off',
    async breakIt(_t, room) {
      room.write('kiro-auth-token.json', '{"accessToken":"abc')
      return {}
    },
    id: 'credentials-unreadable',
    what: /KIRO_CREDS_FILE.*is not a JSON object/,
    change: /^Correct it, or: Sign in again in Kiro IDE/
  },
  {
    name: 'a refresh token that was cut off',
    breakIt: async () => ({ env: { KIRO_CREDS_FILE: '', REFRESH_TOKEN: 'cut...' } }),
    id: 'credentials-unreadable',
    what: /REFRESH_TOKEN is incomplete/,
    change: /^Correct the file or the setting, or remove it and run "kiro-gateway login"/
  },
  {
    name: 'a sign-in that has expired and cannot be renewed',
    async breakIt(_t, room) {
      room.signIn({ refreshToken: undefined, expiresAt: '2026-01-01T00:00:00Z' })
      return {}
    },
    id: 'credentials-dead',
    what: /has expired.*no refresh token/,
    change: /^Sign in again in Kiro IDE/
  },
  {
    name: 'a state folder that cannot be made',
    async breakIt(_t, room) {
      room.write('file', '')
      return { env: { STATE_DIR: join(room.folder, 'file', 'state') } }
    },
    id: 'state-unwritable',
    what: /cannot be created/,
    change: /STATE_DIR/
  },
  {
    name: 'a link among what is kept',
    async breakIt(_t, room) {
      symlinkSync('/etc/hostname', join(room.stateDir, 'credentials'))
      return {}
    },
    id: 'state-link',
    what: /is a symbolic link/,
    change: /Remove the link/
  },
  {
    name: 'open files for less than the connections to the upstream',
    needsProcess: true,
    breakIt: async () => ({ launcher: ['sh', '-c', 'ulimit -n 150; exec "$@"', 'sh'] }),
    id: 'files-too-few',
    what: /^150 open files/,
    change: /ulimit -n/
  },
  {
    name: 'more memory planned with than there is',
    breakIt: async () => ({ env: { MEMORY_LIMIT: '1048576M' } }),
    id: 'memory-beyond',
    what: /MEMORY_LIMIT is 1048576 MB/,
    change: /Lower MEMORY_LIMIT/
  },
  {
    name: 'a port that another program has',
    async breakIt(t) {
      const url = await listen(t, createTcpServer())
      return { env: { SERVER_PORT: url.port } }
    },
    id: 'port-taken',
    what: /Another program listens/,
    change: /SERVER_PORT/
  },
  {
    name: 'name servers that do not answer',
    async breakIt(t) {
      const { address } = await NameServer.start(t, () => 'silent')
      return { env: { DNS_SERVERS: address, KIRO_API_URL: 'http://kiro.test:1' } }
    },
    id: 'dns-silent',
    what: /kiro\.test:1 .*name servers do not answer \(EAI_AGAIN\)/,
    change: /KIRO_API_URL.*DNS_SERVERS/
  },
  {
    name: 'a host that does not exist',
    async breakIt(t) {
      const { address } = await NameServer.start(t, () => 'no such name')
      return { env: { DNS_SERVERS: address, KIRO_API_URL: 'http://kiro.test:1' } }
    },
    id: 'host-unknown',
    what: /kiro\.test:1 .*unknown to the name servers \(ENOTFOUND\)/,
    change: /^Check KIRO_API_URL: the name does not exist\.$/
  },
  {
    name: 'a machine that is offline, or whose name server knows nothing',
    async breakIt(t) {
      const { address } = await NameServer.start(t, () => 'no such name')
      return { env: { DNS_SERVERS: address, KIRO_API_URL: '', KIRO_AUTH_URL: '' } }
    },
    id: 'host-unknown',
    what: /^The name servers know none of runtime\.us-east-1.*q\.us-east-1.*management\.us-east-1.*\(sign-in\)/,
    change:
      /^Check that this machine is online, and its name servers \(\/etc\/resolv\.conf, DNS_SERVERS\)\.$/
  },
  {
    name: 'a region that there is not',
    async breakIt(t) {
      const { address } = await NameServer.start(t, () => 'no such name')
      const own = { KIRO_API_URL: '', KIRO_AUTH_URL: '' }
      return { env: { ...own, DNS_SERVERS: address, KIRO_API_REGION: 'eu-west-9' } }
    },
    id: 'host-unknown',
    what: /know none of .*\.eu-west-9\./,
    change: /, and the region \(KIRO_REGION, KIRO_API_REGION\)\.$/
  },
  {
    name: 'a certificate that has expired',
    needsProcess: true,
    async breakIt(t, room) {
      const { url, cert } = await listenTls(t, -2 * DAY_MS)
      const file = room.write('ca.pem', cert)
      return { env: { KIRO_API_URL: url, NODE_EXTRA_CA_CERTS: file } }
    },
    id: 'tls-expired',
    what: /has expired: valid from 20\d\d-\d\d-\d\d to 20\d\d/,
    change: /clock/
  },
  {
    name: 'a certificate of tomorrow',
    needsProcess: true,
    async breakIt(t, room) {
      const { url, cert } = await listenTls(t, DAY_MS)
      const file = room.write('ca.pem', cert)
      return { env: { KIRO_API_URL: url, NODE_EXTRA_CA_CERTS: file } }
    },
    id: 'tls-early',
    what: /not valid yet/,
    change: /clock/
  },
  {
    name: 'a certificate of an unknown CA',
    async breakIt(t) {
      const { url } = await listenTls(t)
      return { env: { KIRO_API_URL: url } }
    },
    id: 'tls-unknown-ca',
    what: /an untrusted certificate: valid from .* issued by "127\.0\.0\.1"/,
    change: /NODE_EXTRA_CA_CERTS/
  },
  {
    name: 'a certificate of another host',
    needsProcess: true,
    async breakIt(t, room) {
      const { url, cert } = await listenTls(t, undefined, 'elsewhere.test')
      const file = room.write('ca.pem', cert)
      return { env: { KIRO_API_URL: url, NODE_EXTRA_CA_CERTS: file } }
    },
    id: 'tls-wrong-name',
    what: /certificate of another host/,
    change: /KIRO_API_URL/
  },
  {
    name: 'https:// for a port without TLS',
    breakIt: async (_t, _room, url) => ({ env: { KIRO_API_URL: url.replace('http:', 'https:') } }),
    id: 'tls-absent',
    what: /does not speak TLS/,
    change: /http:\/\//
  },
  {
    name: 'certificates that are not checked',
    needsProcess: true,
    breakIt: async () => ({ env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } }),
    id: 'tls-unchecked',
    what: /certificates are not checked/,
    change: /Remove NODE_TLS_REJECT_UNAUTHORIZED/
  },
  {
    name: 'a clock that is a day off',
    async breakIt(t) {
      const date = new Date(Date.now() + DAY_MS).toUTCString()
      const url = await listenHttp(t, (_request, response) => {
        response.writeHead(404, { date, 'content-type': 'application/json' }).end('{}')
      })
      return { env: { KIRO_API_URL: url, KIRO_AUTH_URL: url } }
    },
    id: 'clock-wrong',
    what: /24 hours behind/,
    change: /NTP/
  },
  {
    name: 'a port whose packets are dropped',
    breakIt: async (t) => ({ env: { KIRO_API_URL: `http://127.0.0.1:${await deafPort(t)}` } }),
    id: 'host-silent',
    what: /did not accept the connection in time/,
    change: /Allow connections|VPN_PROXY_URL/
  },
  {
    name: 'a port that hangs',
    async breakIt(t) {
      const url = await listen(t, createTcpServer())
      return { env: { KIRO_API_URL: url.origin } }
    },
    id: 'host-mute',
    what: /accepted the connection but did not answer/,
    change: /VPN_PROXY_URL/
  },
  {
    name: 'a connection that is cut',
    async breakIt(t) {
      const url = await listen(
        t,
        createTcpServer((socket) => socket.destroy())
      )
      return { env: { KIRO_API_URL: url.origin } }
    },
    id: 'host-cut',
    what: /closed the connection before it had answered/,
    change: /Allow the host/
  },
  {
    name: 'a port where nobody listens',
    async breakIt() {
      return { env: { KIRO_API_URL: `http://127.0.0.1:${await freePort()}` } }
    },
    id: 'host-refused',
    what: /refused the connection \(ECONNREFUSED\)/,
    change: /KIRO_API_URL/
  },
  {
    name: 'a proxy that wants a password',
    async breakIt(t) {
      const proxy = await CountingProxy.start(t, 'http', { credentials: 'user:right' })
      const url = proxy.url.replace('user:right', `user:${SECRETS.password}`)
      return { env: { VPN_PROXY_URL: url } }
    },
    id: 'proxy-credentials',
    what: /^The proxy http:\/\/127\.0\.0\.1:\d+ of VPN_PROXY_URL rejects the configured user/,
    change: /Percent-encode/
  },
  {
    name: 'a proxy that refuses the host',
    async breakIt(t) {
      const { url } = await CountingProxy.start(t, 'socks5')
      return { env: { VPN_PROXY_URL: url, KIRO_API_URL: 'http://forbidden.test' } }
    },
    id: 'proxy-denied',
    what: /refuses to connect to forbidden\.test/,
    change: /NO_PROXY/
  },
  {
    name: 'a proxy that does not run',
    async breakIt() {
      const host = `127.0.0.1:${await freePort()}`
      return { env: { VPN_PROXY_URL: `http://user:${SECRETS.password}@${host}` } }
    },
    id: 'proxy-unreachable',
    what: /cannot be used \(ECONNREFUSED\)/,
    change: /proxy is running/
  },
  {
    name: 'a CDN that refuses this machine',
    async breakIt(t) {
      const url = await listenHttp(t, (_request, response) => {
        const page = '<html><body>Request blocked. 0123456789</body></html>'
        response.writeHead(403, { 'content-type': 'text/html' }).end(page)
      })
      return { env: { KIRO_API_URL: url } }
    },
    id: 'models-blocked',
    what: /HTTP 403.*web page/,
    change: /another network/
  },
  {
    name: 'an account that is suspended',
    async breakIt(_t, room) {
      room.signIn({ accessToken: 'suspended-token' })
      return {}
    },
    id: 'models-refused',
    what: /suspended/,
    change: /Kiro support/
  },
  {
    name: 'a quota that is used up',
    async breakIt(_t, room) {
      room.signIn({ accessToken: 'quota-token' })
      return {}
    },
    id: 'account-used-up',
    what: /1000 of 1000 credits used, reset on/,
    change: /Wait for the reset/
  },
  {
    name: 'a plan that would cost extra',
    account: { used: 1_003, limit: 1_000, isOverageEnabled: true },
    breakIt: async () => ({}),
    id: 'account-used-up',
    what: /1000 of 1000 credits used, reset on/,
    change: /ALLOW_OVERAGE=true, or run kiro-gateway key set NAME --overage/
  },
  {
    name: 'credits that were used elsewhere',
    async breakIt(t) {
      const stateDir = t.testdir({})
      chmodSync(stateDir, 0o700)
      await recordDrift(stateDir)
      return { env: { STATE_DIR: stateDir } }
    },
    id: 'account-drift',
    level: 'warning',
    what: /^13\.1 credits used today did not go through this gateway, or were not metered\.$/,
    change: /another account/
  }
]

/** Has a gateway look at the account twice, while another program uses it. */
async function recordDrift(stateDir: string): Promise<void> {
  await farFromMidnight()
  const book = openBook(stateDir)
  const at = Date.now()
  const look = { at, plan: 'PRO', used: 0, limit: 1e9, resetsAt: null, others: {} }
  book.record([usageRow({ at, key: 'operator', credits: 1 })])
  for (const one of [look, { ...look, at: at + 1, used: 13_100_000 }]) {
    while ((await book.look('account', one)) === null) await delay(50) // a slow disk is given up for a while
  }
  await book.close()
}

// Most of a check is waiting for a process: each has a folder, an upstream and a port of its own.
t.test('doctor names cause and cure of', { jobs: 3 }, async (t) => {
  for (const setUp of broken) {
    t.test(setUp.name, async (t) => {
      const { account, needsProcess = false } = setUp
      const { url } = await startSimulator(t, account === undefined ? {} : { account })
      const room = new DoctorRoom(t)
      const { env = {}, launcher = [] } = await setUp.breakIt(t, room, url)
      const options = {
        folder: room.folder,
        env: { ...room.settings(url), ...env },
        args: ['--json']
      }
      const run = needsProcess
        ? await runDoctor({ ...options, launcher })
        : await runDoctorHere(options)
      const { findings, level } = reportOf(run)
      const finding = findings.find(({ id }) => id === setUp.id)
      const { level: expected = 'problem' } = setUp
      t.match(
        finding,
        { level: expected, what: setUp.what, change: setUp.change, why: String },
        run.stdout
      )
      t.equal(run.code, level === 'problem' ? 1 : 0)
      if (expected === 'problem') t.equal(run.code, 1)
      else
        t.notOk(
          findings.some((one) => one.level === 'problem'),
          'nothing worse is made of it'
        )
      t.notOk(
        findings.some(({ id }) => id.startsWith('check-')),
        'every check ends'
      )
      checkDiscretion(t, run)
    })
  }
})

t.test('a state folder that another user has linked', { skip: !isRoot }, async (t) => {
  const { url } = await startSimulator(t)
  const room = new DoctorRoom(t)
  rmSync(room.stateDir, { recursive: true })
  symlinkSync('/tmp', room.stateDir)
  lchownSync(room.stateDir, 12_345, 12_345)
  const run = await runDoctorHere({
    folder: room.folder,
    env: room.settings(url),
    args: ['--json']
  })
  const finding = reportOf(run).findings.find(({ id }) => id === 'state-link')
  t.match(finding, { what: /symbolic link created by another user \(uid 12345\)/ })
})

t.test('a set-up that is well', async (t) => {
  const { url } = await startSimulator(t)
  const room = new DoctorRoom(t)

  t.test('has no findings but good ones, in JSON', async (t) => {
    const run = await runDoctor({ folder: room.folder, env: room.settings(url), args: ['--json'] })
    const { findings, level } = reportOf(run)
    // Other tests may keep the disk busy.
    const bad = findings.filter((one) => one.level !== 'ok' && one.id !== 'disk-slow')
    t.same(bad, [], run.stdout)
    t.not(level, 'problem')
    t.equal(run.code, 0)
    const checks = new Set(findings.map(({ check }) => check))
    for (const id of [
      'program',
      'settings',
      'disk',
      'limits',
      'port',
      'hosts',
      'clock',
      'sign-in',
      'models'
    ]) {
      t.ok(checks.has(id), id)
    }
    checkDiscretion(t, run)
  })

  t.test('and in lines', async (t) => {
    const run = await runDoctor({ folder: room.folder, env: room.settings(url) })
    t.match(run.stdout, /^kiro-gateway \d+\.\d+\.\d+ on Node \d+/)
    t.match(run.stdout, /\nok {7}models: The upstream lists \d+ models/)
    t.match(run.stdout, /\n0 problems, \d warnings?, \d+ ok\./)
    t.equal(run.stderr, '', 'no progress where nobody watches')
    t.equal(run.code, 0)
    checkDiscretion(t, run)
  })

  t.test('leaves nothing behind and renews nothing', async (t) => {
    const before = statSync(room.credsFile).mtimeMs
    room.signIn({ expiresAt: new Date(Date.now() - 1000).toISOString() })
    const run = await runDoctorHere({
      folder: room.folder,
      env: room.settings(url),
      args: ['--json']
    })
    const { findings } = reportOf(run)
    t.match(
      findings.find(({ id }) => id === 'credentials-expired'),
      { level: 'warning' }
    )
    t.match(
      findings.find(({ id }) => id === 'models-not-asked'),
      { level: 'ok' }
    )
    t.equal(run.code, 0)
    t.ok(statSync(room.credsFile).mtimeMs >= before)
    const stats = (await (await fetch(`${url}/__simulator/stats`)).json()) as { refreshes: number }
    t.equal(stats.refreshes, 0)
  })
})

t.test('a gateway that runs already', async (t) => {
  const { url } = await startSimulator(t)
  const gateway = await startGateway({ upstreamUrl: url })
  t.teardown(() => gateway.destroy())
  const room = new DoctorRoom(t)
  const env = { ...room.settings(url), SERVER_PORT: new URL(gateway.url).port }

  t.test('is known as one of ours', async (t) => {
    const { findings } = reportOf(
      await runDoctorHere({ folder: room.folder, env, args: ['--json'] })
    )
    t.match(
      findings.find(({ id }) => id === 'port-ours'),
      { what: /^kiro-gateway \d/ }
    )
    t.notOk(findings.some(({ level }) => level === 'problem'))
  })

  t.test('and one of another version is told apart, with its problems', async (t) => {
    const other = await listenHttp(t, (_request, response) => {
      const answer = {
        status: 'not ready',
        version: '0.0.9',
        upstream: 'kiro',
        problems: ['No sign-in.']
      }
      response.writeHead(503, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    })
    const { findings } = reportOf(
      await runDoctorHere({
        folder: room.folder,
        env: { ...env, SERVER_PORT: new URL(other).port },
        args: ['--json']
      })
    )
    t.match(
      findings.find(({ id }) => id === 'gateway-other-version'),
      { what: /is 0\.0\.9, this program is/ }
    )
    t.match(
      findings.find(({ id }) => id === 'gateway-not-ready'),
      { what: /No sign-in\./, level: 'problem' }
    )
  })

  t.test('says more to those who have its key, which no other program is shown', async (t) => {
    const shown: (string | undefined)[] = []
    const ask = async (answerTo: (key: string | undefined) => object) => {
      const port = await listenHttp(t, ({ headers }, response) => {
        const key = headers.authorization?.replace('Bearer ', '')
        shown.push(key)
        response.writeHead(503, { 'content-type': 'application/json' })
        response.end(JSON.stringify(answerTo(key)))
      })
      const place = { ...env, SERVER_PORT: new URL(port).port }
      const run = await runDoctorHere({ folder: room.folder, env: place, args: ['--json'] })
      return reportOf(run).findings.filter(({ id }) => /^(port|gateway)-/.test(id))
    }
    const brief = { status: 'not ready' }
    const all = {
      ...brief,
      version: '0.0.9',
      upstream: 'kiro',
      problems: ['Sign in again.', 'Odd.'],
      codes: ['refresh-token-dead', 'made-up']
    }
    t.match(await ask((key) => (key === SECRETS.apiKey ? all : brief)), [
      { id: 'port-ours' },
      { id: 'gateway-other-version' },
      { id: 'gateway-not-ready', code: 'refresh-token-dead' },
      { id: 'gateway-not-ready', code: undefined }
    ])
    t.same(shown.splice(0), [undefined, SECRETS.apiKey])
    t.match(await ask(() => brief), [{ id: 'port-ours' }, { what: /callers with one of its/ }])
    shown.length = 0
    t.match(await ask(() => ({ status: 'ready', by: 'another' })), [{ id: 'port-taken' }])
    t.same(shown, [undefined])
  })
})

t.test('where no source of credentials is set', async (t) => {
  const { url } = await startSimulator(t)
  const room = new DoctorRoom(t)
  const { KIRO_CREDS_FILE: _, ...env } = room.settings(url)
  const doctor = async (more: Record<string, string> = {}) => {
    const { findings } = reportOf(
      await runDoctor({
        folder: room.folder,
        env: { ...env, KIRO_OIDC_URL: url, ...more },
        args: ['--json']
      })
    )
    return findings.filter(({ id }) => id.startsWith('credentials-'))
  }

  t.test('says how to sign in', async (t) => {
    t.match(await doctor(), [
      {
        id: 'credentials-none',
        level: 'warning',
        change: /kiro-gateway login/,
        code: 'no-credentials'
      }
    ])
    t.match(await doctor({ NODE_ENV: 'production' }), [
      { id: 'credentials-none', level: 'problem', why: /does not start/ }
    ])
  })
  t.test('finds the sign-in that the gateway finds', async (t) => {
    const cache = join(room.folder, '.aws', 'sso', 'cache')
    mkdirSync(cache, { recursive: true })
    copyFileSync(room.credsFile, join(cache, 'kiro-auth-token.json'))
    const database = join(room.folder, '.local', 'share', 'kiro-cli', 'data.sqlite3')
    mkdirSync(dirname(database), { recursive: true })
    writeFileSync(database, 'no database')
    t.match(await doctor(), [
      { id: 'credentials-usable', what: /Kiro IDE's/ },
      { id: 'credentials-passed-over', what: /kiro-cli/ }
    ])
  })
})

t.test('--probe', async (t) => {
  const { url } = await startSimulator(t)
  const room = new DoctorRoom(t)
  const probe = (args: readonly string[]) =>
    runDoctorHere({
      folder: room.folder,
      env: room.settings(url),
      args: ['--probe', '--yes', ...args]
    })

  t.test('stops at the first suspicion', async (t) => {
    room.signIn({ accessToken: 'suspicious-token' })
    const run = await probe(['--json'])
    const { probes } = reportOf(run)
    t.match(probes?.stopped, { means: /suspects/, change: /Do not use the account/ })
    t.match(probes?.results, [
      { id: 'P1', answer: 'stopped', calls: [{ label: 'path form', status: 429 }] }
    ])
    t.equal(run.code, 1)
    t.notOk(run.stdout.includes('d-simulated'), 'no user id')
  })

  t.test('says that a seat does not admit the gateway', async (t) => {
    room.signIn({ accessToken: 'not-admitted-token' })
    const run = await probe([])
    t.match(run.stdout, /\nP2 {3}Does the subscription admit .* not-admitted\n/)
    t.match(run.stdout, /does not pose as another program/)
    t.equal(run.code, 1, 'the list of models is refused, too')
  })

  t.test('renews a sign-in that has expired, and keeps what it got', async (t) => {
    room.signIn({ expiresAt: new Date(Date.now() - 1000).toISOString() })
    const run = await probe(['--json'])
    const { probes } = reportOf(run)
    t.match(probes?.results[0], { id: 'P1', answer: 'both' })
    t.equal(probes?.stopped, null)
    t.match(JSON.parse(readFileSync(room.credsFile, 'utf8')), { refreshToken: /^sim-refresh-/ })
    checkDiscretion(t, run)
  })

  t.test('asks nothing without a sign-in', async (t) => {
    const { KIRO_CREDS_FILE: _, ...env } = room.settings(url)
    const args = ['--probe', '--yes', '--json']
    const run = await runDoctorHere({
      folder: room.folder,
      env: { ...env, KIRO_OIDC_URL: url },
      args
    })
    t.match(reportOf(run).probes, { results: [], stopped: { after: /no sign-in/ } })
    t.equal(run.code, 1)
  })
})

t.test('a command line that makes no sense ends with 2', async (t) => {
  const room = new DoctorRoom(t)
  for (const args of [
    ['--prob'],
    ['now'],
    ['--idle', '60'],
    ['--probe', '--idle', '1000', '--yes'],
    ['--probe']
  ]) {
    const { code, stderr } = await runDoctorHere({ folder: room.folder, env: {}, args })
    t.equal(code, 2, args.join(' '))
    t.match(stderr, /Usage: kiro-gateway doctor/)
  }
})

/** Nothing secret. */
function checkDiscretion(t: Test, { stdout, stderr }: CliOutcome): void {
  for (const [name, secret] of Object.entries(SECRETS)) {
    t.notOk(`${stdout}${stderr}`.includes(secret), `no ${name}`)
  }
}

async function listen(t: Test, server: Server): Promise<URL> {
  const url = await serverUrl(server)
  t.teardown(() => server.close())
  return url
}

async function listenHttp(t: Test, onRequest: RequestListener): Promise<string> {
  const server = createHttpServer(onRequest)
  t.teardown(() => server.closeAllConnections())
  return (await listen(t, server)).origin
}

async function listenTls(t: Test, beginsInMs?: number, hostName: string | null = null) {
  const certificate = selfSignedCertificate(hostName, beginsInMs)
  const server = createHttpsServer(certificate, (_request, response) => void response.end('{}'))
  t.teardown(() => server.closeAllConnections())
  const url = await serverUrl(server, 'https')
  t.teardown(() => server.close())
  return { url: url.origin, cert: certificate.cert }
}
