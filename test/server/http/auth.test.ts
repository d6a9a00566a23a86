import assert from 'node:assert/strict'
import t from 'tap'
import { fastestMs } from '../../helper/cost.ts'
import { AccessCheck } from '../../../src/devices/access-check.ts'
import {
  makeAccessToken,
  makeDeviceId,
  makeDeviceSecret
} from '../../../src/devices/device-secrets.ts'
import { hashOfKey, namedKey } from '../../helper/named-key.ts'
import { Authenticator } from '../../../src/server/http/auth.ts'

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

t.test('Authenticator', (t) => {
  const two = new Authenticator(['first-key', 'second key'])

  t.test('lets everybody in when no key is configured', async (t) => {
    t.same(new Authenticator([]).check({}).name, 'anyone')
    t.same(new Authenticator([]).check(bearer('x')).name, 'anyone')
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
        () => open.check({ origin, host }).name,
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
      t.same(open.check({ origin, host: 'localhost:8000' }).name, 'anyone', origin)
    const withKey = { ...bearer('first-key'), origin: 'https://good.example', host }
    t.match(two.check(withKey).name, /./, 'with a key any page may')
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
        () => open.check({ host }).name,
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
      t.same(open.check({ host }).name, 'anyone', host)
    t.same(open.check({}).name, 'anyone', 'a program that speaks HTTP/1.0')
    const named = new Authenticator([], 'Box.internal')
    t.same(named.check({ host: 'box.internal:8000' }).name, 'anyone')
    t.match(two.check({ ...bearer('first-key'), host: 'any.example' }).name, /./)
  })

  t.test('takes a key from either header, whatever the case of the scheme', async (t) => {
    const keyName = two.check({ 'x-api-key': 'first-key' }).name
    for (const authorization of [
      'Bearer first-key',
      'bearer first-key',
      'BEARER   first-key',
      ' Bearer\tfirst-key '
    ]) {
      t.equal(two.check({ authorization }).name, keyName, authorization)
    }
  })

  t.test('takes one good key of two, as clients send both', async (t) => {
    const keyName = two.check(bearer('first-key')).name
    t.equal(two.check({ ...bearer('bad'), 'x-api-key': 'first-key' }).name, keyName)
    t.equal(two.check({ ...bearer('first-key'), 'x-api-key': 'bad' }).name, keyName)
    t.equal(two.check({ ...bearer('first-key'), 'x-api-key': '' }).name, keyName)
  })

  t.test(
    'names keys, differently and without telling them, the same in every worker',
    async (t) => {
      const first = two.check({ 'x-api-key': 'first-key' }).name
      const second = two.check({ 'x-api-key': 'second key' }).name
      t.match(first, /^[0-9a-f]{32}$/)
      t.not(first, second)
      t.equal(
        new Authenticator(['other', 'first-key']).check({ 'x-api-key': 'first-key' }).name,
        first
      )
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
        () => two.check(headers).name,
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
      t.throws(
        () => two.check({ 'x-api-key': key }).name,
        { code: 'GW_KEY_INVALID', status: 401 },
        key
      )
    }
    t.throws(() => two.check(bearer('first-key,')).name, { code: 'GW_KEY_INVALID' })
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
    t.ok(own.check(bearer('ksk_configured')).name)
  })
  t.test('lets nobody in without a key, and says which keys there are', async (t) => {
    const host = 'localhost:8000'
    t.throws(() => none.check({ host }).name, { code: 'GW_KEY_MISSING', message: /ksk_/ })
    for (const key of ['wrong', 'ksk_', 'KSK_x']) {
      t.equal(none.kiroKeyOf(bearer(key)), null)
      t.throws(() => none.check(bearer(key)).name, { code: 'GW_KEY_INVALID', message: /ksk_/ })
    }
  })
  t.test('is off by default', async (t) => {
    t.equal(new Authenticator(['a']).kiroKeyOf(bearer('ksk_secret')), null)
    t.throws(() => new Authenticator(['a']).check(bearer('ksk_secret')).name, {
      code: 'GW_KEY_INVALID'
    })
  })
  t.end()
})

