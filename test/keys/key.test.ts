import t from 'tap'
import { isModelAllowed, whyRefused } from '../../src/keys/key.ts'

t.test('whyRefused()', async (t) => {
  const open = { expiresAt: null, revokedAt: null }
  t.equal(whyRefused(open, 5), null)
  t.equal(whyRefused({ ...open, expiresAt: 6 }, 5), null)
  t.equal(whyRefused({ ...open, expiresAt: 5 }, 5), 'expired')
  t.equal(whyRefused({ expiresAt: 5, revokedAt: 9 }, 5), 'revoked', 'which no clock undoes')
})

function allows(pattern: string, ...names: readonly string[]): boolean {
  return isModelAllowed({ models: [pattern] }, names)
}

t.test('isModelAllowed()', (t) => {
  t.test('lets every model pass without a list, and none with an empty one', async (t) => {
    t.equal(isModelAllowed({ models: null }, ['auto']), true)
    t.equal(isModelAllowed({ models: [] }, ['auto']), false)
  })

  t.test('matches whole names, in any case', async (t) => {
    t.equal(allows('auto', 'AUTO'), true)
    t.equal(allows('auto', 'autonomous'), false)
    t.equal(allows('Claude-Sonnet-*', 'claude-sonnet-4.6'), true)
    t.equal(allows('claude-sonnet-*', 'my-claude-sonnet-4'), false)
    t.equal(allows('*-mini', 'gpt-5-mini'), true)
    t.equal(allows('*-mini', 'gpt-5-mini-high'), false)
    t.equal(allows('a*b*c', 'abbcc'), true)
    t.equal(allows('a*b*c', 'abbca'), false)
    t.equal(allows('*', ''), true)
    t.equal(allows('', 'a'), false)
    t.equal(allows('claude-4.6', 'claude-4x6'), false, 'a dot is a dot')
  })

  t.test('takes any of the names', async (t) => {
    t.equal(allows('fast', 'gpt-5-mini', 'fast'), true)
    t.equal(allows('fast'), false)
  })

  // A regular expression would not end before the sun does.
  t.test('ends, whatever the pattern', async (t) => {
    const pattern = '*a'.repeat(100)
    t.equal(allows(pattern, 'a'.repeat(2_000)), true)
    t.equal(allows(`${pattern}*b`, 'a'.repeat(2_000)), false)
  })
  t.end()
})
