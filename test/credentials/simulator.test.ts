import t from 'tap'
import { CredentialRefresher } from '../../src/credentials/refresher.ts'
import { simulatorSource } from '../../src/credentials/sources.ts'
import { isProfileArn } from '../../src/kiro/wire/hosts.ts'
import { FakeClock } from '../helper/fake-clock.ts'
import { recordedLog } from '../helper/recorded-log.ts'
import { credentialSettings } from '../helper/stored-credential.ts'

t.test('simulatorSource()', (t) => {
  t.test('is a valid sign-in that never expires', async (t) => {
    const { profileArn, ...stored } = await simulatorSource().read()
    t.ok(profileArn !== null && isProfileArn(profileArn))
    t.match(stored, { authType: 'social', expiresAt: null, refreshToken: null })
  })
  t.test('lets a demo go on after a refused token and a suspended account', async (t) => {
    const clock = new FakeClock(0)
    const { log } = recordedLog()
    const refresher = new CredentialRefresher({
      source: simulatorSource(),
      settings: credentialSettings({ stateDir: t.testdirName }),
      upstream: {
        apiUrl: null,
        managementUrl: null,
        authUrl: null,
        oidcUrl: null,
        userAgent: 'ua'
      },
      call: () => Promise.reject(new Error('the simulator’s tokens are never renewed')),
      log,
      onChange: () => {},
      clock
    })
    t.teardown(() => refresher.close())
    await refresher.start()
    const first = refresher.current()?.token ?? ''
    const second = await refresher.refused(first)
    t.not(second.token, first)
    refresher.suspended(second.token, 'temporarily is suspended')
    t.equal(refresher.current(), null)
    clock.suspend(5000)
    t.ok(await refresher.refused(second.token))
  })
  t.end()
})
