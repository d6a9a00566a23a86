import { existsSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ForcedRefreshLimit } from '../../src/credentials/refresher.ts'
import { credentialRig, ideFile, START } from '../helper/credential-rig.ts'

const dead = { status: 401, body: { message: 'Bad credentials' } }
const down = { status: 503, body: '' }

t.test('CredentialRefresher.start()', (t) => {
  t.test('uses an unexpired token without any call', async (t) => {
    const { refresher, server, states } = await credentialRig(t)
    await refresher.start()
    t.match(refresher.current(), {
      token: 'a1',
      tokenType: 'none',
      authType: 'social',
      apiRegion: 'us-east-1',
      expiresAt: Date.parse(START) + 3_600_000
    })
    t.equal(server.calls.length, 0)
    t.match(states, [{ name: 'usable', snapshot: { token: 'a1' } }])
    await t.rejects(refresher.start(), /started before/)
  })
  t.test('renews an expired token first', async (t) => {
    const { refresher, server } = await credentialRig(t, { file: ideFile(0) })
    t.equal(refresher.current(), null)
    await refresher.start()
    t.match(refresher.current(), { token: 'a2' })
    t.equal(server.calls.length, 1)
  })
  t.test('renews a token of which it does not know when it expires', async (t) => {
    const { refresher } = await credentialRig(t, { file: ideFile(60, { expiresAt: 'never' }) })
    await refresher.start()
    t.match(refresher.current(), { token: 'a2' })
  })
  t.test('fails with a readable reason if the file cannot be used', async (t) => {
    const { refresher } = await credentialRig(t, { file: {} })
    await t.rejects(refresher.start(), {
      code: 'GW_CONFIG_INVALID',
      message: /token\.json has neither/
    })
  })
  t.test(
    'comes up without a token while the token service is down, and gets one later',
    async (t) => {
      const { refresher, server, clock, changed, states } = await credentialRig(t, {
        file: ideFile(0)
      })
      server.replies.push(down, down, down)
      await refresher.start()
      t.match(refresher.state(), { name: 'waiting', problem: { code: 'GW_UPSTREAM_STATUS' } })
      await t.rejects(refresher.refused('a1'), { code: 'GW_UPSTREAM_STATUS' })
      t.equal(server.calls.length, 3, 'nobody asks again at once')
      clock.moveBy(1000)
      await changed()
      t.match(refresher.state(), { name: 'usable', snapshot: { token: 'a2' }, problem: null })
      t.match(states, [
        { name: 'waiting', problem: { code: 'GW_UPSTREAM_STATUS' } },
        { name: 'usable' }
      ])
      t.equal(states.length, 2)
    }
  )
  t.end()
})

t.test('a renewed token expires and is renewed again when it should', async (t) => {
  const file = ideFile(0, { clientId: 'ci', clientSecret: 'cs', region: 'eu-west-1' })
  const { refresher, server, clock, changed, readFile } = await credentialRig(t, { file })
  await refresher.start()
  t.match(server.calls, [
    {
      path: '/token',
      body: { grantType: 'refresh_token', clientId: 'ci', clientSecret: 'cs', refreshToken: 'r1' }
    }
  ])
  t.match(readFile(), { expiresAt: '2026-09-01T00:59:00.000Z', refreshToken: 'r2' })
  t.match(refresher.current(), { apiRegion: 'us-east-1', authType: 'idc' })
  clock.moveTo('2026-09-01T00:48:59.999Z')
  t.equal(server.calls.length, 1)
  clock.moveTo('2026-09-01T00:49:00Z')
  await changed()
  t.match(refresher.current(), { token: 'a3' })
  t.match(server.calls[1], { body: { refreshToken: 'r2' } })
})

