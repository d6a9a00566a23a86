import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/settings.ts'
import { reload } from '../../src/control/reload.ts'

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
