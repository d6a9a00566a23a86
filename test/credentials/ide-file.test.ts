import {
  chmodSync,
  chownSync,
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ideFileSource } from '../../src/credentials/ide-file.ts'
import { recordedLog } from '../helper/recorded-log.ts'

const HASH = '0123456789abcdef0123456789abcdef01234567'
const good = {
  accessToken: 'a1',
  refreshToken: 'r1',
  expiresAt: '2026-09-01T00:59:00.000Z',
  authMethod: 'IdC',
  provider: 'Enterprise',
  region: 'eu-west-1',
  clientIdHash: HASH
}
const companion = JSON.stringify({ clientId: 'ci', clientSecret: 'cs', expiresAt: 'later' })

/** A source over a folder with `token.json`; companions are also looked for in its `cache`. */
function createSource(dir: string, path = join(dir, 'token.json')) {
  const recorded = recordedLog()
  const source = ideFileSource({
    path,
    ssoRegion: 'us-east-1',
    log: recorded.log,
    cacheDir: join(dir, 'cache')
  })
  return { source, ...recorded }
}

t.test('ideFileSource().read()', (t) => {
  t.test('joins the token with the registration beside it', async (t) => {
    const dir = t.testdir({ 'token.json': JSON.stringify(good), [`${HASH}.json`]: companion })
    const { source, lines } = createSource(dir)
    t.match(await source.read(), {
      authType: 'idc',
      accessToken: 'a1',
      refreshToken: 'r1',
      ssoRegion: 'eu-west-1',
      client: { clientId: 'ci', clientSecret: 'cs' },
      renewalProblem: null
    })
    t.same(lines, [])
  })
  t.test('finds the registration in the folder of the IDE', async (t) => {
    const dir = t.testdir({
      'token.json': JSON.stringify(good),
      cache: { [`${HASH}.json`]: companion }
    })
    t.match(await createSource(dir).source.read(), { client: { clientId: 'ci' } })
  })
  t.test('takes an AWS SSO cache file with its registration inside', async (t) => {
    const file = { ...good, clientIdHash: undefined, clientId: 'ci', clientSecret: 'cs' }
    const dir = t.testdir({ 'token.json': JSON.stringify(file) })
    t.match(await createSource(dir).source.read(), { authType: 'idc', client: { clientId: 'ci' } })
  })
  t.test('lives without the registration until it is needed, and warns once', async (t) => {
    const dir = t.testdir({ 'token.json': JSON.stringify(good) })
    const { source, lines, text } = createSource(dir)
    const stored = await source.read()
    t.equal(stored.accessToken, 'a1')
    t.match(stored.renewalProblem, `${HASH}.json does not exist`)
    await source.read()
    t.equal(lines.length, 1)
    t.notMatch(text(), '"a1"')
    writeFileSync(join(dir, `${HASH}.json`), '{"clientId":"ci"}')
    t.match((await source.read()).renewalProblem, 'has no "clientId" and "clientSecret"')
  })
  t.test('does not follow a hash that is none', async (t) => {
    const file = { ...good, clientIdHash: '../../../etc/passwd' }
    const dir = t.testdir({ 'token.json': JSON.stringify(file) })
    const { renewalProblem } = await createSource(dir).source.read()
    t.match(renewalProblem, 'is not a hash')
    t.notMatch(renewalProblem, 'passwd')
  })
  t.test('explains a file it cannot use', async (t) => {
    const dir = t.testdir({ 'token.json': '{"foo":"secret"}' })
    const { source } = createSource(dir)
    const error = await t.rejects(source.read(), { code: 'GW_CONFIG_INVALID' })
    t.match(String(error), `${join(dir, 'token.json')} has neither "accessToken"`)
    t.match(String(error), 'Expected the token file of the Kiro IDE')
    t.notMatch(String(error), 'secret')
  })
  t.end()
})

t.test('ideFileSource().writeBack()', (t) => {
  const renewed = {
    authType: 'social',
    accessToken: 'a2',
    refreshToken: 'r2',
    expiresAt: Date.parse('2026-09-01T01:59:00Z'),
    profileArn: null,
    ssoRegion: 'us-east-1',
    apiRegion: null,
    client: null,
    renewalProblem: null
  } as const

  t.test('changes the tokens, keeps unknown members and the mode', async (t) => {
    const dir = t.testdir({ 'token.json': JSON.stringify({ ...good, startUrl: 'x', note: [1] }) })
    const path = join(dir, 'token.json')
    chmodSync(path, 0o640)
    t.equal(await createSource(dir).source.writeBack(renewed, 'r1'), null)
    t.same(JSON.parse(readFileSync(path, 'utf8')), {
      ...good,
      startUrl: 'x',
      note: [1],
      accessToken: 'a2',
      refreshToken: 'r2',
      expiresAt: '2026-09-01T01:59:00.000Z'
    })
    t.equal(statSync(path).mode & 0o777, 0o640)
    t.same(readdirSync(dir), ['token.json'])
  })
  t.test('writes through a link', async (t) => {
    const dir = t.testdir({ 'real.json': JSON.stringify(good) })
    const path = join(dir, 'token.json')
    symlinkSync(join(dir, 'real.json'), path)
    t.equal(await createSource(dir).source.writeBack(renewed, 'r1'), null)
    t.ok(lstatSync(path).isSymbolicLink())
    t.match(JSON.parse(readFileSync(join(dir, 'real.json'), 'utf8')), { refreshToken: 'r2' })
  })
  t.test('leaves a file alone that somebody else changed meanwhile', async (t) => {
    const dir = t.testdir({ 'token.json': JSON.stringify({ ...good, refreshToken: 'other' }) })
    t.equal(await createSource(dir).source.writeBack(renewed, 'r1'), 'another program changed it')
    t.match(readFileSync(join(dir, 'token.json'), 'utf8'), '"other"')
  })
  t.test('leaves a read-only file alone', async (t) => {
    const dir = t.testdir({ 'token.json': JSON.stringify(good) })
    chmodSync(join(dir, 'token.json'), 0o400)
    t.equal(await createSource(dir).source.writeBack(renewed, 'r1'), 'it is read-only')
  })
  t.test('leaves a file of another user alone', { skip: process.geteuid?.() !== 0 }, async (t) => {
    const dir = t.testdir({ 'token.json': JSON.stringify(good) })
    chownSync(join(dir, 'token.json'), 4242, 4242)
    t.equal(await createSource(dir).source.writeBack(renewed, 'r1'), 'it belongs to another user')
  })
  t.end()
})