t.test('CredentialRefresher.refused()', (t) => {
  t.test('makes one call for 50 callers at once', async (t) => {
    const { refresher, server } = await credentialRig(t)
    await refresher.start()
    const snapshots = await Promise.all(Array.from({ length: 50 }, () => refresher.refused('a1')))
    t.ok(snapshots.every(({ token }) => token === 'a2'))
    t.equal(server.calls.length, 1)
  })
  t.test('makes no call for a token that was replaced already', async (t) => {
    const { refresher, server } = await credentialRig(t)
    await refresher.start()
    await refresher.refused('a1')
    t.match(await refresher.refused('a1'), { token: 'a2' })
    t.equal(server.calls.length, 1)
  })
  t.test('adopts a token that the IDE has put into the file, without a call', async (t) => {
    const { refresher, server, writeFile } = await credentialRig(t)
    await refresher.start()
    writeFile(ideFile(120, server.rotateElsewhere()))
    t.match(await refresher.refused('a1'), { token: 'a2' })
    t.equal(server.calls.length, 0)
  })
  t.test('looks into the file again when its refresh token was used up meanwhile', async (t) => {
    const { refresher, server, writeFile } = await credentialRig(t)
    await refresher.start()
    server.beforeReply = () => {
      server.beforeReply = () => {}
      writeFile(ideFile(0, server.rotateElsewhere())) // expired, so it has to be renewed with r2
    }
    t.match(await refresher.refused('a1'), { token: 'a3' })
    t.match(
      server.calls.map(({ body }) => body['refreshToken']),
      ['r1', 'r2']
    )
  })
  t.test('ends for good when the sign-in is dead, until somebody signs in anew', async (t) => {
    const { refresher, server, clock, changed, writeFile, states, text } = await credentialRig(t)
    await refresher.start()
    server.replies.push(dead)
    const error = await t.rejects(refresher.refused('a1'), { code: 'GW_UPSTREAM_AUTH' })
    t.match(String(error), /no longer valid.*Sign in again in Kiro IDE/)
    t.equal(refresher.current(), null)
    t.match(states.at(-1), { name: 'dead' })
    await t.rejects(refresher.refused('a1'), { code: 'GW_UPSTREAM_AUTH' })
    clock.moveBy(60_000)
    await t.rejects(refresher.refused('a1'), { code: 'GW_UPSTREAM_AUTH' })
    t.equal(server.calls.length, 1, 'a dead refresh token is presented once')
    writeFile(ideFile(90, { accessToken: 'b1', refreshToken: 'q1' }))
    clock.moveBy(5000)
    await changed()
    t.match(refresher.current(), { token: 'b1' })
    t.equal(server.calls.length, 1)
    t.match(text(), /"level":"error".*credentials not renewed/)
  })
  t.test(
    'hands the failure to everybody who waited, and spares the service for a while',
    async (t) => {
      const { refresher, server, clock } = await credentialRig(t)
      await refresher.start()
      server.replies.push(down, down, down)
      const results = await Promise.allSettled([refresher.refused('a1'), refresher.refused('a1')])
      t.match(results, [{ status: 'rejected' }, { status: 'rejected' }])
      await t.rejects(refresher.refused('a1'), { code: 'GW_UPSTREAM_STATUS' })
      t.equal(server.calls.length, 3)
      clock.suspend(1000)
      t.match(await refresher.refused('a1'), { token: 'a2' })
    }
  )
  t.test('stops when the upstream refuses whatever it is given', async (t) => {
    const { refresher, server, clock } = await credentialRig(t)
    await refresher.start()
    let token = 'a1'
    for (let i = 0; i < 5; i += 1) ({ token } = await refresher.refused(token))
    await t.rejects(refresher.refused(token), { code: 'GW_UPSTREAM_AUTH', message: /just renewed/ })
    t.equal(server.calls.length, 5)
    clock.suspend(60_000)
    t.match(await refresher.refused(token), { token: 'a7' })
  })
  t.test('keeps an API key in use: there is nothing to put in its place', async (t) => {
    const settings = { apiKey: 'ksk_secret' }
    const { refresher, server } = await credentialRig(t, { settings })
    await refresher.start()
    await t.rejects(refresher.refused('ksk_secret'), {
      code: 'GW_UPSTREAM_AUTH',
      message: /KIRO_API_KEY/
    })
    t.match(refresher.current(), { token: 'ksk_secret', tokenType: 'API_KEY', authType: 'api-key' })
    t.equal(server.calls.length, 0)
  })
  t.end()
})

