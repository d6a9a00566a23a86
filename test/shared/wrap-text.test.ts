import t from 'tap'
import { wrapText } from '../../src/shared/wrap-text.ts'

/** Commands, JSON, and lines of files: a break would make something else of them. */
const COPIED = [
  '  sudo -u kiro-gateway env A=b kiro-gateway login',
  'git pull && docker build -f docker/Dockerfile .',
  '  npm install --global ./kiro-gateway.tgz',
  '  /usr/bin/node /srv/gateway/start.js',
  '{"what":"one two three"}',
  '  "what": "one two three"',
  '| `a-rule` | one two three | borderline |',
  '  ExecStart=/usr/bin/node "/srv/a b/start.js"',
  '# kiro-gateway service: {"folder":"/srv/a b"}',
  '    <string>/srv/a b c d e</string>'
]

t.test('wrapText() breaks between words, below the text of the line', async (t) => {
  for (const [text, wrapped] of [
    ['short', 'short'],
    ['one two three four five', 'one two three\nfour five'],
    ['  one two three four', '  one two\n  three four'],
    ['ok   one two three', 'ok   one two\n     three'],
    ['-a B  one two three', '-a B  one two\n      three'],
    ['one two three\nfour five six', 'one two three\nfour five six'],
    ['see https://example.com/a/long/way now', 'see\nhttps://example.com/a/long/way\nnow'],
    ['aaaaaaaaaaaaaaaaaaaa', 'aaaaaaaaaaaaaaaaaaaa'],
    ['  npx kiro-gateway setup claude', '  npx kiro-gateway setup claude'], // to be copied
    ['node src/start.js key: There is none.', 'node\nsrc/start.js\nkey: There is\nnone.'],
    ['kiro-gateway key: no such', 'kiro-gateway\nkey: no such'],
    ['name    used    left    seen', 'name    used    left    seen'], // a table
    ...COPIED.map((line) => [line, line] as const),
    ['a very long first column  b', 'a very long first column  b'],
    ['', '']
  ] as const)
    t.equal(wrapText(text, 14), wrapped, text)
})

t.test('wrapText() hangs usage behind its first word, and breaks no option', async (t) => {
  const usage = 'Usage: kiro-gateway a [--url URL] [--key KEY | --new NAME [LIMITS]] [--print]'
  for (const line of [usage, usage.replace('Usage:', '      ')])
    t.equal(
      wrapText(line, 40),
      `${line.slice(0, 7)}kiro-gateway a [--url URL]
           [--key KEY | --new NAME [LIMITS]]
           [--print]`
    )
})

t.test('wrapText() takes time in proportion', async (t) => {
  const began = process.cpuUsage()
  const text = `${'word '.repeat(200_000)}\n${'x'.repeat(1_000_000)}\n${' '.repeat(100_000)}`
  t.equal(wrapText(text, 80).replaceAll(/\s/g, ''), text.replaceAll(/\s/g, ''))
  t.ok(process.cpuUsage(began).user < 2_000_000, 'of CPU: others may have the machine meanwhile')
})