t.test('Authenticator with access tokens of devices', async (t) => {
  const now = Date.parse('2026-09-10T12:00:00Z')
  const secret = makeDeviceSecret()
  const keys = [
    namedKey(),
    namedKey({ id: 'k_2', name: 'ben', hashes: [hashOfKey('b')], revokedAt: 1 })
  ]
  const tokenOf = (key: string, device = makeDeviceId(), expiresAt = now + 1_000) =>
    makeAccessToken(secret, { key, device, expiresAt })
  const gone = makeDeviceId()
  const devices = new AccessCheck({ secret, ended: [gone], refusedUntil: 0 }, () => now)
  const options = {
    isKeyPassthrough: true,
    knownKeys: { isKeyRequired: true, keys },
    devices,
    now: () => now
  }
  const gateway = new Authenticator(['operators'], 'localhost', options)
  const good = tokenOf('k_1')
  t.same(gateway.check(bearer(good)), { name: 'k_1', named: keys[0] })
  t.equal(gateway.check({ 'x-api-key': good, ...bearer('wrong') }).name, 'k_1')
  t.equal(gateway.check({ 'x-api-key': tokenOf('k_2'), ...bearer('operators') }).named, null)
  t.throws(() => gateway.checkOperator(bearer(good)), { code: 'GW_OPERATOR_ONLY' })
  for (const [token, code] of [
    [tokenOf('k_2'), 'GW_KEY_REVOKED'],
    [tokenOf('k_3'), 'GW_TOKEN_ENDED'],
    [tokenOf('anyone'), 'GW_TOKEN_ENDED'],
    [tokenOf('k_1', gone), 'GW_TOKEN_ENDED'],
    [tokenOf('k_1', makeDeviceId(), now), 'GW_TOKEN_EXPIRED'],
    [good.slice(0, -1), 'GW_KEY_INVALID']
  ] as const)
    t.throws(() => gateway.check(bearer(token)), { code, status: 401 })
  t.equal(
    gateway.kiroKeyOf({ 'x-api-key': 'ksk_own', ...bearer(good) }),
    null,
    'it is a key of the gateway'
  )
  t.equal(gateway.sessionKeyOf(good), null, 'nobody signs in to the panel with it')
  const off = new Authenticator(['operators'], 'localhost', { ...options, devices: null })
  t.throws(() => off.check(bearer(good)), { code: 'GW_KEY_INVALID' }, 'DEVICE_SIGN_IN=off')
})

