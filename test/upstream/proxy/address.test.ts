import t from 'tap'
import { addressOf, toAuthority } from '../../../src/upstream/proxy/proxy.ts'

t.test('addressOf() and toAuthority()', async (t) => {
  for (const [url, host, port, authority] of [
    ['https://a.test/path', 'a.test', 443, 'a.test:443'],
    ['http://a.test', 'a.test', 80, 'a.test:80'],
    ['https://a.test:8443', 'a.test', 8443, 'a.test:8443'],
    ['https://[::1]', '::1', 443, '[::1]:443'],
    ['http://127.1:80', '127.0.0.1', 80, '127.0.0.1:80']
  ] as const) {
    const address = addressOf(new URL(url))
    t.same(address, { host, port }, url)
    t.equal(toAuthority(address), authority)
  }
})
