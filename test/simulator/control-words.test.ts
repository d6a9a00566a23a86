import { readFileSync, readdirSync } from 'node:fs'
import t from 'tap'
import { findControlWords, splitModelName, withoutControlWords } from '../../src/simulator/words.ts'

t.test('findControlWords()', async (t) => {
  t.test('finds words with and without values anywhere in the text', async (t) => {
    const found = findControlWords('please sim:stall,sim:events=12 and\nsim:gap=0')
    t.same(Object.fromEntries(found.numbers), { stall: 1, events: 12, gap: 0 })
    t.equal(found.say, null)
  })

  t.test('reads text with quotes, escapes and other words inside from sim:say', async (t) => {
    const found = findControlWords(String.raw`sim:say="a \"b\"\n🎉 sim:stall \\" sim:gap=3`)
    t.equal(found.say, 'a "b"\n🎉 sim:stall \\')
    t.same(Object.fromEntries(found.numbers), { gap: 3 })
  })

  t.test('leaves unknown words to others, and ignores unreadable text', async (t) => {
    const found = findControlWords(String.raw`sim:dance sim:constructor=3 sim: sim:say="\x"`)
    t.same(
      [...found.numbers],
      [
        ['dance', 1],
        ['constructor', 3]
      ]
    )
    t.equal(found.say, null)
  })

  t.test('bounds numbers and takes 1 for a number that is not given', async (t) => {
    t.equal(findControlWords('sim:events=99999999999999999').numbers.get('events'), 100_000_000)
    t.equal(findControlWords('sim:throttled').numbers.get('throttled'), 1)
  })
})

t.test('withoutControlWords()', async (t) => {
  t.equal(withoutControlWords('hello sim:gap=0 there sim:say="x y" sim:stall'), 'hello there')
})

t.test('splitModelName()', async (t) => {
  t.same(splitModelName('glm-5'), { modelId: 'glm-5', words: '' })
  t.same(splitModelName('glm-5+sim:stall'), { modelId: 'glm-5', words: 'sim:stall' })
  t.same(splitModelName('sim:gap=0+sim:stall'), { modelId: 'auto', words: 'sim:gap=0+sim:stall' })
})

t.test('docs/lab/simulator.md lists words of the simulator, each in its table', async (t) => {
  const page = readFileSync(new URL('../../docs/lab/simulator.md', import.meta.url), 'utf8')
  const [ofUsers = '', ofTests = ''] = page.split('knows more of them:')
  for (const [table, folder] of [
    [ofUsers, '../../src/simulator/'],
    [ofTests, '../strict-simulator/']
  ] as const) {
    const code = sourceOf(new URL(folder, import.meta.url))
    const words = [...table.matchAll(/^\| `sim:([a-z-]+)/gm)].map(([, word = '']) => word)
    t.ok(words.length > 20)
    for (const word of words) t.match(code, new RegExp(`'${word}'|\\b${word}:|refuse-\\$`), word)
  }
})

function sourceOf(folder: URL): string {
  return readdirSync(folder)
    .map((name) => readFileSync(new URL(name, folder), 'utf8'))
    .join('\n')
}
