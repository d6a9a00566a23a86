import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { LoginOnStart } from '../../../src/control/account/login-on-start.ts'
import { HastyClock } from '../../helper/fake-clock.ts'
import { FakeSignInServices } from '../../helper/fake-sign-in-services.ts'
import { recordedLog } from '../../helper/recorded-log.ts'
import { undiciJsonCall } from '../../helper/undici-json-call.ts'

async function rig(t: Test, settings: Readonly<Record<string, string>> = {}) {
  const services = await new FakeSignInServices().listen()
  const { call, close } = undiciJsonCall()
  t.teardown(() => services.close())
  t.teardown(close)
  const stateDir = join(t.testdir({}), 'state')
  const loaded = loadConfig({ KIRO_OIDC_URL: services.url, STATE_DIR: stateDir, ...settings }, [])
  if (loaded.name !== 'config') throw new Error('no config')
  const clock = new HastyClock('2026-09-01T00:00:00Z')
  const { log, lines } = recordedLog()
  const login = new LoginOnStart({ call, config: loaded.config, log, clock })
  t.teardown(() => login.stop())
  let read = 0
  /** Resolves with the next log line that says this. */
  const says = async (message: RegExp): Promise<Readonly<Record<string, unknown>>> => {
    for (; ; read += 1) {
      while (lines.length <= read) await delay(1)
      const line = JSON.parse(lines[read] ?? '') as Readonly<Record<string, unknown>>
      if (!message.test(String(line['msg']))) continue
      read += 1
      return line
    }
  }
  return { services, clock, login, lines, says, kept: join(stateDir, 'sign-in.json') }
}

t.test('LoginOnStart', (t) => {
  t.test('shows link and code, and keeps the sign-in that comes of it', async (t) => {
    const { services, login, lines, says, kept } = await rig(t)
    login.start()
    login.start()
    t.match(await says(/^not signed in: open the link/), {
      level: 'warn',
      url: 'https://device.example.com/?user_code=CODE-1',
      userCode: 'CODE-1',
      verificationUrl: 'https://device.example.com/',
      until: '2026-09-01T00:10:00.000Z'
    })
    services.device = 'confirmed'
    t.match(await says(/^signed in$/), { level: 'info', path: kept, provider: 'BuilderId' })
    t.match(JSON.parse(readFileSync(kept, 'utf8')), {
      accessToken: 'access-token-1',
      authMethod: 'builder-id'
    })
    t.equal(statSync(kept).mode & 0o777, 0o600)
    t.equal(services.callsTo('/device_authorization').length, 1)
    t.notMatch(JSON.stringify(lines), /access-token|refresh-token|device-code|client-secret/)
  })

  t.test('shows a new code when one has run out', async (t) => {
    const { services, clock, login, says } = await rig(t)
    services.expiresIn = 5
    clock.onSleep = () => {
      if (clock.slept.length === 5) services.expiresIn = 3600
    }
    login.start()
    await says(/^not signed in: open/)
    await says(/^the code has expired/)
    t.match(await says(/^not signed in: open/), { userCode: 'CODE-2' })
    services.device = 'confirmed'
    await says(/^signed in$/)
    t.same(clock.slept.slice(0, 5), [1000, 1000, 1000, 1000, 1000], 'four polls and a pause')
  })

  t.test('tries again, ever more rarely, when it cannot even ask', async (t) => {
    const { services, clock, login, lines, says } = await rig(t)
    const down = { status: 503, body: { message: 'later' } }
    services.replies.push(down, down, down)
    login.start()
    const pauses: unknown[] = []
    for (let at = 0; at < 3; at++) {
      const line = await says(/^not signed in, trying again/)
      pauses.push(line['pauseMs'])
    }
    t.same(pauses, [5000, 10_000, 20_000])
    await says(/^not signed in: open/)
    services.device = 'confirmed'
    await says(/^signed in$/)
    t.same(clock.slept.slice(0, 3), pauses)
    t.equal(lines.length, 5)
  })

  t.test('asks an organisation where one is set', async (t) => {
    const LOGIN_START_URL = 'https://d-1.awsapps.com/start'
    const { services, login, says } = await rig(t, { LOGIN_START_URL, KIRO_REGION: 'eu-west-1' })
    login.start()
    await says(/^not signed in: open/)
    t.equal(services.callsTo('/device_authorization')[0]?.body['startUrl'], LOGIN_START_URL)
    services.device = 'confirmed'
    t.match(await says(/^signed in$/), { provider: 'Enterprise' })
  })

  t.test('stops at once, and can start again', async (t) => {
    const { services, login, says } = await rig(t)
    await login.stop()
    login.start()
    await says(/^not signed in: open/)
    await login.stop()
    await delay(100) // a call that was on its way has arrived
    const { length } = services.calls
    await delay(100)
    t.equal(services.calls.length, length, 'asks no more')
    login.start()
    t.match(await says(/^not signed in: open/), { userCode: 'CODE-2' })
  })
  t.end()
})
