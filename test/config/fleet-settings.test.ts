import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { toWorkerConfig } from '../../src/control/workers/worker-channel.ts'

const SECRET = 's'.repeat(32)
const GOOD = {
  FLEET_URL: 'valkey://user:pass@engine.example:6379/3',
  FLEET_REPLICAS: '3',
  FLEET_SECRET: SECRET
}

function problemsOf(env: Readonly<Record<string, string>>): readonly string[] {
  try {
    loadConfig({ ...GOOD, ...env }, [])
    return []
  } catch (cause) {
    t.match(cause, { code: 'GW_CONFIG_INVALID' })
    return cause instanceof Error ? cause.message.split('\n') : []
  }
}

t.test('a fleet', async (t) => {
  const loaded = loadConfig(GOOD, [])
  if (loaded.name !== 'config') throw new Error('no config')
  t.match(loaded.config.fleet, { name: 'kiro', member: null, replicas: 3, leaseMs: 1_800_000 })
  const { fleet } = toWorkerConfig(loaded.config)
  t.notMatch(JSON.stringify(fleet), /pass|sss/, 'workers have none of its secrets')
  t.equal(fleet.url, '', 'and know that there is one')
})

t.test('nothing of it counts without FLEET_URL', async (t) => {
  t.same(problemsOf({ FLEET_URL: '', FLEET_REPLICAS: '', HTTP_MAX_CONNECTIONS: 'none' }), [])
})

t.test('settings of a fleet that do not go together are one sentence each', async (t) => {
  for (const [env, sentence] of [
    [{ FLEET_REPLICAS: '' }, /^.*FLEET_URL needs FLEET_REPLICAS/],
    [{ HTTP_MAX_CONNECTIONS: 'none' }, /needs a number in HTTP_MAX_CONNECTIONS/],
    [{ HTTP_MAX_CONNECTIONS: '2', WORKERS: '1' }, /fewer than the 3 gateways/],
    [{ UPSTREAM_MAX_REQUESTS_PER_MINUTE: '2' }, /fewer than the 3 gateways/],
    [{ FLEET_SECRET: '' }, /needs FLEET_SECRET or FLEET_SECRET_FILE/],
    [{ FLEET_SECRET_FILE: '/x' }, /both set/],
    [{ FLEET_SECRET: 'short' }, /FLEET_SECRET is a secret of 5 characters/],
    [{ FLEET_SECRET: `${SECRET},short` }, /at least 32 characters/],
    [{ FLEET_IDENTITY: 'statefulset' }, /needs FLEET_POD_UID/],
    [{ FLEET_LEASE: '5' }, /FLEET_LEASE is "5"/],
    [{ FLEET_MEMBER: 'a b' }, /FLEET_MEMBER is "a b"/],
    [{ FLEET_URL: 'http://secret@engine' }, /FLEET_URL is a secret of 20 characters/]
  ] as const) {
    const said = problemsOf(env).filter((line) => line.includes('FLEET_') || line.includes('HTTP_'))
    t.equal(said.length, 1, JSON.stringify(env))
    t.match(said[0], sentence)
    t.notMatch(said[0], /sss|pass|short/)
  }
})
