import t from 'tap'
import type { SearchOutcome } from '../../../src/kiro/wire/web-search.ts'
import type { SearchPart } from '../../../src/dialects/answer/stream-part.ts'
import { RoundSearches } from '../../../src/server/ask/searches.ts'

const page = { title: 'T', url: 'https://example.com/', snippet: 'S' }

function setUp(
  changes: { maxUses?: number; blockedDomains?: readonly string[] } = {},
  outcome: SearchOutcome = { pages: [page] }
) {
  const asked: string[] = []
  const shown: SearchPart[] = []
  const searches = new RoundSearches({
    plan: {
      toolName: 'web_search',
      opening: null,
      maxUses: 10,
      allowedDomains: [],
      blockedDomains: [],
      location: '',
      source: 'tools[0]',
      ...changes
    },
    search: async (query) => {
      asked.push(query)
      return outcome
    },
    show: async (part) => void shown.push(part)
  })
  return { searches, asked, shown }
}

const call = (query: unknown, id = 'c1') => ({
  id,
  name: 'web_search',
  json: JSON.stringify({ query })
})

t.test('RoundSearches.make()', async (t) => {
  t.test('shows each search and tells the model what was found', async (t) => {
    const { searches, asked, shown } = setUp()
    const results = await searches.make([call('a'), call('b', 'c2')])
    t.same(asked, ['a', 'b'])
    t.match(shown, [
      { type: 'search', id: /^[0-9a-f]{32}$/, query: 'a', results: [page] },
      { query: 'b' }
    ])
    t.not(shown[0]?.id, shown[1]?.id)
    t.same(results, [
      { id: 'c1', text: '1. T (https://example.com/)\nS', isError: false },
      { id: 'c2', text: '1. T (https://example.com/)\nS', isError: false }
    ])
  })

  t.test('leaves out what the client blocks, for the model, too', async (t) => {
    const { searches, shown } = setUp({ blockedDomains: ['example.com'] })
    t.match(await searches.make([call('a')]), [{ text: 'No pages were found for "a".' }])
    t.same(shown[0]?.results, [])
  })

  t.test('says when a search failed, not why', async (t) => {
    const { searches, shown } = setUp({}, { pages: [], problem: 'the token was refused' })
    t.match(await searches.make([call('a')]), [{ isError: true, text: /failed/ }])
    t.match(shown, [{ problem: 'unavailable', results: [] }])
    t.notMatch(JSON.stringify(shown), /token/)
  })

  t.test('makes no more than max_uses', async (t) => {
    const { searches, asked, shown } = setUp({ maxUses: 2 })
    t.equal(searches.isSpent, false)
    const results = await searches.make([call('a'), call('b'), call('c')])
    t.same(asked, ['a', 'b'])
    t.match(shown[2], { query: 'c', problem: 'max_uses_exceeded' })
    t.match(results[2], { isError: true, text: /No more searches/ })
    t.equal(searches.isSpent, true)
    t.equal(searches.isOver, false, 'the model may still answer')
  })

  t.test('makes none without a query', async (t) => {
    const { searches, asked, shown } = setUp()
    for (const one of [call(''), call(5), { ...call('x'), json: '[]' }]) {
      t.match(await searches.make([one]), [{ isError: true, text: /needs a "query"/ }])
    }
    t.same(asked, [])
    t.match(shown[0], { query: '', problem: 'invalid_tool_input' })
    t.equal(searches.isSpent, false)
  })

  t.test('makes none after five rounds', async (t) => {
    const { searches, asked } = setUp()
    for (let round = 0; round < 5; round++) {
      t.equal(searches.isOver, false)
      await searches.make([call(`${round}`)])
    }
    t.equal(searches.isOver, true)
    t.match(await searches.make([call('more')]), [{ isError: true }])
    t.equal(asked.length, 5)
  })
})
