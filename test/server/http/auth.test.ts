import t from 'tap'
import { Authenticator } from '../../../src/server/http/auth.ts'

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

t.test('Authenticator', (t) => {
  const two = new Authenticator(['first-key', 'second key'])

  t.test('lets everybody in when no key is configured', async (t) => {
    t.same(new Authenticator([]).check({}), 'anyone')
    t.same(new Authenticator([]).check(bearer('x')), 'anyone')
  })

  t.test('lets no web page of another site spend the subscription without a key', async (t) => {
    const open = new Authenticator([])
    const host = 'rebound.example:8000'
    for (const origin of [
      'https://evil.example',
      'http://127.0.0.1.evil.example',
      'http://rebound.example:8000',
      'http://evillocalhost',
      'null'
    ])
      t.throws(
        () => open.check({ origin, host }),
        { code: 'GW_KEY_MISSING', message: /PROXY_API_KEY/ },
        origin
      )
    for (const origin of [
      'http://localhost:3000',
      'http://tauri.localhost',
      'http://127.0.0.1:5173',
      'http://[::1]:80',
      'app://obsidian.md',
      'vscode-webview://x'
    ])
      t.same(open.check({ origin, host: 'localhost:8000' }), 'anyone', origin)
    const withKey = { ...bearer('first-key'), origin: 'https://good.example', host }
    t.match(two.check(withKey), /./, 'with a key any page may')
  })

  t.test('lets no page read anything by a name that was pointed to this machine', async (t) => {
    const open = new Authenticator([])
    for (const host of [
      'rebound.example:8000',
      'rebound.example',
      '127.0.0.1.rebound.example',
      'localhost.rebound.example:8000',
      'notlocalhost:8000',
      '10.0.0.7:8000',
      '0.0.0.0:8000',
      '[::2]:8000',
      '127.0.0.1@rebound.example',
      'a b',
      ''
    ])
      t.throws(
        () => open.check({ host }),
        { code: 'GW_KEY_MISSING', message: /localhost.*PROXY_API_KEY/ },
        host
      )
    for (const host of [
      'localhost:8000',
      'LOCALHOST',
      'localhost.:8000',
      'kiro.localhost:8000',
      '127.0.0.1:8000',
      '127.1.2.3',
      '[::1]:8000',
      '[0:0:0:0:0:0:0:1]'
    ])
      t.same(open.check({ host }), 'anyone', host)
    t.same(open.check({}), 'anyone', 'a program that speaks HTTP/1.0')
    const named = new Authenticator([], 'Box.internal')
    t.same(named.check({ host: 'box.internal:8000' }), 'anyone')
    t.match(two.check({ ...bearer('first-key'), host: 'any.example' }), /./)
  })

  t.test('takes a key from either header, whatever the case of the scheme', async (t) => {
    const keyName = two.check({ 'x-api-key': 'first-key' })
    for (const authorization of [
      'Bearer first-key',
      'bearer first-key',
      'BEARER   first-key',
      ' Bearer\tfirst-key '
    ]) {
      t.equal(two.check({ authorization }), keyName, authorization)
    }
  })

  t.test('takes one good key of two, as clients send both', async (t) => {
    const keyName = two.check(bearer('first-key'))
    t.equal(two.check({ ...bearer('bad'), 'x-api-key': 'first-key' }), keyName)
    t.equal(two.check({ ...bearer('first-key'), 'x-api-key': 'bad' }), keyName)
    t.equal(two.check({ ...bearer('first-key'), 'x-api-key': '' }), keyName)
  })

  t.test(
    'names keys, differently and without telling them, the same in every worker',
    async (t) => {
      const first = two.check({ 'x-api-key': 'first-key' })
      const second = two.check({ 'x-api-key': 'second key' })
      t.match(first, /^[0-9a-f]{32}$/)
      t.not(first, second)
      t.equal(new Authenticator(['other', 'first-key']).check({ 'x-api-key': 'first-key' }), first)
    }
  )

  t.test('tells a missing key from a wrong one', async (t) => {
    for (const headers of [
      {},
      { 'x-api-key': '' },
      { authorization: '' },
      { authorization: 'Bearer' },
      { authorization: 'Basic Zmlyc3Q=' }
    ]) {
      t.throws(
        () => two.check(headers),
        { code: 'GW_KEY_MISSING', status: 401 },
        JSON.stringify(headers)
      )
    }
    for (const key of [
      'bad',
      'first-ke',
      'first-key2',
      'FIRST-KEY',
      'first-key,second key',
      'undefined'
    ]) {
      t.throws(() => two.check({ 'x-api-key': key }), { code: 'GW_KEY_INVALID', status: 401 }, key)
    }
    t.throws(() => two.check(bearer('first-key,')), { code: 'GW_KEY_INVALID' })
  })

  t.test('says nothing of the key that was sent', async (t) => {
    try {
      two.check({ 'x-api-key': 'my-secret' })
      t.fail('it was let in')
    } catch (error) {
      t.notMatch(JSON.stringify([String(error), error]), /my-secret|first-key/)
    }
  })
  t.end()
})

t.test('Authenticator with KIRO_KEY_PASSTHROUGH', (t) => {
  const passed = { isKeyPassthrough: true }
  const own = new Authenticator(['gateway-key', 'ksk_configured'], 'localhost', passed)
  const none = new Authenticator([], 'localhost', passed)

  t.test('takes a Kiro key of the client, under a name that gives nothing away', async (t) => {
    for (const headers of [bearer('ksk_secret'), { 'x-api-key': 'ksk_secret' }]) {
      const passedKey = none.kiroKeyOf(headers)
      t.equal(passedKey?.key, 'ksk_secret')
      t.match(passedKey?.name, /^kiro-[0-9a-f]{32}$/)
      t.same(own.kiroKeyOf(headers), passedKey)
    }
    const both = { ...bearer('placeholder'), 'x-api-key': 'ksk_secret' }
    t.equal(none.kiroKeyOf(both)?.key, 'ksk_secret')
  })
  t.test('takes keys of its own for what they are', async (t) => {
    t.equal(own.kiroKeyOf(bearer('gateway-key')), null)
    t.equal(own.kiroKeyOf(bearer('ksk_configured')), null)
    t.equal(own.kiroKeyOf({ ...bearer('gateway-key'), 'x-api-key': 'ksk_secret' }), null)
    t.ok(own.check(bearer('ksk_configured')))
  })
  t.test('lets nobody in without a key, and says which keys there are', async (t) => {
    const host = 'localhost:8000'
    t.throws(() => none.check({ host }), { code: 'GW_KEY_MISSING', message: /ksk_/ })
    for (const key of ['wrong', 'ksk_', 'KSK_x']) {
      t.equal(none.kiroKeyOf(bearer(key)), null)
      t.throws(() => none.check(bearer(key)), { code: 'GW_KEY_INVALID', message: /ksk_/ })
    }
  })
  t.test('is off by default', async (t) => {
    t.equal(new Authenticator(['a']).kiroKeyOf(bearer('ksk_secret')), null)
    t.throws(() => new Authenticator(['a']).check(bearer('ksk_secret')), { code: 'GW_KEY_INVALID' })
  })
  t.end()
})
