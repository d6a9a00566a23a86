import t from 'tap'
import { type Environment, inspectConfig, loadConfig } from '../../src/config/load.ts'
import { findMisspelt } from '../../src/config/misspelt.ts'
import { listSettings } from '../../src/config/setting-text.ts'
import { ORDINARY_NAMES } from '../helper/ordinary-names.ts'

/** Misspelt names with the one that was meant, whatever their values. */
function near(names: readonly string[], inFile: readonly string[] = []) {
  const env = Object.fromEntries([...names, ...inFile].map((name) => [name, 'x']))
  const found = findMisspelt(env, new Set(inFile))
  return Object.fromEntries(found.map(({ name, meant }) => [name, meant]))
}

t.test('findMisspelt()', (t) => {
  t.test('finds the mistakes that people make', async (t) => {
    const meant = {
      PROXY_APIKEY: 'PROXY_API_KEY',
      PROXYAPIKEY: 'PROXY_API_KEY',
      PROXY_API_KEYS: 'PROXY_API_KEY',
      'PROXY-API-KEY': 'PROXY_API_KEY',
      PORXY_API_KEY: 'PROXY_API_KEY',
      PROXY_API_KYE: 'PROXY_API_KEY',
      proxy_api_key: 'PROXY_API_KEY',
      LOGLEVEL: 'LOG_LEVEL',
      LOG_LEVL: 'LOG_LEVEL',
      SERVER_PROT: 'SERVER_PORT',
      SERVR_PORT: 'SERVER_PORT',
      HTTP_MAX_CONECTIONS: 'HTTP_MAX_CONNECTIONS',
      KIRO_REGOIN: 'KIRO_REGION',
      METRICS_KEYS: 'METRICS_KEY',
      REFRESHTOKEN: 'REFRESH_TOKEN',
      FLEET_SECERT: 'FLEET_SECRET',
      ENVFILE: 'ENV_FILE'
    }
    t.same(near(Object.keys(meant)), meant, 'in the environment')
    t.same(near([], Object.keys(meant)), meant, 'in .env')
    t.same(near([], ['MODEL_ALIAS']), { MODEL_ALIAS: 'MODEL_ALIASES' }, 'two letters off')
    t.same(near(['MODEL_ALIAS']), {}, 'two letters off, where names of others stand')
  })

  t.test('is silent about names of other programs', async (t) => {
    t.same(near(ORDINARY_NAMES), {})
  })

  t.test('is silent about settings, in each of their spellings', async (t) => {
    const names = listSettings().flatMap(({ setting }) => [setting.env, setting.alias ?? []].flat())
    t.same(near(names), {})
    t.same(near([], names), {})
  })

  t.test('is silent about what a cluster says of its services', async (t) => {
    const links = { SERVERS_PORT: 'tcp://10.0.0.1:80', SERVER_1_PORT: 'udp://10.0.0.1:53' }
    t.same(findMisspelt(links, new Set()), [])
  })
  t.end()
})

/** A sentence for each problem and each warning. */
function judge(env: Environment, inFile: readonly string[] = []) {
  const { problems, warnings } = inspectConfig(env, new Set(inFile))
  return { problems, warnings }
}

t.test('a misspelt PROXY_API_KEY', (t) => {
  t.test('stops the start: the gateway would let everyone in', async (t) => {
    for (const name of ['PROXY_APIKEY', 'PROXY_API_KEYS', 'proxy_api_key']) {
      const { problems, warnings } = judge({ [name]: 'a-long-enough-key' })
      t.match(problems, [/Did you mean PROXY_API_KEY\?.*anyone/], name)
      t.ok(problems[0]?.startsWith(`${name} is not a setting`), name)
      t.notMatch(problems, [/long-enough/], 'and does not tell the key')
      t.same(warnings, [], name)
    }
    t.throws(() => loadConfig({ PROXY_APIKEY: 'x' }, []), { code: 'GW_CONFIG_INVALID' })
    t.match(judge({ PROXI_API_KEYS: 'x' }, ['PROXI_API_KEYS']).problems, [/PROXI_API_KEYS is not/])
  })

  t.test('is a warning beside the right one', async (t) => {
    const { problems, warnings } = judge({ PROXY_APIKEY: 'x', PROXY_API_KEY: 'y'.repeat(20) })
    t.same(problems, [])
    t.match(warnings, [/PROXY_APIKEY is not a setting. Did you mean PROXY_API_KEY\?/])
  })
  t.end()
})

t.test('other misspelt names are warnings', async (t) => {
  const { problems, warnings } = judge({ LOGLEVEL: 'debug', SERVER_PROT: '1', MODEL_ALIAS: 'x' }, [
    'MODEL_ALIAS'
  ])
  t.same(problems, [])
  t.same(warnings, [
    'LOGLEVEL is not a setting. Did you mean LOG_LEVEL?',
    'SERVER_PROT is not a setting. Did you mean SERVER_PORT?',
    'MODEL_ALIAS is not a setting. Did you mean MODEL_ALIASES?'
  ])
})
