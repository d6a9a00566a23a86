import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { importsOf } from './helper/layer-rules.ts'
import { type Token, tokenize } from './helper/source-tokens.ts'

/** Where fast-check comes from, with seeds that are the same each time. */
const HELPER = 'helper/fast-check.ts'
/** Run by hand for long, with a seed that they print; or against programs that draw for themselves. */
const BY_HAND = ['bench/', 'clients/', 'chaos/chaos.ts', 'fuzz/fuzz.ts', 'world/simulate.ts']
/** What a test says without throwing: of a property it would fail nothing, and be said for every case. */
const SAYINGS = words('equal same strictSame not notSame ok notOk match notMatch has hasStrict')

function words(text: string): readonly string[] {
  return text.split(' ')
}

/** What makes a test file of `npm test` depend on chance. */
function chancesIn(path: string, text: string): readonly string[] {
  if (path === HELPER) return []
  const tokens = tokenize(text)
  return [
    ...(importsOf(tokens).includes('fast-check') ? [`imports fast-check past ${HELPER}`] : []),
    ...tokens.flatMap((_, at) => {
      if (reads(tokens, at, ['Math', '.', 'random'])) return ['calls Math.random']
      return reads(tokens, at, ['Date', '.', 'now', '(', ')', '%']) ? ['draws from the clock'] : []
    }),
    ...sayingsIn(tokens)
  ]
}

function reads(tokens: readonly Token[], at: number, words: readonly string[]): boolean {
  return words.every((word, index) => tokens[at + index]?.text === word)
}

/** Calls of `t.equal()` and its like between the parentheses of a property. */
function sayingsIn(tokens: readonly Token[]): readonly string[] {
  return tokens.flatMap(({ text }, at) => {
    if (!['property', 'asyncProperty'].includes(text) || tokens[at + 1]?.text !== '(') return []
    const inside = tokens.slice(at, closing(tokens, at + 1))
    return inside.flatMap((token, index) => {
      const [dot, saying] = inside.slice(index + 1, index + 3)
      return token.text === 't' && dot?.text === '.' && SAYINGS.includes(saying?.text ?? '')
        ? [`says t.${saying?.text} in a property, which should throw (node:assert)`]
        : []
    })
  })
}

function closing(tokens: readonly Token[], from: number): number {
  let depth = 0
  for (let at = from; at < tokens.length; at += 1) {
    if (tokens[at]?.kind !== 'mark') continue
    if (tokens[at]?.text === '(') depth += 1
    if (tokens[at]?.text === ')' && (depth -= 1) === 0) return at
  }
  return tokens.length
}

t.test('npm test draws the same lots each time', async (t) => {
  const folder = import.meta.dirname
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.endsWith('.ts') && !BY_HAND.some((start) => path.startsWith(start))
  )
  t.ok(paths.length > 300, `${paths.length} files`)
  const found = paths.flatMap((path) =>
    chancesIn(path, readFileSync(join(folder, path), 'utf8')).map((what) => `${path} ${what}`)
  )
  t.same([...new Set(found)], [])
})

t.test('the check sees', async (t) => {
  for (const [text, what] of [
    [`import * as fc from 'fast-check'`, /past/],
    [`import { assert } from 'fast-check'`, /past/],
    [`const a = Math.random()`, /Math.random/],
    [`const seed = Date.now() % 1000`, /clock/],
    [`assert(property(nat(), (n) => { t.equal(n, n) }))`, /t\.equal/],
    [`fc.assert(fc.asyncProperty(nat(), async (n) => void t.same(f(n), n)))`, /t\.same/]
  ] as const) {
    t.match(chancesIn('a.test.ts', text), [what], text)
  }
  for (const text of [
    `import * as fc from '../helper/fast-check.ts'`,
    `// Math.random`,
    `const at = Date.now()`,
    `assert(property(nat(), (n) => equal(n, n))); t.ok(true)`,
    `const property = 1; t.ok(property)`
  ]) {
    t.same(chancesIn('a.test.ts', text), [], text)
  }
})
