import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'

const load = (env: Readonly<Record<string, string>>) => () => loadConfig(env, [])

function warningsOf(env: Readonly<Record<string, string>>): readonly string[] {
  const loaded = loadConfig(env, [])
  return loaded.name === 'config' ? loaded.warnings : []
}

const GOOD = {
  DASHBOARD_OIDC_ISSUER: 'https://id.example.com/realms/a',
  DASHBOARD_OIDC_CLIENT_ID: 'panel',
  DASHBOARD_OPERATORS: 'anna@example.com'
} as const

const at = (issuer: string) => load({ ...GOOD, DASHBOARD_OIDC_ISSUER: issuer })

t.test('signing in by OpenID Connect needs a provider, a client and users', async (t) => {
  t.doesNotThrow(load(GOOD))
  const { DASHBOARD_OPERATORS: _, ...noUsers } = GOOD
  t.doesNotThrow(load({ ...noUsers, DASHBOARD_OIDC_GROUPS: 'staff' }))
  t.throws(load(noUsers), /needs DASHBOARD_OPERATORS or DASHBOARD_OIDC_GROUPS/)
  t.throws(load({ ...noUsers, DASHBOARD_OPERATORS: '*' }), /needs DASHBOARD_OPERATORS or/)
  const { DASHBOARD_OIDC_CLIENT_ID: __, ...noClient } = GOOD
  t.throws(load(noClient), /needs DASHBOARD_OIDC_CLIENT_ID/)
  const { DASHBOARD_OIDC_ISSUER: ___, ...noIssuer } = GOOD
  t.throws(load(noIssuer), /needs DASHBOARD_OIDC_ISSUER/)
})

t.test('a sign-in without an effect is warned of', async (t) => {
  t.match(warningsOf(GOOD), [/^DASHBOARD_OIDC_ISSUER protects nothing.*Set PROXY_API_KEY\.$/])
  t.same(warningsOf({ ...GOOD, PROXY_API_KEY: 'a-key-of-24-characters-00' }), [])
  t.same(warningsOf({ ...GOOD, KIRO_KEY_PASSTHROUGH: 'true' }), [])
  t.match(warningsOf({ DASHBOARD_OPERATORS: 'anna@example.com' }), [/^DASHBOARD_OPERATORS has no/])
})

t.test('the provider is reached by https, or is on this machine', async (t) => {
  for (const good of ['http://127.0.0.1:8080', 'http://localhost', 'http://[::1]:1/a'])
    t.doesNotThrow(at(good), good)
  for (const bad of ['http://id.example.com', 'http://127.0.0.1.example.com', 'http://10.0.0.1'])
    t.throws(at(bad), /has to be an https:\/\/ URL/, bad)
  t.throws(at('https://id.example.com/?a=b'), /DASHBOARD_OIDC_ISSUER/)
})