t.test('renewal in the background', (t) => {
  t.test('starts when less than 600 s are left, while the old token is used', async (t) => {
    const { refresher, server, clock, changed } = await credentialRig(t)
    await refresher.start()
    const answer = Promise.withResolvers<void>()
    server.beforeReply = () => answer.promise
    clock.moveTo('2026-09-01T00:49:59.999Z')
    t.equal(server.calls.length, 0)
    clock.moveTo('2026-09-01T00:50:00Z')
    t.match(refresher.current(), { token: 'a1' }, 'none waiting')
    while (server.calls.length === 0) await new Promise(setImmediate)
    t.match(refresher.current(), { token: 'a1' })
    answer.resolve()
    await changed()
    t.match(refresher.current(), { token: 'a2' })
  })
  t.test('keeps the old token until it really expires, then says so', async (t) => {
    const { refresher, server, clock, changed, states } = await credentialRig(t, {
      file: ideFile(2)
    })
    server.replies.push(...Array.from({ length: 90 }, () => down))
    await refresher.start()
    clock.moveBy(1000)
    t.ok(refresher.current())
    while (refresher.state().problem === null) await new Promise(setImmediate)
    t.match(refresher.state(), { name: 'usable', problem: { code: 'GW_UPSTREAM_STATUS' } })
    t.match(refresher.current(), { token: 'a1' })
    clock.suspend(120_000)
    t.equal(refresher.current(), null)
    clock.moveBy(1)
    await changed()
    t.match(states.at(-1), { name: 'waiting', problem: { code: 'GW_UPSTREAM_STATUS' } })
  })
  t.test('lets an expired token be waited for', async (t) => {
    const { refresher, server, clock } = await credentialRig(t)
    await refresher.start()
    clock.suspend(3_600_000)
    t.equal(refresher.current(), null)
    const snapshots = await Promise.all([refresher.refused('a1'), refresher.refused('a1')])
    t.match(snapshots, [{ token: 'a2' }, { token: 'a2' }])
    t.equal(server.calls.length, 1)
  })
  t.test('does not go round in circles with tokens that live for minutes', async (t) => {
    const { refresher, server, clock, changed } = await credentialRig(t, { file: ideFile(0) })
    server.expiresIn = 300
    await refresher.start()
    clock.moveBy(119_000)
    t.equal(server.calls.length, 1)
    clock.moveBy(1000)
    await changed()
    t.equal(server.calls.length, 2)
  })
  t.test('never keeps the process alive', async (t) => {
    const { refresher, clock } = await credentialRig(t)
    await refresher.start()
    t.equal(clock.timers, 1)
    await refresher.close()
    t.equal(clock.timers, 0)
  })
  t.end()
})

