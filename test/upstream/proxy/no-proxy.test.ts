import t from 'tap'
import { addressOf, parseNoProxy } from '../../../src/upstream/proxy/proxy.ts'

function isDirect(text: string, url: string): boolean {
  return parseNoProxy(text)(addressOf(new URL(url)))
}

t.test('parseNoProxy()', (t) => {
  for (const [text, direct, proxied] of [
    ['', [], ['https://a.test', 'http://127.0.0.1']],
    ['*', ['https://a.test', 'http://[::1]:1'], []],
    ['a.test', ['https://a.test', 'http://A.TEST:8080'], ['https://b.a.test', 'https://ba.test']],
    ['.a.test', ['https://b.a.test', 'https://c.b.a.test'], ['https://a.test', 'https://ba.test']],
    ['*.a.test', ['https://b.a.test'], ['https://a.test', 'https://ba.test']],
    ['A.Test.', ['https://a.test', 'https://a.test.'], ['https://a']],
    ['a.test:8443', ['https://a.test:8443'], ['https://a.test', 'https://a.test:8444']],
    ['a.test:443', ['https://a.test'], ['http://a.test']],
    ['.a.test:80', ['http://b.a.test'], ['https://b.a.test', 'http://a.test']],
    ['127.0.0.1', ['http://127.0.0.1:9', 'http://127.1'], ['http://127.0.0.2', 'http://localhost']],
    ['127.0.0.1:9', ['http://127.0.0.1:9'], ['http://127.0.0.1:8']],
    ['10.0.0.0/8', ['http://10.9.8.7'], ['http://11.0.0.0', 'http://10.test']],
    ['0.0.0.0/0', ['http://1.2.3.4'], ['http://a.test', 'http://[::1]']],
    ['::1', ['http://[::1]', 'http://[0:0::1]:8'], ['http://[::2]']],
    ['[::1]', ['http://[::1]'], ['http://[::2]']],
    ['[::1]:81', ['http://[::1]:81'], ['http://[::1]']],
    ['fd00:0::/8', ['http://[fd12::1]'], ['http://[fc00::1]', 'http://10.0.0.1']],
    ['x, a.test ,,\tb.test', ['https://a.test', 'https://b.test'], ['https://c.test']],
    // What other programs understand, or nobody does, matches nothing.
    [
      '10.0.0.0/33 10.0.0.0/x 10.0.0.0/8/8 [::1 a.test:x <local> .',
      [],
      ['http://10.0.0.0', 'http://a.test']
    ]
  ] as const) {
    t.test(`reads ${JSON.stringify(text)}`, async (t) => {
      for (const url of direct) t.equal(isDirect(text, url), true, url)
      for (const url of proxied) t.equal(isDirect(text, url), false, url)
    })
  }
  t.end()
})
