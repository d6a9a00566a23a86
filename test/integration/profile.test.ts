import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

t.test('an organisation’s sign-in without a profile gets one from the upstream', async (t) => {
  const simulator = new Simulator({ gapMs: 1 })
  const { url } = await simulator.start()
  t.teardown(() => simulator.close())
  const folder = mkdtempSync(join(tmpdir(), 'gateway-profile-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'kiro-auth-token.json')
  const expiresAt = new Date(Date.now() + 3_600_000).toISOString()
  writeFileSync(
    file,
    JSON.stringify({
      accessToken: 'organisation-token',
      refreshToken: 'organisation-refresh-token',
      expiresAt,
      region: 'ap-southeast-1',
      authMethod: 'IdC',
      provider: 'Enterprise',
      clientId: 'client',
      clientSecret: 'secret'
    })
  )
  const gateway = await startGateway({ env: { KIRO_CREDS_FILE: file, KIRO_API_URL: url } })
  t.teardown(() => gateway.destroy())
  await gateway.logged((line) => line['msg'] === 'profile found')
  t.ok(isComplete(await startChat(gateway.url, 'hello').answer))
  t.equal(simulator.stats().requests.byOperation['listAvailableProfiles'], 1)
})
