import t from 'tap'
import { mayAskModel } from '../../../src/kiro/models/model-access.ts'

function allows(pattern: string, ...names: readonly string[]): boolean {
  return mayAskModel([pattern], names)
}

t.test('mayAskModel()', (t) => {
  t.test('lets every model pass without a list, and none with an empty one', async (t) => {
    t.equal(mayAskModel(null, ['auto']), true)
    t.equal(mayAskModel([], ['auto']), false)
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