t.test('renewed tokens survive', (t) => {
  t.test('a restart, although the file is read-only', async (t) => {
    const rig = await credentialRig(t)
    await rig.refresher.start()
    await rig.refresher.refused('a1')
    rig.writeFile(ideFile(60)) // as if it had never been written back
    const again = rig.create()
    await again.start()
    t.match(again.current(), { token: 'a2' })
    await again.refused('a2')
    t.match(
      rig.server.calls.map(({ body }) => body['refreshToken']),
      ['r1', 'r2']
    )
  })
  t.test('in memory, when no file can be written', async (t) => {
    const rig = await credentialRig(t)
    writeFileSync(join(rig.dir, 'state'), 'a file where the folder should be')
    await rig.refresher.start()
    t.match(await rig.refresher.refused('a1'), { token: 'a2' })
    rig.writeFile(ideFile(60))
    t.match(await rig.refresher.refused('a2'), { token: 'a3' })
    t.match(rig.text(), 'make STATE_DIR writable')
  })
  t.test('a file that vanishes, and a damaged overlay', async (t) => {
    const rig = await credentialRig(t)
    await rig.refresher.start()
    await rig.refresher.refused('a1')
    rmSync(rig.path)
    const folder = join(rig.dir, 'state', 'credentials')
    for (const name of readdirSync(folder)) writeFileSync(join(folder, name), '{"half')
    t.match(await rig.refresher.refused('a2'), { token: 'a3' })
    for (const name of readdirSync(folder)) {
      t.match(JSON.parse(readFileSync(join(folder, name), 'utf8')), { refreshToken: 'r3' })
    }
  })
  t.test('not a new sign-in: that wins over what we renewed', async (t) => {
    const rig = await credentialRig(t)
    await rig.refresher.start()
    await rig.refresher.refused('a1')
    rig.writeFile(ideFile(30, { accessToken: 'b1', refreshToken: 'q1' }))
    const again = rig.create()
    await again.start()
    t.match(again.current(), { token: 'b1' })
  })
  t.test('for REFRESH_TOKEN too, with the ARN the service names', async (t) => {
    const settings = { credsFile: null, refreshToken: 'r1' }
    const rig = await credentialRig(t, { settings })
    const profileArn = 'arn:aws:codewhisperer:eu-central-1:123456789012:profile/P'
    rig.server.extra = { profileArn }
    await rig.refresher.start()
    t.match(rig.refresher.current(), { token: 'a2', profileArn, apiRegion: 'eu-central-1' })
    const again = rig.create()
    await again.start()
    t.match(again.current(), { token: 'a2', profileArn })
    t.equal(rig.server.calls.length, 1)
  })
  t.end()
})

t.test('two gateways on one file', (t) => {
  t.test('present each refresh token once', async (t) => {
    const { refresher, create, server, dir } = await credentialRig(t, { file: ideFile(0) })
    const other = create({ stateDir: join(dir, 'other-state') })
    await Promise.all([refresher.start(), other.start()])
    t.match([refresher.current(), other.current()], [{ token: 'a2' }, { token: 'a2' }])
    const both = await Promise.all([refresher.refused('a2'), other.refused('a2')])
    t.match(both, [{ token: 'a3' }, { token: 'a3' }])
    t.match(
      server.calls.map(({ body }) => body['refreshToken']),
      ['r1', 'r2']
    )
  })
  t.test('leave no lock behind', async (t) => {
    const { refresher, dir } = await credentialRig(t, { file: ideFile(0) })
    await refresher.start()
    await refresher.close()
    t.same(readdirSync(dir).toSorted(), ['state', 'token.json'])
  })
  t.end()
})

t.test('a renewal whose answer is lost on its way', async (t) => {
  const { refresher, server } = await credentialRig(t)
  await refresher.start()
  server.isUndelivered = true
  await t.rejects(refresher.refused('a1'), { code: 'GW_UPSTREAM_AUTH', message: /Sign in again/ })
  t.equal(refresher.current(), null, 'the refresh token is used up, and nobody has the next')
})

t.test('the log repeats what stays wrong, at a low rate', async (t) => {
  const { refresher, server, clock, text } = await credentialRig(t, { file: ideFile(0) })
  server.replies.push(dead)
  await refresher.start()
  const lines = (): number => text().split('credentials not renewed').length - 1
  t.equal(lines(), 1)
  for (let minute = 1; minute <= 9; minute += 1) {
    clock.suspend(60_000)
    await t.rejects(refresher.usable(), { code: 'GW_UPSTREAM_AUTH' })
  }
  t.equal(lines(), 1)
  clock.suspend(60_000)
  await t.rejects(refresher.usable(), { code: 'GW_UPSTREAM_AUTH' })
  t.equal(lines(), 2)
  t.equal(server.calls.length, 1)
})

