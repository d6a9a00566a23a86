import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { awaitedSignIn, saveSignIn } from '../../src/credentials/own-sign-in.ts'
import { SignInOverlay } from '../../src/control/fleet/shared-tokens.ts'
import { OverlayStore } from '../../src/credentials/vault.ts'
import { newSignInFacts, proofOf } from '../../src/fleet/sign-in-record.ts'
import { runCommandHere } from '../helper/command-here.ts'
import { recordedLog } from '../helper/recorded-log.ts'
import { storedCredential } from '../helper/stored-credential.ts'

const ARN = 'arn:aws:codewhisperer:eu-central-1:123456789012:profile/MINE'
const TOKENS = {
  accessToken: 'secret-access-token',
  refreshToken: 'secret-refresh-token',
  expiresInS: 3600
}

t.test('kiro-gateway whoami and logout', async (t) => {
  const cwd = t.testdir({})
  const env = { STATE_DIR: join(cwd, 'state') }
  const run = (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
    runCommandHere(args, { cwd, env: { ...env, ...more } })

  await t.test('say that nobody is signed in', async (t) => {
    t.match(await run(['whoami']), {
      code: 1,
      stdout: 'Not signed in.\nSign in with: kiro-gateway login\n',
      stderr: ''
    })
    const { stdout } = await run(['whoami', '--json'])
    t.same(JSON.parse(stdout), { signIn: null, passedOver: [] })
    t.match(await run(['logout']), { code: 0, stdout: /^There is no sign-in in .*sign-in\.json/ })
  })

  await t.test('say which fleet it is shared with, and who renewed it', async (t) => {
    const stateDir = join(cwd, 'shared')
    await saveSignIn(stateDir, {
      ...TOKENS,
      authMethod: 'social',
      provider: 'Google',
      region: 'us-east-1'
    })
    const facts = { ...newSignInFacts(null, proofOf('secret-refresh-token', 'kiro')), holder: 'b' }
    const tokens = { ...storedCredential(), refreshToken: 'secret-refresh-token' }
    await new SignInOverlay(stateDir, 'sign-in.files').save({ facts, tokens, filed: '' })
    const fleet = { STATE_DIR: stateDir, FLEET_URL: 'redis://127.0.0.1:1', FLEET_REPLICAS: '2' }
    const { stdout } = await run(['whoami'], fleet)
    t.match(stdout, /shared with +the fleet kiro; last renewed by b/)
    const { signIn } = JSON.parse((await run(['whoami', '--json'], fleet)).stdout)
    t.match(signIn, { fleet: { name: 'kiro', renewedBy: 'b' } })
  })

  await t.test('show what login has kept, and no secret', async (t) => {
    await saveSignIn(env.STATE_DIR, {
      ...TOKENS,
      authMethod: 'IdC',
      provider: 'Enterprise',
      region: 'eu-west-1',
      profileArn: ARN,
      startUrl: 'https://d-1.awsapps.com/start',
      client: { clientId: 'secret-client', clientSecret: 'secret-of-client' }
    })
    const { code, stdout, stderr } = await run(['whoami'])
    t.same([code, stderr], [0, ''])
    t.match(stdout, /^signed in with {2}an organisation \(IAM Identity Center\)$/m)
    t.match(stdout, /^from .*"kiro-gateway login" in .*sign-in\.json$/m)
    t.match(stdout, /^token .*valid until 2.*Z, in \d+ minutes; the gateway renews it$/m)
    t.match(stdout, /^region {10}eu-central-1 \(sign-in: eu-west-1\)$/m)
    t.match(stdout, 'profile         arn:aws:codewhisperer:eu-central-1:…:profile/MINE\n')
    t.notMatch(stdout, 'secret')
    const json = (await run(['whoami', '--json'])).stdout
    t.match(JSON.parse(json), {
      signIn: {
        kind: 'idc',
        renewalProblem: null,
        ssoRegion: 'eu-west-1',
        apiRegion: 'eu-central-1',
        profileArn: ARN,
        isUsable: true
      },
      passedOver: []
    })
    t.notMatch(json, 'secret')
  })

  await t.test('name the setting that wins', async (t) => {
    const key = 'ksk_secret'
    const { code, stdout } = await run(['whoami'], { KIRO_API_KEY: key })
    t.equal(code, 0)
    t.match(stdout, /^signed in with {2}a Kiro API key\nfrom {12}KIRO_API_KEY\n/)
    t.match(stdout, /^token {11}does not expire$/m)
    t.notMatch(stdout, key)
  })

  await t.test('take it back, once, and what it was renewed to', async (t) => {
    const { log } = recordedLog()
    const { id } = awaitedSignIn(env.STATE_DIR, { region: 'us-east-1', log })
    const overlay = new OverlayStore(env.STATE_DIR, id, log)
    const { accessToken, refreshToken } = TOKENS
    const issued = { derivedFrom: 'x', replaces: 'y', expiresAt: Date.now(), profileArn: null }
    await overlay.save({ accessToken, refreshToken, ...issued })
    const first = JSON.parse((await run(['logout', '--json'])).stdout) as unknown
    t.match(first, { event: 'signed-out', wasSignedIn: true })
    t.notOk(existsSync(overlay.path))
    const second = JSON.parse((await run(['logout', '--json'])).stdout) as unknown
    t.match(second, { event: 'signed-out', wasSignedIn: false })
    t.equal((await run(['whoami'])).code, 1)
  })

  await t.test('say what cannot be used, and why', async (t) => {
    mkdirSync(env.STATE_DIR, { recursive: true })
    writeFileSync(join(env.STATE_DIR, 'sign-in.json'), '{"accessToken": "secret-')
    const { code, stdout, stderr } = await run(['whoami'])
    t.equal(code, 1)
    t.match(stdout, /^Not signed in/)
    t.match(stderr, /^Not used: .*sign-in\.json: .*is not a JSON object/)
    t.notMatch(stderr, 'secret-')
  })
})
