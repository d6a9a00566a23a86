import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { LOGIN_SECRETS, loginRig } from '../../helper/login-rig.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

t.test('kiro-gateway login, by device code', async (t) => {
  await t.test('prints link and code, waits, and keeps the sign-in', async (t) => {
    const { services, kept, start, read } = await loginRig(t)
    const cli = start([])
    const [, code, link] = await cli.says(/confirm the code (\S+):\n\n {2}(https:\S+)\n/)
    t.same([code, link], ['CODE-1', 'https://device.example.com/?user_code=CODE-1'])
    services.device = 'confirmed'
    const { code: exit, stdout, stderr } = await cli.ended
    t.same([exit, stderr], [0, ''])
    t.match(stdout, `Signed in with AWS Builder ID. The sign-in is stored in ${kept}.`)
    t.notMatch(stdout, LOGIN_SECRETS)
    t.match(read(), {
      authMethod: 'builder-id',
      provider: 'BuilderId',
      accessToken: 'access-token-1',
      refreshToken: 'refresh-token-1',
      clientId: 'client-1',
      clientSecret: 'client-secret-1',
      clientSecretExpiresAt: '2027-01-15T08:00:00.000Z',
      region: 'us-east-1',
      startUrl: 'https://view.awsapps.com/start',
      expiresAt: /^\d{4}-.*Z$/
    })
    t.equal(statSync(kept).mode & 0o777, 0o600)
    t.equal(statSync(join(kept, '..')).mode & 0o777, 0o700)
    t.same(readdirSync(join(kept, '..')), ['sign-in.json'])
  })

  await t.test('speaks JSON, and signs in with an organisation', async (t) => {
    const { services, kept, start } = await loginRig(t)
    const url = 'https://d-1.awsapps.com/start'
    const cli = start(['--json', `--start-url=${url}/#/`, '--region=eu-west-1'])
    await cli.says(/"event":"code"/)
    services.device = 'confirmed'
    const { code, stdout } = await cli.ended
    t.equal(code, 0)
    const lines = stdout.trim().split('\n')
    t.match(
      lines.map((line): unknown => JSON.parse(line)),
      [
        { event: 'code', userCode: 'CODE-1', url: /^https:/, expiresAt: /Z$/ },
        {
          event: 'signed-in',
          provider: 'Enterprise',
          startUrl: url,
          region: 'eu-west-1',
          path: kept
        }
      ]
    )
    t.notMatch(stdout, LOGIN_SECRETS)
    t.equal(services.callsTo('/device_authorization')[0]?.body['startUrl'], url)
  })

  await t.test('takes the region of the settings', async (t) => {
    const { services, start, read } = await loginRig(t)
    const cli = start(['--start-url=https://d-1.awsapps.com/start'], { KIRO_REGION: 'eu-north-1' })
    await cli.says(/CODE-1/)
    services.device = 'confirmed'
    t.equal((await cli.ended).code, 0)
    t.match(read(), { region: 'eu-north-1', authMethod: 'IdC' })
  })

  await t.test('fails where it is denied, and keeps what was there', async (t) => {
    const { services, kept, start } = await loginRig(t)
    const first = start([])
    await first.says(/CODE-1/)
    services.device = 'confirmed'
    await first.ended
    const before = readFileSync(kept, 'utf8')
    const second = start(['--json'])
    await second.says(/CODE-2/)
    services.device = 'denied'
    const { code, stdout, stderr } = await second.ended
    t.equal(code, 1)
    t.match(stderr, /login: The sign-in was denied in the browser\./)
    t.match(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''), {
      error: { code: 'GW_LOGIN_DENIED' }
    })
    t.equal(readFileSync(kept, 'utf8'), before)
  })

  await t.test('ends with Ctrl-C at once', async (t) => {
    const { kept, start } = await loginRig(t)
    const cli = start([])
    await cli.says(/CODE-1/)
    cli.child.kill('SIGINT')
    t.match(await cli.ended, { code: 130, stderr: '' })
    t.notOk(existsSync(kept))
  })

  await t.test('says that the service is not there', async (t) => {
    const { services, start } = await loginRig(t)
    services.close()
    const { code, stdout, stderr } = await start([]).ended
    t.same([code, stdout], [1, ''])
    t.match(stderr, /login: .*KIRO_OIDC_URL/)
  })

  await t.test('asks nobody where the sign-in could not be kept', async (t) => {
    const { services, cwd, start } = await loginRig(t)
    writeFileSync(join(cwd, 'file'), '')
    const { code, stderr } = await start([], { STATE_DIR: join(cwd, 'file/state') }).ended
    t.equal(code, 2)
    t.match(stderr, /STATE_DIR: .* cannot be written \(ENOTDIR\)/)
    t.same(services.calls, [])
  })

  await t.test('works where the gateway would not start, and says what wins', async (t) => {
    const { services, start } = await loginRig(t)
    const cli = start([], { SERVER_HOST: '0.0.0.0', SERVER_PORT: 'x', KIRO_API_KEY: 'ksk_secret' })
    await cli.says(/CODE-1/)
    services.device = 'confirmed'
    const { code, stderr } = await cli.ended
    t.equal(code, 0)
    t.match(stderr, /^KIRO_API_KEY is set and overrides/)
    t.notMatch(stderr, 'ksk_secret')
  })
})
