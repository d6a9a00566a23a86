import t from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { poolLine, shareLine } from '../../../src/control/budget/budget.ts'

function lineFor(env: Record<string, string>): string {
  const result = loadConfig(env, [])
  if (result.name !== 'config') throw new Error('no config')
  return poolLine(result.config)
}

t.test('poolLine()', async (t) => {
  t.equal(
    lineFor({}),
    'HTTP connection pool configured: max_connections=300, max_keepalive=150, keepalive_expiry=60.0s, pool_timeout=None'
  )
  t.equal(
    lineFor({
      HTTP_MAX_CONNECTIONS: 'none',
      HTTP_MAX_KEEPALIVE_CONNECTIONS: 'none',
      HTTP_KEEPALIVE_EXPIRY: 'none',
      HTTP_POOL_TIMEOUT: '2.5'
    }),
    'HTTP connection pool configured: max_connections=None, max_keepalive=None, keepalive_expiry=None, pool_timeout=2.5s'
  )
  t.match(
    lineFor({ HTTP_KEEPALIVE_EXPIRY: '0', HTTP_POOL_TIMEOUT: '10' }),
    /=0\.0s, pool_timeout=10\.0s$/
  )
})

t.test('shareLine()', async (t) => {
  const size = { maxConnections: 301, maxKeepalive: 150, workers: 2 }
  t.equal(
    shareLine(0, size),
    'HTTP connection pool share: worker=1, max_connections=151, max_keepalive=75'
  )
  t.equal(
    shareLine(1, size),
    'HTTP connection pool share: worker=2, max_connections=150, max_keepalive=75'
  )
  t.equal(
    shareLine(1, { maxConnections: null, maxKeepalive: null, workers: 2 }),
    'HTTP connection pool share: worker=2, max_connections=None, max_keepalive=None'
  )
})
