import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { OidcControl } from '../../src/control/oidc-control.ts'
import { recordedLog } from '../helper/recorded-log.ts'

t.test('visitors who begin while the provider hangs keep nobody out', async (t) => {
  const held: ServerResponse[] = []
  const provider = createServer((_, response) => held.push(response)).listen(0, '127.0.0.1')
  await once(provider, 'listening')
  const issuer = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`
  const env = {
    KIRO_API_KEY: 'ksk_x',
    PROXY_API_KEY: 'key-of-the-operator',
    DASHBOARD_OIDC_ISSUER: issuer,
    DASHBOARD_OIDC_CLIENT_ID: 'panel',
    DASHBOARD_OPERATORS: 'anna@example.com'
  }
  const loaded = loadConfig(env, [])
  if (loaded.name !== 'config') throw new Error('there is no config')
  const { config } = loaded
  const control = new OidcControl({ config: () => config, log: recordedLog().log })
  t.teardown(async () => {
    provider.closeAllConnections()
    provider.close()
    await control.close()
  })
  const redirectUri = 'http://127.0.0.1:8000/dashboard/oidc/callback'
  const begun = Array.from({ length: 40 }, () => control.answer({ name: 'begin', redirectUri }))
  while (held.length === 0) await once(provider, 'request')
  t.equal(held.length, 1, 'all wait for one answer')
  const description = {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`
  }
  for (const response of held) {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(description))
  }
  const names = (await Promise.all(begun)).map(({ name }) => name)
  t.equal(names.filter((name) => name === 'begun').length, 40)
})
