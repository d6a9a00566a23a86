import { deepEqual, ok } from 'node:assert/strict'
import t from 'tap'
import { countTextTokens, familyOf } from '../../../src/kiro/tokens/request-tokens.ts'
import { countJson, TextCounter } from '../../../src/kiro/tokens/text-counter.ts'
import * as fc from '../../helper/fast-check.ts'

const MODELS = ['claude-sonnet-4.6', 'claude-opus-5', 'gpt-5.6-sol', 'kimi-k3', 'auto']
const family = familyOf('claude-sonnet-4.6')
const { table } = family

t.test('a text', async (t) => {
  t.test('is 0 tokens if it is empty, else at least 1', async (t) => {
    t.equal(countTextTokens('auto', ''), 0)
    for (const text of ['a', '漢', ' ', '\n', '🙂'])
      t.equal(countTextTokens('auto', text) >= 1, true)
  })

  t.test('is about four characters a token in English and one in Chinese', async (t) => {
    const english = 'The quick brown fox jumps over the lazy dog near the river bank. '.repeat(20)
    const chinese = '人工智能正在改变世界'.repeat(20)
    for (const model of ['claude-sonnet-4.6', 'gpt-5.6-sol']) {
      const perToken = english.length / countTextTokens(model, english)
      t.ok(perToken > 3 && perToken < 5, `${model}: ${perToken} characters`)
      const wide = chinese.length / countTextTokens(model, chinese)
      t.ok(wide > 0.7 && wide < 1.6, `${model}: ${wide} characters`)
    }
  })

  t.test('is 30 % more for the newer Claude models', async (t) => {
    const text = 'export function add(a: number, b: number): number {\n  return a + b\n}\n'.repeat(
      50
    )
    const older = countTextTokens('claude-sonnet-4.6', text)
    for (const model of ['claude-opus-4.7', 'claude-sonnet-5', 'claude-haiku-5.5'])
      t.ok(Math.abs(countTextTokens(model, text) / older - 1.3) < 0.01, model)
  })

  t.test('is the same in pieces as whole', async () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 8 })), (pieces) => {
        const [whole, divided] = [new TextCounter(family), new TextCounter(family)]
        whole.add(pieces.join(''))
        for (const piece of pieces) divided.add(piece)
        for (const kind of ['words', 'symbols', 'space', 'wide'] as const)
          ok(Math.abs(whole[kind] - divided[kind]) < 1e-6)
      })
    )
  })

  t.test('never costs less with more of it', async () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...MODELS),
        fc.array(fc.string({ unit: 'binary' })),
        (model, pieces) => {
          const counter = new TextCounter(familyOf(model))
          let before = 0
          for (const piece of pieces) {
            counter.add(piece)
            ok(counter.tokens >= before && Number.isFinite(counter.tokens))
            before = counter.tokens
          }
        }
      )
    )
  })

  t.test('without any border in it costs something for each few characters', async (t) => {
    for (const text of ['a', 'A', '7', '-', ' ', '\n', 'é', '漢', '→', '🙂', 'aB', 'a1'])
      for (const model of MODELS) {
        const tokens = countTextTokens(model, text.repeat(10_000))
        t.ok(tokens >= 50, `${model}: ${JSON.stringify(text)} ${tokens}`)
      }
  })

  t.test('can be taken back', async (t) => {
    const counter = new TextCounter(familyOf('auto'))
    counter.add('one two')
    const { state } = counter
    const { tokens } = counter
    counter.add('three')
    counter.restore(state)
    t.equal(counter.tokens, tokens)
    counter.add('three')
    t.equal(counter.tokens, new TextCounter(familyOf('auto')).tokens + tokensOf('one twothree'))
  })
})

function tokensOf(text: string): number {
  const counter = new TextCounter(familyOf('auto'))
  counter.add(text)
  return counter.tokens
}

t.test('JSON has the tokens of the texts in it', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const bytes = Buffer.from(JSON.stringify(text.replaceAll(/\p{Cc}/gu, '\n')))
      const counted = countJson(bytes, { from: 1, to: bytes.length - 1 }, table)
      // The quotation mark stands before the text.
      const counter = new TextCounter(family).add('"')
      const { words, symbols, space, wide } = counter
      counter.add(text.replaceAll(/\p{Cc}/gu, '\n'))
      ok(Math.abs(counted.words - (counter.words - words)) < 1e-6)
      ok(Math.abs(counted.symbols - (counter.symbols - symbols)) < 1e-6)
      ok(Math.abs(counted.space - (counter.space - space)) < 1e-6)
      ok(Math.abs(counted.wide - (counter.wide - wide)) < 1e-6)
    })
  )
})

t.test('JSON has the same tokens wherever it lies in memory, and at any length', async (t) => {
  const json = JSON.stringify('some wörds, {"a":17} 漢字\n internationalization\u0001 '.repeat(200))
  const text = Buffer.from(json)
  for (const length of [4096, 4097, 9000, 9001]) {
    // Below some 4 KB each byte is a step of its own.
    const sum = { words: 0, symbols: 0, space: 0, wide: 0 }
    for (let from = 0; from < length; ) {
      const to =
        from + 3000 >= length ? length : text.indexOf('some ', from + 2000) + 'some '.length
      const { words, symbols, space, wide } = countJson(text, { from, to }, table)
      sum.words += words
      sum.symbols += symbols
      sum.space += space
      sum.wide += wide
      from = to
    }
    for (const offset of [0, 1, 2, 3]) {
      const bytes = Buffer.alloc(length + offset).subarray(offset)
      text.copy(bytes)
      t.strictSame(countJson(bytes, { from: 0, to: length }, table), sum, `${length} at ${offset}`)
    }
  }
})

t.test('JSON has the same tokens in short parts as whole', async () => {
  const part = fc.constantFrom(
    'word ',
    'internationalization ',
    '\n',
    '\\n',
    '\u0001',
    '漢字',
    '🙂 ',
    ' {"a":1} '
  )
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 20 }), fc.nat(), (parts, chance) => {
      const json = JSON.stringify(`some words ${parts.join('')}`.repeat(10_000 / parts.length))
      const bytes = Buffer.from(json)
      const whole = countJson(bytes, { from: 0, to: bytes.length }, table)
      const sum = { words: 0, symbols: 0, space: 0, wide: 0 }
      for (let from = 0; from < bytes.length; ) {
        const border = bytes.indexOf('some words ', from + 500 + (chance % 3_000))
        const to = border === -1 ? bytes.length : border + 'some words '.length
        const { words, symbols, space, wide } = countJson(bytes, { from, to }, table)
        sum.words += words
        sum.symbols += symbols
        sum.space += space
        sum.wide += wide
        from = to
      }
      deepEqual(sum, whole)
    })
  )
})
