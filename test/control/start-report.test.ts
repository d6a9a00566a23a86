import t from 'tap'
import { planMemory } from '../../src/config/memory-plan.ts'
import { loadConfig } from '../../src/config/load.ts'
import { differingSettings, logReady, logStart } from '../../src/control/start-report.ts'
import { recordedLog } from '../helper/recorded-log.ts'

function configOf(env: Readonly<Record<string, string>> = {}) {
  const loaded = loadConfig(env, [])
  if (loaded.name === 'print') throw new Error('no config')
  return loaded.config
}

function linesOf(write: (log: ReturnType<typeof recordedLog>['log']) => void) {
  const { log, lines } = recordedLog()
  write(log)
  return lines.map((line) => JSON.parse(line))
}

const memory = planMemory(512 * 1024 * 1024, { workers: 2, threads: 1 })
const limits = { cpus: 1.5, memoryBytes: 512 * 1024 * 1024 }

t.test('logStart()', (t) => {
  t.test('says what starts, what it may use, and how that is shared out', async (t) => {
    const [line] = linesOf((log) => logStart(log, { config: configOf(), limits, memory }))
    t.match(line, {
      msg: 'gateway starting',
      version: /^\d/,
      node: /^\d/,
      state: configOf().credentials.stateDir,
      limits: { cpus: 1.5, memory: '512 MB' },
      shares: { memory: '512 MB', workers: 2, 'threads of each': 1 }
    })
    const none = { cpus: null, memoryBytes: null }
    const [open] = linesOf((log) => logStart(log, { config: configOf(), limits: none, memory }))
    t.match(open, { limits: { cpus: 'none', memory: 'none' } })
  })

  t.test('says which settings are not the defaults, and no secret', async (t) => {
    const config = configOf({
      HTTP_MAX_CONNECTIONS: '40',
      HTTP_POOL_TIMEOUT: '2.5',
      MODEL_ALIASES: 'a=b',
      PROXY_API_KEY: 'secret-one-of-the-test',
      METRICS_KEY: 'secret-two-of-the-test',
      VPN_PROXY_URL: 'http://me:secret-three@127.0.0.1:9',
      ALERT_WEBHOOK_URL: 'http://127.0.0.1/secret-four'
    })
    const lines = linesOf((log) => logStart(log, { config, limits, memory }))
    t.notMatch(JSON.stringify(lines), /secret-(one|two|three|four)/)
    t.match(lines[1], {
      msg: 'settings that differ from the defaults',
      settings: { HTTP_MAX_CONNECTIONS: '40', HTTP_POOL_TIMEOUT: '2.5', MODEL_ALIASES: 'a=b' }
    })
    for (const name of ['PROXY_API_KEY', 'METRICS_KEY', 'VPN_PROXY_URL', 'ALERT_WEBHOOK_URL'])
      t.equal(lines[1].settings[name], '[redacted]', name)
    t.notOk('SERVER_PORT' in lines[1].settings)
  })

  t.test('leaves none out, however many there are', async (t) => {
    t.same(differingSettings(configOf()), [])
    const config = configOf({
      BODY_TIMEOUT: '10',
      HTTP_MAX_CONNECTIONS: '9',
      HTTP_MAX_KEEPALIVE_CONNECTIONS: '8'
    })
    t.equal(differingSettings(config).length, 3)
    const lines = linesOf((log) => logStart(log, { config, limits, memory }))
    const told = lines.slice(1).flatMap(({ settings }) => Object.keys(settings))
    t.equal(told.length, 3)
  })
  t.end()
})

function openOf(env: Record<string, string>) {
  const [line] = linesOf((log) => logReady(log, configOf(env), 8123))
  return line
}

t.test('logReady()', async (t) => {
  t.match(openOf({}), {
    msg: 'gateway ready',
    url: 'http://127.0.0.1:8123',
    open: {
      dashboard: 'http://127.0.0.1:8123/',
      'base URL, OpenAI': 'http://127.0.0.1:8123/v1',
      'base URL, Anthropic': 'http://127.0.0.1:8123',
      description: 'http://127.0.0.1:8123/docs',
      metrics: 'http://127.0.0.1:8123/metrics'
    }
  })
  t.notOk('dashboard' in openOf({ DASHBOARD: 'off' }).open)
  const keys = { PROXY_API_KEY: 'a-key-of-this-test' }
  t.match(openOf({ SERVER_HOST: '0.0.0.0', ...keys }).open.metrics, 'http://127.0.0.1:8123/')
  t.match(openOf({ SERVER_HOST: '::', ...keys }).open.metrics, 'http://[::1]:8123/')
  t.match(openOf({ SERVER_HOST: '::1' }).open.metrics, 'http://[::1]:8123/')
})
