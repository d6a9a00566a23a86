import t from 'tap'
import { toProxyUrl } from '../../src/config/setting-text.ts'

t.test('toProxyUrl()', (t) => {
  t.test('writes every address in one form', async (t) => {
    for (const [text, url] of [
      ['http://proxy.test:3128', 'http://proxy.test:3128'],
      ['http://proxy.test', 'http://proxy.test:80'],
      ['HTTPS://Proxy.Test/', 'https://proxy.test:443'],
      ['socks5://proxy.test', 'socks5://proxy.test:1080'],
      ['socks5h://proxy.test:80', 'socks5://proxy.test:80'],
      ['proxy.test:3128', 'http://proxy.test:3128'],
      ['me:secret@127.0.0.1:3128', 'http://me:secret@127.0.0.1:3128'],
      ['socks5://me:p%40ss@[::1]:9', 'socks5://me:p%40ss@[::1]:9'],
      ['http://me@proxy.test:1', 'http://me:@proxy.test:1'],
      ['http://me:p@ss@proxy.test:1', 'http://me:p%40ss@proxy.test:1'],
      [`socks5://${'u'.repeat(255)}:p@h:1`, `socks5://${'u'.repeat(255)}:p@h:1`],
      [`http://u:${'p'.repeat(256)}@h:1`, `http://u:${'p'.repeat(256)}@h:1`]
    ] as const) {
      t.equal(toProxyUrl(text), url, text)
      t.equal(toProxyUrl(url), url, 'which stays as it is')
    }
  })

  t.test('refuses everything else', async (t) => {
    for (const text of [
      '',
      'none',
      'true',
      'proxy.test',
      'http://',
      'http://:3128',
      'socks5://',
      'socks5://:1080',
      'ftp://proxy.test:21',
      'socks4://proxy.test:1080',
      'socks://proxy.test:1080',
      'file:///etc/passwd',
      'http:proxy.test:3128',
      'http://proxy.test:0',
      'http://proxy.test:65536',
      'http://proxy.test:3128/path',
      'http://proxy.test:3128?a=b',
      'http://proxy.test:3128#a',
      'http://me:pa/ss@proxy.test:3128',
      'http://me:pa#ss@proxy.test:3128',
      'http://me:%zz@proxy.test:3128',
      'http://me:%ff@proxy.test:3128',
      'http://m%3Ae:p@proxy.test:3128',
      'socks5://pröxy.test:1',
      'proxy.test:3128:me:secret',
      `socks5://${'u'.repeat(256)}:p@h:1`,
      `socks5://u:${'%C3%A4'.repeat(128)}@h:1`
    ]) {
      t.equal(toProxyUrl(text), undefined, text)
    }
  })
  t.end()
})
