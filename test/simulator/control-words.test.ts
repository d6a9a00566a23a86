import { readFileSync } from 'node:fs'
import t from 'tap'
import {
  CONTROL_WORDS,
  findControlWords,
  splitModelName,
  withoutControlWords
} from '../../src/simulator/words.ts'
import { ODD_WORDS } from '../strict-simulator/odd-answers.ts'

t.test('findControlWords()', async (t) => {
  t.test('finds words with and without values anywhere in the text', async (t) => {
    const found = findControlWords('please sim:stall,sim:events=12 and\nsim:gap=0')
    t.same([...found.flags], ['stall'])
    t.same(found.numbers, { events: 12, gap: 0 })
    t.equal(found.say, null)
  })

  t.test('knows every word of the table', async (t) => {
    for (const [word, { value }] of Object.entries(CONTROL_WORDS)) {
      const found = findControlWords(`sim:${word}${value === 'json' ? '="x"' : '=7'}`)
      if (value === 'none') t.same([...found.flags], [word])
      else if (value === 'number') t.same(found.numbers, { [word]: 7 })
      else t.match(found, { [word]: 'x' })
    }
  })

  t.test('reads text with quotes, escapes and other words inside from sim:say', async (t) => {
    const found = findControlWords(String.raw`sim:say="a \"b\"\n🎉 sim:stall \\" sim:gap=3`)
    t.equal(found.say, 'a "b"\n🎉 sim:stall \\')
    t.same([...found.flags], [])
    t.same(found.numbers, { gap: 3 })
  })

  t.test('leaves unknown words to others, and ignores unreadable text', async (t) => {
    const found = findControlWords(String.raw`sim:dance sim:constructor=3 sim: sim:say="\x"`)
    t.same([...found.flags], [])
    t.same(
      [...found.others],
      [
        ['dance', 1],
        ['constructor', 3]
      ]
    )
    t.same(found.numbers, {})
    t.equal(found.say, null)
  })

  t.test('bounds numbers and takes 1 for a number that is not given', async (t) => {
    t.same(findControlWords('sim:events=99999999999999999').numbers, { events: 100_000_000 })
    t.same(findControlWords('sim:throttled').numbers, { throttled: 1 })
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

t.test('docs/simulator.md lists exactly the words of the tables', async (t) => {
  const document = readFileSync(new URL('../../docs/simulator.md', import.meta.url), 'utf8')
  const form = { none: '', number: '=N', json: '="…"' }
  const words = [...Object.entries(CONTROL_WORDS), ...Object.entries(ODD_WORDS)]
  const rows = words.map(
    ([word, { value, meaning }]) => `| \`sim:${word}${form[value]}\` | ${meaning} |`
  )
  t.same(document.match(/^\| `sim:.*$/gm), rows)
})
