import t from 'tap'
import { isValueDeeper, outlineText, parseForeignObject } from '../../src/shared/json.ts'

t.test('outlineText() and isValueDeeper() agree', async (t) => {
  const texts = ['1', '"[[["', '[]', '[[]]', '{"a":{"b":[]}}', '["\\"[",[["x\\\\"]]]', '{"[":"]"}']
  for (const text of texts) {
    for (let levels = 0; levels < 5; levels++) {
      const value: unknown = JSON.parse(text)
      t.equal(
        outlineText(Buffer.from(text), levels).isDeeper,
        isValueDeeper(value, levels),
        `${text} ${levels}`
      )
    }
  }
})

t.test('parseForeignObject()', async (t) => {
  t.test('reads an object, and nothing else', async (t) => {
    t.same(parseForeignObject('{"a":[1]}'), { a: [1] })
    for (const text of ['', '[]', '1', '{', '<html>']) t.equal(parseForeignObject(text), null)
  })

  t.test('refuses one that would take many times its text', async (t) => {
    t.ok(parseForeignObject(nested(64)))
    t.equal(parseForeignObject(nested(65)), null)
    for (const part of ['[],', '1,', '{"a":1},']) {
      const parts = (count: number): string => `{"a":[${part.repeat(count)}1]}`
      const each = part === '1,' ? 1 : part === '[],' ? 2 : 3
      const most = Math.floor((50_000 - 3) / each)
      t.ok(parseForeignObject(parts(most)), part)
      t.equal(parseForeignObject(parts(most + 1)), null, part)
    }
  })

  t.test('counts nothing inside texts', async (t) => {
    const text = ',:{}[]'.repeat(20_000)
    t.same(parseForeignObject(JSON.stringify({ text })), { text })
  })
})

/** Arrays in an object, as deep as that. */
function nested(levels: number): string {
  return `{"a":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`
}