t.test('a failure is a warning while the token is valid', async (t) => {
  const { refresher, server, clock, text } = await credentialRig(t, { file: ideFile(2) })
  server.replies.push(dead)
  await refresher.start()
  clock.moveBy(1000)
  while (refresher.state().problem === null) await new Promise(setImmediate)
  t.match(refresher.state(), { name: 'usable', problem: { code: 'GW_UPSTREAM_AUTH' } })
  t.match(text(), /"level":"warn".*credentials not renewed/)
  t.notMatch(text(), /"level":"error"/)
  clock.suspend(120_000)
  await t.rejects(refresher.usable(), { code: 'GW_UPSTREAM_AUTH' })
  t.match(text(), /"level":"error".*credentials not renewed/)
})

t.test('a registration that has run out is told as such', async (t) => {
  const client = { clientId: 'ci', clientSecret: 'cs' }
  const over = { ...client, clientSecretExpiresAt: '2026-08-31T00:00:00Z' }
  const { refresher, server } = await credentialRig(t, { file: ideFile(0, over) })
  server.registrationHasExpired = true
  await refresher.start()
  t.match(refresher.state(), { name: 'dead', problem: { code: 'GW_REGISTRATION_EXPIRED' } })
})

t.test('CredentialRefresher.suspended()', async (t) => {
  const { refresher, server, clock, states, writeFile, changed } = await credentialRig(t)
  await refresher.start()
  refresher.suspended('old', 'not ours')
  t.ok(refresher.current())
  refresher.suspended('a1', 'Your User ID temporarily is suspended.')
  t.equal(refresher.current(), null)
  t.match(states.at(-1), { name: 'dead', problem: { code: 'GW_UPSTREAM_SUSPENDED' } })
  await t.rejects(refresher.refused('a1'), { code: 'GW_UPSTREAM_SUSPENDED' })
  clock.suspend(5000)
  await t.rejects(refresher.refused('a1'), {
    code: 'GW_UPSTREAM_SUSPENDED',
    message: 'The upstream account is suspended.',
    detail: 'Your User ID temporarily is suspended.'
  })
  t.equal(server.calls.length, 0, 'no refresh loop')
  writeFile(ideFile(60, { accessToken: 'b1', refreshToken: 'q1' }))
  clock.moveBy(5000)
  await changed()
  t.match(refresher.current(), { token: 'b1' })
})

t.test('no tokens stay in what a killed process has left half done', async (t) => {
  const { refresher, dir, path } = await credentialRig(t)
  await refresher.start()
  const draft = join(dir, '.token.json.0b0c0d0e-0000-4000-8000-000000000000.tmp')
  writeFileSync(draft, '{"refreshToken":"r1"')
  utimesSync(draft, 0, 0)
  await refresher.refused('a1')
  t.notOk(existsSync(draft))
  t.ok(existsSync(path))
})

t.test('a source that cannot be read for a while', async (t) => {
  t.test('is not taken for what it was while there is time', async (t) => {
    const { refresher, server, clock, path, text, changed, states } = await credentialRig(t)
    await refresher.start()
    const next = server.rotateElsewhere() // the IDE, which is not done with its file
    const whole = JSON.stringify(ideFile(120, next))
    writeFileSync(path, whole.slice(0, 40))
    const failed = changed()
    clock.moveBy(51 * 60_000)
    await failed
    t.match(refresher.state(), {
      name: 'usable',
      snapshot: { token: 'a1' },
      problem: { code: 'GW_CONFIG_INVALID' }
    })
    writeFileSync(path, whole)
    const adopted = changed()
    clock.moveBy(30_000)
    await adopted
    t.match(states.at(-1), { name: 'usable', snapshot: { token: 'a2' }, problem: null })
    t.equal(server.calls.length, 0, 'the token that was used up is not presented')
    t.equal(text().split('cannot be reloaded').length, 2, 'said once')
  })
  t.test('is done without once the token is over', async (t) => {
    const { refresher, clock, path } = await credentialRig(t)
    await refresher.start()
    writeFileSync(path, '{"accessToken":')
    clock.suspend(61 * 60_000)
    t.match(await refresher.usable(), { token: 'a2' })
  })
})

