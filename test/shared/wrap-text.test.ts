import t from 'tap'
import { wrapText } from '../../src/shared/wrap-text.ts'

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
    ['name    used    left    seen', 'name    used    left    seen'], // a table
    ['a very long first column  b', 'a very long first column  b'],
    ['', '']
  ] as const)
    t.equal(wrapText(text, 14), wrapped, text)
})

t.test('wrapText() takes time in proportion', async (t) => {
  const began = performance.now()
  const text = `${'word '.repeat(200_000)}\n${'x'.repeat(1_000_000)}\n${' '.repeat(100_000)}`
  t.equal(wrapText(text, 80).replaceAll(/\s/g, ''), text.replaceAll(/\s/g, ''))
  t.ok(performance.now() - began < 2000)
})
