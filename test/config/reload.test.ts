import t from 'tap'
import { loadConfig, reload } from '../../src/config/load.ts'
import { type ListedSetting, listSettings, writeSetting } from '../../src/config/setting-text.ts'
import type { Config } from '../../src/config/settings.ts'

function configOf(env: Record<string, string>): Config {
  const loaded = loadConfig(env, [])
  if (loaded.name !== 'config') throw new Error('no config')
  return loaded.config
}

t.test('takes what can change while the gateway runs', async (t) => {
  const running = configOf({ KIRO_API_KEY: 'ksk_a' })
  const next = configOf({
    KIRO_API_KEY: 'ksk_a',
    HTTP_MAX_CONNECTIONS: '7',
    HTTP_MAX_KEEPALIVE_CONNECTIONS: '3',
    HTTP_POOL_TIMEOUT: '1.5',
    PROXY_API_KEY: 'new-key',
    LOG_LEVEL: 'debug',
    FIRST_TOKEN_TIMEOUT: '5'
  })
  const { config, needRestart } = reload(running, next)
  t.same(config, next)
  t.same(needRestart, [])
})

t.test('keeps what is fixed at the start, and names it without its value', async (t) => {
  const running = configOf({ KIRO_API_KEY: 'ksk_a', SERVER_PORT: '8000' })
  const next = configOf({
    KIRO_API_KEY: 'ksk_secret',
    SERVER_PORT: '9000',
    WORKERS: '3',
    MEMORY_LIMIT: '1G',
    TRANSFORM_THREADS: '2',
    KIRO_API_URL: 'http://127.0.0.1:1',
    HTTP_MAX_CONNECTIONS: '9'
  })
  const { config, needRestart } = reload(running, next)
  t.same(config.server.port, 8000)
  t.same(config.credentials, running.credentials)
  t.same(config.upstream.apiUrl, null)
  t.equal(config.pool.maxConnections, 9)
  for (const name of ['SERVER_PORT', 'WORKERS', 'MEMORY_LIMIT', 'TRANSFORM_THREADS', 'KIRO_API'])
    t.match(needRestart.join('; '), name)
  t.notMatch(needRestart.join(), 'ksk_secret')
})

t.test('refuses what is wrong together with what stays', async (t) => {
  const running = configOf({
    KIRO_API_KEY: 'ksk_a',
    SERVER_HOST: '0.0.0.0',
    PROXY_API_KEY: 'secret'
  })
  t.throws(() => reload(running, configOf({ KIRO_API_KEY: 'ksk_a' })), {
    code: 'GW_CONFIG_INVALID',
    message: /SERVER_HOST is "0\.0\.0\.0".*Set PROXY_API_KEY/
  })
})

/** Another value than the default that each setting takes. */
function otherText({ setting }: ListedSetting): string {
  const { env, kind, default: value, minimum = 0, maximum = 100 } = setting
  const texts: Readonly<Record<string, string>> = {
    SERVER_HOST: '127.0.0.2',
    KIRO_API_KEY: 'ksk_b',
    PROFILE_ARN: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/P',
    LOG_LEVEL: 'debug',
    WORKER_SPREAD: 'even',
    FAKE_REASONING: 'false',
    FETCH_URLS: 'false',
    DNS_SERVERS: '127.0.0.9',
    DEBUG_MODE: 'all',
    LOG_FORMAT: 'pretty',
    OTEL_EXPORTER_OTLP_HEADERS: 'x-key=a',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_TRACES_SAMPLER: 'always_off',
    OTEL_TRACES_SAMPLER_ARG: '0.5',
    OTEL_RESOURCE_ATTRIBUTES: 'a=b',
    DASHBOARD: 'off',
    AUTO_TRIM_PAYLOAD: 'true',
    MODEL_ALIASES: 'a=b',
    MODEL_CONTEXT_WINDOWS: 'a=1000',
    KIRO_REQUEST_FORM: 'path',
    KIRO_CREDS: 'none',
    KIRO_IDP_HOSTS: 'login.example.com',
    LOGIN_START_URL: 'https://d-1234567890.awsapps.com/start',
    ALERT_WEBHOOK_URL: 'http://127.0.0.1:9/hook',
    FLEET_URL: 'redis://127.0.0.1:9',
    FLEET_SECRET: 'x'.repeat(32),
    FLEET_IDENTITY: 'statefulset',
    PLAN_LASTS_UNTIL: '2026-12-21',
    CLIENT_TELEMETRY: 'forward',
    DEVICE_SIGN_IN: 'self',
    TRUSTED_PROXIES: '192.0.2.1'
  }
  if (texts[env] !== undefined) return texts[env]
  if (kind === 'url' || kind === 'proxy' || kind === 'address') return 'http://127.0.0.1:9'
  if (kind === 'text') return 'eu-west-1'
  if (kind === 'path' || kind === 'list') return 'other'
  if (value === null)
    return writeSetting(setting, minimum + 1000 > maximum ? minimum : minimum + 1000)
  const number = Number(value)
  const less = kind === 'seconds' ? number - 100 : number - 1
  return writeSetting(setting, less < minimum ? number + 1 : less)
}

function at(config: Config, { group, name }: ListedSetting): unknown {
  return Reflect.get(Reflect.get(config, group), name)
}

t.test('takes every setting live or names it: none is ignored silently', async (t) => {
  // Alone, some settings of a fleet, a trusted header, OIDC and telemetry would be wrong.
  const base = {
    KIRO_API_KEY: 'ksk_a',
    FLEET_REPLICAS: '3',
    FLEET_SECRET: 's'.repeat(32),
    TRUSTED_PROXIES: '192.0.2.2',
    DASHBOARD_OPERATORS: 'anna',
    DASHBOARD_OIDC_ISSUER: 'https://id.example.com',
    DASHBOARD_OIDC_CLIENT_ID: 'panel',
    DASHBOARD_OIDC_GROUPS: 'staff',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:8'
  }
  const running = configOf(base)
  for (const listed of listSettings()) {
    const { env, restart = false } = listed.setting
    const next = configOf({ ...base, [env]: otherText(listed) })
    t.notSame(at(next, listed), at(running, listed), `${env} differs`)
    const { config, needRestart } = reload(running, next)
    t.same(at(config, listed), at(restart ? running : next, listed), env)
    t.same(needRestart, restart ? [env] : [], `${env} is ${restart ? 'named' : 'live'}`)
  }
})
