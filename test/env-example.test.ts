import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'dotenv'
import t from 'tap'
import { Generated } from '../docs/generate/generated.ts'
import { between, toLines, toTable } from '../docs/generate/text.ts'
import { loadConfig } from '../src/config/load.ts'

const read = (path: string): string => readFileSync(join(import.meta.dirname, '..', path), 'utf8')

t.test('.env.example is a valid .env that changes nothing', async (t) => {
  const example = read('.env.example')
  const uncommented = example.replace(/^#(?=[A-Z][A-Z0-9_]*=)/gm, '')
  for (const text of [example, uncommented]) t.same(loadConfig(parse(text), []), loadConfig({}, []))
})

t.test('no generated file is stale', async (t) => {
  for (const [path, make] of Object.entries(Generated)) {
    const before = read(path)
    t.ok(make(before) === before, `${path}; "npm run generate" writes it`)
  }
})

t.test('generating a part of a page', async (t) => {
  const page = 'a\n<!-- x, from the code: npm run generate -->\nold\n<!-- end of x -->\nb\n'
  const made = between(page, 'x', 'new\n')
  t.equal(made, page.replace('old\n', '\nnew\n\n'))
  t.equal(between(made, 'x', 'new\n'), made)
  t.throws(() => between(page, 'y', 'new\n'), /no place for y/)
  t.equal(toTable(['a', 'b'], [['1', '']]), '| a | b |\n| --- | --- |\n| 1 | |\n')
  t.equal(toLines({ a: { b: [1], c: {} } }, 2), '{\n"a":{\n"b":[1],\n"c":{}\n}\n}')
})
