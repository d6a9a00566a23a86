import { ok } from 'node:assert/strict'
import t from 'tap'
import { estimateTokens, weighTokens } from '../../../src/kiro/models/tokens.ts'
import * as fc from '../../helper/fast-check.ts'

t.test('estimateTokens()', async (t) => {
  t.test('is 0 for nothing and at least 1 for anything', async (t) => {
    t.equal(estimateTokens(''), 0)
    t.equal(estimateTokens('a'), 1)
    t.equal(estimateTokens('漢'), 1)
  })

  t.test('takes about four characters of English for a token', async (t) => {
    const english = 'The quick brown fox jumps over the lazy dog near the river bank. '
    const perToken = english.length / estimateTokens(english)
    t.ok(perToken > 3 && perToken < 4.5, `${perToken} characters`)
  })

  t.test('takes about one CJK character for a token', async (t) => {
    const chinese = '人工智能正在改变世界'.repeat(20)
    const perToken = chinese.length / estimateTokens(chinese)
    t.ok(perToken > 0.8 && perToken < 1.6, `${perToken} characters`)
  })

  t.test('adds up: pieces weigh what the whole weighs', async () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (a, b) => {
        ok(Math.abs(weighTokens(a + b) - weighTokens(a) - weighTokens(b)) < 1e-6)
      })
    )
  })

  t.test('never goes below zero, also for broken UTF-16', async (t) => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        ok(estimateTokens(text) >= (text === '' ? 0 : 1))
      })
    )
    t.ok(estimateTokens('\ud800\ud800\udc00') >= 1)
  })
})
