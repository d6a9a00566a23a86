import { chmodSync, closeSync, ftruncateSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { cliDatabaseSource } from '../../src/credentials/cli-database.ts'
import {
  type CliRows,
  makeCliDatabase,
  readCliToken,
  writeCliToken
} from '../helper/cli-database.ts'
import { recordedLog } from '../helper/recorded-log.ts'

const ARN = 'arn:aws:codewhisperer:eu-central-1:123456789012:profile/ABC'
const social = {
  access_token: 'a1',
  refresh_token: 'r1',
  expires_at: '2026-09-01T00:59:00.123456789Z',
  region: 'us-east-1',
  profile_arn: ARN,
  scopes: ['codewhisperer:completions']
}
const oidc = {
  access_token: 'a1',
  refresh_token: 'r1',
  expires_at: '2026-09-01T00:59:00.123456789Z',
  region: 'eu-west-1',
  start_url: 'https://corp.awsapps.com/start',
  oauth_flow: 'DeviceCode',
  scopes: ['codewhisperer:completions']
}
const registration = {
  client_id: 'ci',
  client_secret: 'cs',
  client_secret_expires_at: '2026-12-01T00:00:00.000000000Z',
  region: 'eu-west-1'
}
const SOCIAL = 'kirocli:social:token'
const OIDC = 'kirocli:odic:token'
const REGISTRATION = 'kirocli:odic:device-registration'

function rig(t: Test, rows: CliRows, isReadonly = false) {
  const path = join(t.testdir(), 'data.sqlite3')
  makeCliDatabase(path, rows)
  const recorded = recordedLog()
  const source = cliDatabaseSource({
    path,
    ssoRegion: 'us-west-2',
    isReadonly,
    log: recorded.log
  })
  return { path, source, ...recorded }
}

t.test('cliDatabaseSource().read()', (t) => {
  t.test('reads a social sign-in', async (t) => {
    const { source, lines } = rig(t, { auth: { [SOCIAL]: social } })
    t.match(await source.read(), {
      authType: 'social',
      accessToken: 'a1',
      refreshToken: 'r1',
      expiresAt: Date.parse('2026-09-01T00:59:00.123Z'),
      profileArn: ARN,
      ssoRegion: 'us-east-1',
      renewalProblem: null
    })
    t.same(lines, [])
  })
  t.test('joins an OIDC token with registration and profile', async (t) => {
    const state = { 'api.codewhisperer.profile': { arn: ARN, profile_name: 'p' } }
    const { source } = rig(t, { auth: { [OIDC]: oidc, [REGISTRATION]: registration }, state })
    t.match(await source.read(), {
      authType: 'idc',
      ssoRegion: 'eu-west-1',
      profileArn: ARN,
      client: {
        clientId: 'ci',
        clientSecret: 'cs',
        expiresAt: Date.parse('2026-12-01T00:00:00Z')
      }
    })
  })
  t.test('knows Builder ID by its start URL, or by having none', async (t) => {
    const { start_url: _, ...without } = oidc
    for (const token of [without, { ...oidc, start_url: 'https://view.awsapps.com/start' }]) {
      const { source } = rig(t, { auth: { [OIDC]: token, [REGISTRATION]: registration } })
      t.match(await source.read(), { authType: 'builder-id', profileArn: null })
    }
  })
  t.test('reads an external provider’s', async (t) => {
    const token = {
      access_token: 'a1',
      refresh_token: 'r1',
      expires_at: '2026-09-01T00:59:00Z',
      issuer_url: 'https://login.microsoftonline.com/t/v2.0',
      token_endpoint: 'https://login.microsoftonline.com/t/oauth2/v2.0/token',
      client_id: 'ci'
    }
    const { source } = rig(t, { auth: { 'kirocli:external-idp:token': token } })
    t.match(await source.read(), {
      authType: 'external-idp',
      idp: { tokenEndpoint: token.token_endpoint, clientId: 'ci', scopes: null },
      renewalProblem: null
    })
    const { refresh_token: _, ...without } = token
    const { source: other } = rig(t, { auth: { 'kirocli:external-idp:token': without } })
    t.match((await other.read()).renewalProblem, 'offline_access')
  })
  t.test(
    'knows an organisation by the region of its profile where there is no start URL',
    async (t) => {
      const { start_url: _, ...token } = oidc
      const auth = { [OIDC]: token, [REGISTRATION]: registration }
      const chosen = (region: string) => ({
        'api.codewhisperer.profile': { arn: ARN.replace('eu-central-1', region) }
      })
      const read = (rows: CliRows) => rig(t, rows).source.read()
      const profileArn = ARN
      const organisation = { authType: 'idc', profileArn }
      t.match(await read({ auth, state: chosen('eu-central-1') }), organisation, 'as it was chosen')
      const named = { ...auth, [OIDC]: { ...token, profile_arn: ARN } }
      t.match(await read({ auth: named }), organisation, 'as the token names it')
      const builderId = { authType: 'builder-id', profileArn: null }
      t.match(await read({ auth }), builderId)
      t.match(await read({ auth, state: chosen('us-east-1') }), builderId, 'where Builder IDs are')
      const damaged = { 'api.codewhisperer.profile': { arn: 'arn:aws:other:eu-central-1:1:x/y' } }
      t.match(await read({ auth, state: damaged }), builderId, 'no profile at all')
    }
  )
  t.test('takes the first token that is usable, and the registration of its product', async (t) => {
    const old = { ...oidc, access_token: 'old' }
    const both = {
      [OIDC]: oidc,
      'codewhisperer:odic:token': old,
      'codewhisperer:odic:device-registration': { ...registration, client_id: 'old-ci' },
      [REGISTRATION]: registration
    }
    t.match(await rig(t, { auth: both }).source.read(), {
      accessToken: 'a1',
      client: { clientId: 'ci' }
    })
    const { source, text } = rig(t, { auth: { ...both, [OIDC]: 'no JSON' } })
    t.match(await source.read(), { accessToken: 'old', client: { clientId: 'old-ci' } })
    t.match(text(), `${OIDC} is not a JSON object`)
    const wrapped = rig(t, { auth: { [SOCIAL]: JSON.stringify(JSON.stringify(social)) } })
    t.match(await wrapped.source.read(), { accessToken: 'a1' })
  })
  t.test('lives without the table of other things, or with another one', async (t) => {
    const { source, path } = rig(t, { auth: { [SOCIAL]: social }, state: null })
    t.match(await source.read(), { accessToken: 'a1' })
    new DatabaseSync(path).exec('CREATE TABLE state (name TEXT, data TEXT)')
    t.match(await source.read(), { accessToken: 'a1' })
  })
  t.test('says what is wrong, and never what is in it', async (t) => {
    const dir = t.testdir({ text: 'secret'.repeat(1000), folder: {} })
    const other = join(dir, 'other')
    new DatabaseSync(other).exec('CREATE TABLE things (a)')
    const columns = join(dir, 'columns')
    new DatabaseSync(columns).exec('CREATE TABLE auth_kv (name TEXT, data TEXT)')
    const corrupt = join(dir, 'corrupt')
    makeCliDatabase(corrupt, { auth: { [SOCIAL]: social } })
    const bytes = readFileSync(corrupt)
    writeFileSync(corrupt, bytes.fill(0xff, 100, 200))
    const { log } = recordedLog()
    for (const [path, problem] of [
      [join(dir, 'missing'), /does not exist\./],
      [join(dir, 'text'), /is damaged, or not an SQLite database\./],
      [corrupt, /is damaged, or not an SQLite database\./],
      [join(dir, 'folder'), /is not a plain file\./],
      [other, /has an unknown schema: the table "auth_kv" with "key" and "value" is missing\./],
      [columns, /has an unknown schema/]
    ] as const) {
      const source = cliDatabaseSource({ path, ssoRegion: 'us-east-1', isReadonly: false, log })
      const error = await t.rejects(source.read(), { code: 'GW_CONFIG_INVALID', message: problem })
      t.match(String(error), `KIRO_CLI_DB_FILE ${path}`)
      t.notMatch(String(error), 'secret')
    }
    const empty = rig(t, { auth: {} })
    await t.rejects(empty.source.read(), { message: /holds no sign-in\./ })
    const damaged = rig(t, { auth: { [SOCIAL]: { access_token: 'secret\n' } } })
    const error = await t.rejects(damaged.source.read(), { message: /damaged "accessToken"/ })
    t.notMatch(String(error), 'secret')
  })
  t.test('waits for a database that is locked, without holding up the process', async (t) => {
    const { source, path } = rig(t, { auth: { [SOCIAL]: social } })
    using database = new DatabaseSync(path)
    database.exec('BEGIN EXCLUSIVE')
    let turns = 0
    const ticking = setInterval(() => {
      turns += 1
      if (turns === 5) database.exec('COMMIT') // which only a process that goes on comes to
    }, 5)
    t.match(await source.read(), { accessToken: 'a1' })
    clearInterval(ticking)
    t.ok(turns >= 5, `${turns} turns`)
  })
  t.test('does not read a value that is no sign-in for its size', async (t) => {
    const { source, path, text } = rig(t, { auth: { [SOCIAL]: {}, [OIDC]: oidc } })
    const vast = 200 * 2 ** 20
    {
      using database = new DatabaseSync(path)
      database.exec(`UPDATE auth_kv SET value = zeroblob(${vast}) WHERE key = '${SOCIAL}'`)
      database.exec(`INSERT INTO state VALUES ('api.codewhisperer.profile', zeroblob(${vast}))`)
    }
    const before = process.memoryUsage.rss()
    t.match(await source.read(), { accessToken: 'a1', authType: 'idc' })
    t.ok(process.memoryUsage.rss() - before < 64 * 2 ** 20)
    t.match(text(), `${SOCIAL} is not a JSON object`)
  })
  t.test('reads one row of a large one', async (t) => {
    const { source, path } = rig(t, { auth: { [SOCIAL]: social } })
    const file = openSync(path, 'r+')
    ftruncateSync(file, 400 * 2 ** 20) // a hole: SQLite reads the pages that it needs
    closeSync(file)
    const startedAt = performance.now()
    const before = process.memoryUsage.rss()
    t.match(await source.read(), { accessToken: 'a1' })
    t.ok(performance.now() - startedAt < 2000)
    t.ok(process.memoryUsage.rss() - before < 64 * 2 ** 20)
  })
  t.end()
})

t.test('cliDatabaseSource().writeBack()', (t) => {
  const later = Date.parse('2026-09-01T01:59:00Z')

  t.test('changes the tokens under their key, and keeps the rest', async (t) => {
    for (const isWal of [false, true]) {
      const auth = { [OIDC]: { ...oidc, note: [1] }, [REGISTRATION]: registration }
      const { source, path } = rig(t, { auth, isWal })
      const stored = await source.read()
      const renewed = { ...stored, accessToken: 'a2', refreshToken: 'r2', expiresAt: later }
      t.equal(await source.writeBack(renewed, 'r1'), null)
      t.same(readCliToken(path, OIDC), {
        ...oidc,
        note: [1],
        access_token: 'a2',
        refresh_token: 'r2',
        expires_at: '2026-09-01T01:59:00.000Z'
      })
      t.same(readCliToken(path, REGISTRATION), registration)
      t.match(await source.read(), { accessToken: 'a2', refreshToken: 'r2', expiresAt: later })
    }
  })
  t.test('writes while the CLI has the database open in WAL mode', async (t) => {
    const { source, path } = rig(t, { auth: { [SOCIAL]: social }, isWal: true })
    using cli = new DatabaseSync(path)
    t.equal(cli.prepare('SELECT count(*) AS n FROM auth_kv').get()?.['n'], 1)
    cli.exec('BEGIN IMMEDIATE')
    setTimeout(() => cli.exec('COMMIT'), 150)
    const stored = await source.read()
    t.equal(
      await source.writeBack({ ...stored, accessToken: 'a2', refreshToken: 'r2' }, 'r1'),
      null
    )
    writeCliToken(path, SOCIAL, { access_token: 'a3', refresh_token: 'r3' })
    t.match(await source.read(), { accessToken: 'a3', refreshToken: 'r3', profileArn: ARN })
  })
  t.test('leaves alone what somebody else has changed, or must not be written', async (t) => {
    const { source, path } = rig(t, { auth: { [SOCIAL]: social } })
    const stored = await source.read()
    writeCliToken(path, SOCIAL, { refresh_token: 'other' })
    t.equal(await source.writeBack(stored, 'r1'), 'another program changed it')
    t.match(readCliToken(path, SOCIAL), { refresh_token: 'other' })
    const readonly = rig(t, { auth: { [SOCIAL]: social } }, true)
    t.equal(await readonly.source.writeBack(stored, 'r1'), 'SQLITE_READONLY is set')
    t.match(readCliToken(readonly.path, SOCIAL), { refresh_token: 'r1' })
  })
  t.test('cannot write where it may not', async (t) => {
    const { source, path } = rig(t, { auth: { [SOCIAL]: social } })
    chmodSync(path, 0o400)
    t.equal(await source.writeBack(await source.read(), 'r1'), 'it is read-only')
  })
  t.end()
})
