import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { FakeSignInServices } from '../helper/fake-sign-in-services.ts'
import { GatewayProcess, type LogLine } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

function isAsking({ msg }: LogLine): boolean {
  return String(msg).startsWith('not signed in: open')
}

function lastsLong({ until }: LogLine): boolean {
  return Date.parse(String(until)) > Date.now() + 60_000
}

t.test('a container without credentials signs in through its log', async (t) => {
  const services = await new FakeSignInServices().listen()
  t.teardown(() => services.close())
  const simulator = new Simulator()
  const { url } = await simulator.start()
  t.teardown(() => simulator.close())
  services.expiresIn = 3
  const stateDir = join(t.testdir({}), 'state')
  const env = {
    NODE_ENV: 'production',
    LOGIN_ON_START: 'true',
    KIRO_OIDC_URL: services.url,
    KIRO_API_URL: url,
    STATE_DIR: stateDir
  }
  const gateway = new GatewayProcess({ env })
  t.teardown(() => gateway.destroy())
  t.match(await gateway.logged(isAsking), {
    url: 'https://device.example.com/?user_code=CODE-1',
    userCode: 'CODE-1'
  })
  await gateway.ready()

  await t.test('refuses requests until then, and says why', async (t) => {
    const refused = await startChat(gateway.url, 'Say hello.').answer
    t.equal(refused.status, 503)
    t.match(refused.text, /not signed in yet\. Its operator must open the link/)
    t.notMatch(refused.text, /CODE-|device\.example/, 'which clients do not see')
    const readiness = await fetch(`${gateway.url}/readyz`)
    t.equal(readiness.status, 503)
    t.match(await readiness.text(), /not signed in yet/)
    t.equal((await fetch(`${gateway.url}/health`)).status, 200)
  })

  await t.test('shows a new code when one has run out', async (t) => {
    services.expiresIn = 600
    await gateway.logged((line) => isAsking(line) && lastsLong(line))
    t.ok(gateway.lines.some(({ msg }) => msg === 'the code has expired, a new one follows'))
  })

  await t.test('answers once the code is confirmed', async (t) => {
    services.device = 'confirmed'
    await gateway.logged(({ msg }) => msg === 'signed in')
    await gateway.logged(({ msg }) => msg === 'credentials ready')
    while ((await fetch(`${gateway.url}/readyz`)).status !== 200) await delay(5) // the worker hears of it after the primary
    const answer = await startChat(gateway.url, 'Say hello.').answer
    t.ok(isComplete(answer))
    const file = readFileSync(join(stateDir, 'sign-in.json'), 'utf8')
    t.match(JSON.parse(file), { accessToken: 'access-token-1', provider: 'BuilderId' })
  })

  await t.test('writes no secret', async (t) => {
    const said = JSON.stringify(gateway.lines) + gateway.stderr
    t.notMatch(said, /access-token|refresh-token|device-code|client-secret/)
    t.equal(await gateway.stop(), 0)
  })

  await t.test('needs nobody at its next start', async (t) => {
    const { length } = services.calls
    const next = new GatewayProcess({ env })
    t.teardown(() => next.destroy())
    await next.ready()
    t.ok(isComplete(await startChat(next.url, 'Say hello.').answer))
    t.equal(services.calls.length, length)
    t.equal(await next.stop(), 0)
  })
})