t.test('Authenticator with named keys', (t) => {
  const now = Date.parse('2026-09-10T12:00:00Z')
  const anna = namedKey({
    hashes: [hashOfKey('annas'), hashOfKey('annas-old', now + 1), hashOfKey('annas-older', now)]
  })
  const keys = [
    anna,
    namedKey({ id: 'k_2', name: 'ben', hashes: [hashOfKey('bens')], expiresAt: now }),
    namedKey({ id: 'k_3', name: 'cleo', hashes: [hashOfKey('cleos')], revokedAt: now - 86_400_000 })
  ]
  const options = {
    isKeyPassthrough: false,
    knownKeys: { isKeyRequired: true, keys },
    now: () => now
  }
  const gateway = new Authenticator(['operators'], 'localhost', options)

  t.test('knows whose key it is, also in grace', async (t) => {
    t.same(gateway.check(bearer('annas')), { name: 'k_1', named: anna })
    t.same(gateway.check({ 'x-api-key': 'annas-old' }), { name: 'k_1', named: anna })
    t.match(gateway.check(bearer('operators')), { name: /^[0-9a-f]{32}$/, named: null })
  })

  t.test('says why a key is not good any more, and to strangers nothing', async (t) => {
    for (const [key, code, message] of [
      ['annas-older', 'GW_KEY_EXPIRED', /"anna" was replaced by a newer one on 2026-09-10/],
      ['bens', 'GW_KEY_EXPIRED', /"ben" has expired on 2026-09-10/],
      ['cleos', 'GW_KEY_REVOKED', /"cleo" was revoked on 2026-09-09/],
      ['k_1', 'GW_KEY_INVALID', /^Ask the gateway's operator for a key/],
      [anna.hashes[0]?.sha256 ?? '', 'GW_KEY_INVALID', /^Ask the gateway's operator for a key/]
    ] as const) {
      t.throws(() => gateway.check(bearer(key)), { code, message, status: 401 })
    }
    t.throws(() => gateway.check({}), {
      code: 'GW_KEY_MISSING',
      message: /^Ask the gateway's operator/
    })
  })

  t.test('takes the good one of two', async (t) => {
    for (const bad of ['bens', 'cleos', 'wrong']) {
      t.equal(gateway.check({ 'x-api-key': bad, ...bearer('annas') }).name, 'k_1')
      t.equal(gateway.check({ 'x-api-key': 'annas', ...bearer(bad) }).name, 'k_1')
    }
    t.throws(() => gateway.check({ 'x-api-key': 'bens', ...bearer('wrong') }), {
      code: 'GW_KEY_EXPIRED'
    })
  })

  t.test('lets nobody in without a key once there was one', async (t) => {
    for (const left of [[anna], []]) {
      const book = { isKeyRequired: true, keys: left }
      const alone = new Authenticator([], 'localhost', { isKeyPassthrough: false, knownKeys: book })
      t.throws(() => alone.check({ host: 'localhost' }), { code: 'GW_KEY_MISSING' })
      t.throws(() => alone.check(bearer('x')), { code: 'GW_KEY_INVALID' })
    }
  })

  t.test('is not taken for a Kiro key', async (t) => {
    const book = { isKeyRequired: true, keys: [namedKey({ hashes: [hashOfKey('ksk_named')] })] }
    const both = new Authenticator([], 'localhost', { isKeyPassthrough: true, knownKeys: book })
    t.equal(both.kiroKeyOf(bearer('ksk_named')), null)
    t.match(both.kiroKeyOf(bearer('ksk_other')), { key: 'ksk_other' })
  })
  t.end()
})

t.test('a wrong key costs as much with a thousand keys as with one', async (t) => {
  const many = gatewayOf(1_000)
  t.equal(many.check(bearer('key-999-7')).name, 'k_999')
  t.equal(many.check(bearer('operators')).named, null)
  const [withOne, withThousand] = [costOf(gatewayOf(1)), costOf(many)]
  const told = `${(withOne * 10).toFixed(2)} µs with one key, ${(withThousand * 10).toFixed(2)} µs with 1,000`
  t.comment(told)
  t.ok(withThousand < withOne * 4, told)
})

t.test('checkMetrics()', (t) => {
  const metricsKey = 'for-the-metrics-alone'
  t.test(
    'lets in whoever has the key of the metrics or an operator’s, and nobody else',
    async (t) => {
      const auth = new Authenticator(['operators-key'], 'localhost', {
        isKeyPassthrough: false,
        metricsKey
      })
      t.equal(auth.checkMetrics(bearer(metricsKey)).named, null)
      t.equal(auth.checkMetrics({ 'x-api-key': metricsKey }).named, null)
      t.equal(auth.checkMetrics(bearer('operators-key')).named, null)
      t.throws(() => auth.checkMetrics(bearer('other')), { code: 'GW_KEY_INVALID' })
      t.throws(() => auth.checkMetrics({}), { code: 'GW_KEY_MISSING' })
      t.throws(() => auth.check(bearer(metricsKey)), { code: 'GW_KEY_INVALID' }, 'it opens no more')
    }
  )

  t.test('wants the key where nothing else does', async (t) => {
    const auth = new Authenticator([], 'localhost', { isKeyPassthrough: false, metricsKey })
    t.equal(auth.check({}).name, 'anyone')
    t.ok(auth.checkMetrics(bearer(metricsKey)))
    t.throws(() => auth.checkMetrics({}), { code: 'GW_KEY_MISSING' })
    t.throws(() => auth.checkMetrics(bearer('other')), { code: 'GW_KEY_INVALID' })
  })

  t.test('names the keys that open the metrics, not those that open the rest', async (t) => {
    const both = /METRICS_KEY.*PROXY_API_KEY/
    const other = { 'x-api-key': 'other' }
    for (const isKeyPassthrough of [false, true]) {
      const options = { isKeyPassthrough, metricsKey }
      const auth = new Authenticator(['operators-key'], 'localhost', options)
      t.throws(() => auth.checkMetrics({}), { code: 'GW_KEY_MISSING', message: both })
      t.throws(() => auth.checkMetrics(other), { code: 'GW_KEY_INVALID', message: both })
      const alone = new Authenticator([], 'localhost', options)
      for (const headers of [{}, other]) {
        t.throws(() => alone.checkMetrics(headers), { message: /METRICS_KEY/ })
        t.throws(() => alone.checkMetrics(headers), { message: /^((?!PROXY_API_KEY|ksk_).)*$/ })
      }
    }
    const auth = new Authenticator(['operators-key'], 'localhost', { isKeyPassthrough: true })
    t.throws(() => auth.checkMetrics(other), { message: /^((?!ksk_).)*PROXY_API_KEY/ })
    t.throws(
      () => auth.checkOperator(other),
      { message: /^((?!ksk_).)*PROXY_API_KEY/ },
      'so with the dashboard'
    )
  })

  t.test('is what check() is where there is no such key', async (t) => {
    t.equal(new Authenticator([]).checkMetrics({}).name, 'anyone')
    t.throws(() => new Authenticator(['one']).checkMetrics({}), { code: 'GW_KEY_MISSING' })
  })
  t.end()
})

function keyWithHashes(key: number) {
  const hashes = Array.from({ length: 8 }, (_, index) => hashOfKey(`key-${key}-${index}`))
  return namedKey({ id: `k_${key}`, hashes })
}

function gatewayOf(count: number): Authenticator {
  const keys = Array.from({ length: count }, (_, key) => keyWithHashes(key))
  const options = { isKeyPassthrough: true, knownKeys: { isKeyRequired: true, keys } }
  return new Authenticator(['operators'], 'localhost', options)
}

/** Of a hundred requests with wrong keys. */
function costOf(gateway: Authenticator): number {
  return fastestMs(() => {
    for (let count = 0; count < 100; count++) {
      const headers = bearer(`wrong-${count}`)
      gateway.kiroKeyOf(headers)
      assert.throws(() => gateway.check(headers), { code: 'GW_KEY_INVALID' })
    }
  })
}
