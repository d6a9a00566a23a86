import { chownSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  type NewSignIn,
  ownSignInSource,
  removeSignIn,
  saveSignIn,
  signInPath
} from '../../src/credentials/own-sign-in.ts'
import { recordedLog } from '../helper/recorded-log.ts'

const NOW = Date.parse('2026-09-01T00:00:00Z')
const social: NewSignIn = {
  authMethod: 'social',
  provider: 'Google',
  accessToken: 'a1',
  refreshToken: 'r1',
  expiresInS: 3600,
  region: 'us-east-1',
  profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/P'
}
const builderId: NewSignIn = {
  authMethod: 'builder-id',
  provider: 'BuilderId',
  accessToken: 'a1',
  refreshToken: 'r1',
  expiresInS: 3600,
  region: 'eu-west-1',
  startUrl: 'https://view.awsapps.com/start',
  client: { clientId: 'ci', clientSecret: 'cs', secretExpiresAt: NOW + 90 * 86_400_000 }
}
const external: NewSignIn = {
  authMethod: 'external_idp',
  provider: 'Enterprise',
  accessToken: 'a1',
  refreshToken: 'r1',
  expiresInS: 3600,
  region: 'us-east-1',
  client: { clientId: 'ci' },
  idp: {
    tokenEndpoint: 'https://login.microsoftonline.com/t/oauth2/v2.0/token',
    issuerUrl: 'https://login.microsoftonline.com/t/v2.0',
    scopes: ['api://x/.default', 'offline_access']
  }
}

t.test('saveSignIn()', (t) => {
  const { log } = recordedLog()
  const options = { region: 'us-west-2', log }
  t.test('keeps what each kind of sign-in is renewed with', async (t) => {
    const dir = join(t.testdir(), 'state')
    for (const [signIn, expected] of [
      [social, { authType: 'social', profileArn: social.profileArn, client: null }],
      [
        builderId,
        {
          authType: 'builder-id',
          ssoRegion: 'eu-west-1',
          client: { clientId: 'ci', clientSecret: 'cs', expiresAt: NOW + 90 * 86_400_000 }
        }
      ],
      [
        external,
        {
          authType: 'external-idp',
          idp: { clientId: 'ci', scopes: 'api://x/.default offline_access' }
        }
      ]
    ] as const) {
      const path = await saveSignIn(dir, signIn, NOW)
      t.equal(path, signInPath(dir))
      t.equal(statSync(path).mode & 0o777, 0o600)
      const source = await ownSignInSource(dir, options)
      t.match(await source?.read(), {
        ...expected,
        accessToken: 'a1',
        refreshToken: 'r1',
        expiresAt: NOW + 3_600_000,
        renewalProblem: null
      })
    }
    t.match(JSON.parse(readFileSync(signInPath(dir), 'utf8')), {
      issuedAt: '2026-09-01T00:00:00.000Z',
      expiresAt: '2026-09-01T01:00:00.000Z'
    })
  })
  t.test('is written back to, and says when', async (t) => {
    const dir = t.testdir()
    await saveSignIn(dir, social, NOW)
    const source = await ownSignInSource(dir, options)
    const stored = await source?.read()
    if (source?.writeBack === undefined || stored === undefined) throw new Error('no source')
    const renewed = { ...stored, accessToken: 'a2', refreshToken: 'r2' }
    t.equal(await source.writeBack(renewed, 'r1'), null)
    const file = JSON.parse(readFileSync(signInPath(dir), 'utf8')) as Record<string, unknown>
    t.match(file, { accessToken: 'a2', refreshToken: 'r2', provider: 'Google' })
    t.not(file['issuedAt'], '2026-09-01T00:00:00.000Z')
  })
  t.test('can be taken back', async (t) => {
    const dir = t.testdir()
    t.equal(await removeSignIn(dir), false)
    t.equal(await ownSignInSource(dir, options), null)
    await saveSignIn(dir, social)
    t.equal(await removeSignIn(dir), true)
    t.equal(await ownSignInSource(dir, options), null)
  })
  t.test('says which folder cannot be read, instead of crashing', async (t) => {
    const dir = t.testdir()
    symlinkSync('loop', join(dir, 'loop')) // root may read the folders of others
    await t.rejects(ownSignInSource(join(dir, 'loop'), options), {
      code: 'GW_CONFIG_INVALID',
      message:
        /^STATE_DIR: .*loop\/sign-in\.json cannot be read \(ELOOP\)\. .* set STATE_DIR to another\.$/
    })
  })
  t.test('believes no link and no file of another user', async (t) => {
    const dir = t.testdir({ real: '{"accessToken":"secret","refreshToken":"secret"}' })
    symlinkSync(join(dir, 'real'), signInPath(dir))
    const linked = await ownSignInSource(dir, options)
    if (linked === null) throw new Error('no source')
    const error = await t.rejects(linked.read(), {
      code: 'GW_CONFIG_INVALID',
      message: /is a symbolic link, which is not followed here\./
    })
    t.notMatch(String(error), 'secret')
    if (process.geteuid?.() !== 0) return
    const other = join(dir, 'other')
    mkdirSync(other)
    writeFileSync(signInPath(other), '{"accessToken":"secret","refreshToken":"secret"}')
    chownSync(signInPath(other), 4242, 4242)
    const foreign = await ownSignInSource(other, options)
    await t.rejects(async () => void (await foreign?.read()), {
      message: /belongs to another user \(uid 4242\)/
    })
  })
  t.end()
})
