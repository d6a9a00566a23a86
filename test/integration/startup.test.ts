import { once } from 'node:events'
import { createServer } from 'node:net'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { GatewayProcess, startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

t.test('the gateway without any settings', async (t) => {
  const gateway = await startGateway()
  t.teardown(() => gateway.destroy())
  const messages = gateway.lines.map((line) => String(line['msg']))

  t.test('logs what its pool was configured with, word for word', async (t) => {
    t.ok(
      messages.includes(
        'HTTP connection pool configured: max_connections=300, max_keepalive=150, keepalive_expiry=60.0s, pool_timeout=None'
      )
    )
    for (const worker of [1, 2]) {
      t.ok(
        messages.includes(
          `HTTP connection pool share: worker=${worker}, max_connections=150, max_keepalive=75`
        )
      )
    }
  })

  t.test('answers from its simulator, and says so everywhere', async (t) => {
    t.ok(messages.some((message) => message.startsWith('NO CREDENTIALS ARE CONFIGURED')))
    const answer = await startChat(gateway.url, 'Say hello.').answer
    t.ok(isComplete(answer))
    t.equal(answer.headers['x-kiro-gateway-upstream'], 'simulator')
    t.match(answer.headers['server-timing'], /queue;dur=/)
    const health = await fetch(`${gateway.url}/health`)
    t.equal(health.headers.get('x-kiro-gateway-upstream'), 'simulator')
    t.same(await health.json(), { status: 'ok' })
    const readiness = await fetch(`${gateway.url}/readyz`)
    t.equal(readiness.status, 200)
    t.match(await readiness.json(), { status: 'ready', upstream: 'simulator' })
  })

  t.test('ends with 0 on SIGTERM', async (t) => t.equal(await gateway.stop(), 0))
})

t.test('refuses to start, with everything that is wrong and exit code 78', async (t) => {
  const cases: readonly [name: string, env: Record<string, string>, said: readonly RegExp[]][] = [
    [
      'wrong values',
      { HTTP_MAX_CONNECTIONS: '0', HTTP_POOL_TIMEOUT: 'soon', SERVER_PORT: '99999', WORKERS: 'x' },
      [/HTTP_MAX_CONNECTIONS.*"0"/, /HTTP_POOL_TIMEOUT.*"soon"/, /SERVER_PORT/, /WORKERS/]
    ],
    ['no credentials in production', { NODE_ENV: 'production' }, [/KIRO_CREDS_FILE/]],
    [
      'a credentials file that is missing',
      { KIRO_CREDS_FILE: '/nowhere/token.json' },
      [/\/nowhere\/token\.json/]
    ],
    ['a public address without a key', { SERVER_HOST: '0.0.0.0' }, [/PROXY_API_KEY/]],
    [
      'a key under a misspelt name',
      { PROXY_APIKEY: 'a-key-of-a-test-0123' },
      [/^- PROXY_APIKEY is not a setting. Did you mean PROXY_API_KEY\? .*anyone who reaches/m]
    ]
  ]
  for (const [name, env, said] of cases) {
    const gateway = new GatewayProcess({ env })
    t.equal(await gateway.exited, 78, name)
    for (const pattern of said) t.match(gateway.stderr, pattern)
    t.notOk(
      gateway.lines.some((line) => line['state'] === 'ready'),
      'nothing listened'
    )
  }
})

t.test('starts with a misspelt setting in .env, and says what it ignores', async (t) => {
  const gateway = await startGateway({ envFile: { LOGLEVEL: 'debug', SERVR_PROT: '1' } })
  t.teardown(() => gateway.destroy())
  const warnings = gateway.lines
    .filter((line) => line['msg'] === 'configuration warning')
    .map((line) => line['warning'])
  t.same(warnings, [
    'LOGLEVEL is not a setting. Did you mean LOG_LEVEL?',
    'SERVR_PROT is not a setting. Did you mean SERVER_PORT?'
  ])
  t.equal(await gateway.stop(), 0)
})

t.test('says which address is taken, and by what setting to choose another', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const address = taken.address()
  const port = typeof address === 'object' && address !== null ? String(address.port) : ''
  const gateway = new GatewayProcess({ env: { SERVER_PORT: port } })
  t.equal(await gateway.exited, 78)
  t.match(gateway.stderr, `127.0.0.1:${port} is in use by `)
  t.match(gateway.stderr, process.platform === 'linux' ? `(process ${process.pid})` : '')
  t.match(gateway.stderr, /SERVER_PORT/)
  t.notOk(
    gateway.lines.some(({ msg }) => msg === 'worker changed state'),
    'before anything is started'
  )
  const first = await startGateway({ env: { WORKERS: '1' } })
  t.teardown(() => first.destroy())
  const second = new GatewayProcess({ env: { SERVER_PORT: new URL(first.url).port } })
  t.equal(await second.exited, 78)
  t.match(second.stderr, ' is in use by another kiro-gateway')
})

t.test('renews a token that the upstream refuses, once for all who were refused', async (t) => {
  const simulator = new Simulator({ gapMs: 1 })
  const { url } = await simulator.start()
  t.teardown(() => simulator.close())
  const gateway = await startGateway({ upstreamUrl: url, env: { KIRO_AUTH_URL: url } })
  t.teardown(() => gateway.destroy())
  const calls = Array.from({ length: 10 }, () => startChat(gateway.url, 'sim:expired'))
  const answers = await Promise.all(calls.map(({ answer }) => answer))
  t.ok(answers.every(isComplete))
  t.equal(simulator.stats().refreshes, 1)
})
