import t from 'tap'
import { chooseProxy, proxyOf } from '../../../src/upstream/proxy/proxy.ts'

const nothing = { url: null, httpsUrl: null, exceptions: null }
const secure = new URL('https://a.test')
const plain = new URL('http://a.test')

t.test('chooseProxy()', (t) => {
  t.test('goes directly without settings', async (t) => {
    const choose = chooseProxy({ ...nothing, exceptions: '*' })
    t.same([choose(secure), choose(plain), proxyOf(nothing)], [null, null, null])
  })

  t.test('takes VPN_PROXY_URL for everything', async (t) => {
    const choose = chooseProxy({
      ...nothing,
      url: 'socks5://proxy.test:1080',
      httpsUrl: 'http://other.test:80'
    })
    t.match(choose(secure), { name: 'socks5://proxy.test:1080', setting: 'VPN_PROXY_URL' })
    t.equal(choose(secure), choose(plain))
  })

  t.test('takes HTTPS_PROXY for https:// only', async (t) => {
    const choose = chooseProxy({ ...nothing, httpsUrl: 'http://other.test:80' })
    t.match(choose(secure), { host: 'other.test', port: 80, setting: 'HTTPS_PROXY' })
    t.equal(choose(plain), null)
  })

  t.test('leaves out what NO_PROXY names', async (t) => {
    const url = 'http://proxy.test:80'
    const choose = chooseProxy({ url, httpsUrl: null, exceptions: 'a.test:80' })
    t.equal(choose(plain), null)
    t.match(choose(secure), { setting: 'VPN_PROXY_URL' })
  })
  t.end()
})

t.test('proxyOf()', (t) => {
  t.test('keeps credentials out of the name', async (t) => {
    const proxy = proxyOf({ ...nothing, url: 'https://me%40x:p%2Fw@[::1]:443' })
    t.same(proxy, {
      protocol: 'https:',
      host: '::1',
      port: 443,
      credentials: { username: 'me@x', password: 'p/w' },
      name: 'https://[::1]',
      setting: 'VPN_PROXY_URL'
    })
  })

  t.test('knows a user without a password and none at all', async (t) => {
    const user = proxyOf({ ...nothing, url: 'http://me:@a.test:80' })
    t.same(user?.credentials, { username: 'me', password: '' })
    t.equal(proxyOf({ ...nothing, url: 'http://a.test:80' })?.credentials, null)
  })

  t.test('takes only what was checked', async (t) => {
    t.throws(() => proxyOf({ ...nothing, url: 'ftp://a.test:21' }), /was not checked/)
  })
  t.end()
})