t.test('a clock that is put back by a day makes nobody wait for a day', async (t) => {
  t.test('after a failure', async (t) => {
    const { refresher, server, clock, changed } = await credentialRig(t, { file: ideFile(0) })
    clock.suspend(86_400_000)
    server.replies.push(down, down, down)
    await refresher.start()
    clock.putBack(86_400_000)
    const renewed = changed()
    clock.moveBy(1000)
    await renewed
    t.match(refresher.current(), { token: 'a2' })
  })
  t.test('who needs a token now', async (t) => {
    const { refresher, server, clock } = await credentialRig(t, { file: ideFile(-1) })
    server.replies.push(down, down, down)
    await refresher.start()
    await t.rejects(refresher.usable(), { code: 'GW_UPSTREAM_STATUS' })
    clock.putBack(30_000)
    t.match(await refresher.usable(), { token: 'a2' })
  })
  t.test('who was refused often', (t) => {
    const limit = new ForcedRefreshLimit()
    for (let count = 1; count <= 5; count += 1) t.ok(limit.allow(86_400_000))
    t.notOk(limit.allow(86_400_000))
    t.ok(limit.allow(0))
    t.end()
  })
})

t.test('CredentialRefresher.forget()', (t) => {
  t.test('waits for a renewal, which would write the sign-in again', async (t) => {
    const { refresher, path } = await credentialRig(t)
    await refresher.start()
    const renewed = refresher.refused('a1')
    const wasThere = await refresher.forget(async () => {
      rmSync(path)
      return true
    })
    t.ok(wasThere)
    t.match(await renewed, { token: 'a2' })
    t.notOk(existsSync(path))
    t.equal(refresher.current(), null)
  })
  t.test('lets no renewal begin meanwhile', async (t) => {
    const { refresher, server, path } = await credentialRig(t)
    await refresher.start()
    let late: Promise<unknown> = Promise.resolve()
    await refresher.forget(async () => {
      late = t.rejects(refresher.refused('a1'), { code: 'GW_LOGIN_PENDING' })
      await new Promise((resolve) => setTimeout(resolve, 100)) // as long as a renewal takes
      rmSync(path)
      return true
    })
    await late
    t.notOk(existsSync(path))
    t.equal(server.calls.length, 0)
  })
  t.end()
})

t.test('CredentialRefresher.close()', (t) => {
  t.test('lets a renewal end, then refuses', async (t) => {
    const { refresher, server, readFile } = await credentialRig(t)
    await refresher.start()
    const snapshot = refresher.refused('a1')
    await refresher.close()
    t.match(await snapshot, { token: 'a2' })
    t.match(readFile(), { refreshToken: server.validToken })
    await t.rejects(refresher.refused('a2'), { code: 'GW_DRAINING' })
  })
  t.end()
})

t.test('no secret gets into the log', async (t) => {
  const file = ideFile(0, {
    accessToken: 'access-secret',
    refreshToken: 'refresh-secret',
    clientId: 'id-secret',
    clientSecret: 'client-secret'
  })
  const { refresher, server, text } = await credentialRig(t, { file })
  const echo = {
    error: 'invalid_grant',
    error_description: 'refresh-secret of id-secret, client-secret'
  }
  server.replies.push({ status: 400, body: echo })
  await refresher.start()
  t.match(text(), 'credentials not renewed')
  t.notMatch(text(), /(access|refresh|id|client)-secret/)
})
