import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { saveSignIn } from '../../src/credentials/own-sign-in.ts'
import { findCredentialSource, searchUsualPlaces } from '../../src/credentials/usual-places.ts'
import { makeCliDatabase } from '../helper/cli-database.ts'
import { recordedLog } from '../helper/recorded-log.ts'
import { credentialSettings } from '../helper/stored-credential.ts'

const NOW = Date.parse('2026-09-01T00:00:00Z')
const token = { accessToken: 'a1', refreshToken: 'r1', expiresAt: '2026-08-01T00:00:00Z' }
const IDE = '.aws/sso/cache/kiro-auth-token.json'

function home(t: Test, platform: NodeJS.Platform = 'linux') {
  const dir = t.testdir()
  const recorded = recordedLog()
  const settings = credentialSettings({ creds: 'auto', stateDir: join(dir, 'state') })
  const put = (path: string, text: string): string => {
    const whole = join(dir, path)
    mkdirSync(dirname(whole), { recursive: true })
    writeFileSync(whole, text)
    return whole
  }
  const putDatabase = (path: string, rows: Record<string, unknown>): string => {
    const whole = put(path, '')
    makeCliDatabase(whole, { auth: rows })
    return whole
  }
  const options = { log: recorded.log, home: dir, platform, now: NOW }
  return {
    settings,
    put,
    putDatabase,
    find: (changes = {}) => findCredentialSource({ ...settings, ...changes }, options),
    search: () => searchUsualPlaces(settings, options),
    ...recorded
  }
}

const cliToken = { access_token: 'a1', refresh_token: 'r1', region: 'us-east-1' }

t.test('findCredentialSource()', (t) => {
  t.test('finds nothing in an empty home, and says nothing', async (t) => {
    const { find, lines } = home(t)
    t.equal(await find(), null)
    t.same(lines, [])
  })
  t.test(
    'takes the first of login, IDE, kiro-cli and Amazon Q, and names the others',
    async (t) => {
      const { find, put, putDatabase, settings, text } = home(t)
      putDatabase('.local/share/amazon-q/data.sqlite3', { 'kirocli:social:token': cliToken })
      t.match((await find())?.name, /amazon-q/)
      putDatabase('.local/share/kiro-cli/data.sqlite3', { 'kirocli:social:token': cliToken })
      t.match((await find())?.name, /kiro-cli/)
      const path = put(IDE, JSON.stringify(token))
      t.match((await find())?.name, path)
      await saveSignIn(settings.stateDir, {
        authMethod: 'social',
        provider: 'Google',
        accessToken: 'a1',
        refreshToken: 'r1',
        expiresInS: 60,
        region: 'us-east-1'
      })
      t.match((await find())?.name, /kiro-gateway login/)
      t.match(text(), /credentials found/)
      t.match(text(), /another one takes precedence/)
      t.notMatch(text(), /"a1"|"r1"/)
    }
  )
  t.test('passes over what is of no use, and says why', async (t) => {
    const { search, put, putDatabase } = home(t)
    put(IDE, JSON.stringify({ ...token, refreshToken: undefined }))
    putDatabase('.local/share/kiro-cli/data.sqlite3', {})
    putDatabase('.local/share/amazon-q/data.sqlite3', { 'kirocli:social:token': cliToken })
    const { source, places } = await search()
    t.match(source?.name, /amazon-q/)
    t.match(places, [
      { problem: /expired and cannot be renewed/ },
      { problem: /holds no sign-in/ },
      { problem: null }
    ])
  })
  t.test('warns where everything is of no use', async (t) => {
    const { find, put, text } = home(t)
    put(IDE, '{"half')
    t.equal(await find(), null)
    t.match(text(), /no usable credentials found/)
    t.match(text(), /is not a JSON object/)
  })
  t.test('looks where a Mac has them', async (t) => {
    const { find, putDatabase } = home(t, 'darwin')
    const path = 'Library/Application Support/kiro-cli/data.sqlite3'
    putDatabase(path, { 'kirocli:social:token': cliToken })
    t.match((await find())?.name, /Application Support/)
  })
  t.test('looks nowhere when a source is named, or it must not', async (t) => {
    const { find, put } = home(t)
    put(IDE, JSON.stringify(token))
    t.equal((await find({ apiKey: 'ksk_1' }))?.name, 'KIRO_API_KEY')
    t.equal(await find({ creds: 'none' }), null)
  })
  t.end()
})
