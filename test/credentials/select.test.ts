import t from 'tap'
import { createCredentialSource } from '../../src/credentials/sources.ts'
import { recordedLog } from '../helper/recorded-log.ts'
import { credentialSettings } from '../helper/stored-credential.ts'

const nothing = credentialSettings({ region: 'eu-west-1' })

t.test('createCredentialSource()', (t) => {
  const { log } = recordedLog()
  const files = { credsFile: '/x/token.json', cliDbFile: '/x/data.sqlite3' }
  const all = { ...nothing, ...files, apiKey: 'ksk_1', refreshToken: 'r1' }

  t.test('prefers API key, then file, then database, then refresh token', (t) => {
    t.equal(createCredentialSource(all, log)?.name, 'KIRO_API_KEY')
    const file = { ...all, apiKey: null }
    t.equal(createCredentialSource(file, log)?.name, 'KIRO_CREDS_FILE /x/token.json')
    const database = { ...file, credsFile: null }
    t.equal(createCredentialSource(database, log)?.name, 'KIRO_CLI_DB_FILE /x/data.sqlite3')
    const token = { ...database, cliDbFile: null }
    t.equal(createCredentialSource(token, log)?.name, 'REFRESH_TOKEN')
    t.equal(createCredentialSource(nothing, log), null)
    t.end()
  })
  t.test('reads key and token as they are', async (t) => {
    t.match(await createCredentialSource(all, log)?.read(), {
      authType: 'api-key',
      accessToken: 'ksk_1',
      refreshToken: null
    })
    const source = createCredentialSource({ ...nothing, refreshToken: 'r1' }, log)
    t.match(await source?.read(), {
      authType: 'social',
      accessToken: null,
      refreshToken: 'r1',
      ssoRegion: 'eu-west-1'
    })
  })
  t.test('names each sign-in apart, and gives nothing away', (t) => {
    const ids = ['r1', 'r2'].map(
      (refreshToken) => createCredentialSource({ ...nothing, refreshToken }, log)?.id
    )
    t.not(ids[0], ids[1])
    t.match(ids[0], /^[0-9a-f]{32}$/)
    t.end()
  })
  t.test('notices a token that was cut short when it was copied', (t) => {
    for (const refreshToken of ['abc...', 'abc def']) {
      t.throws(() => createCredentialSource({ ...nothing, refreshToken }, log), {
        code: 'GW_CONFIG_INVALID',
        message: /incomplete/
      })
    }
    t.end()
  })
  t.end()
})
