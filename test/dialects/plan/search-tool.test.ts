import t from 'tap'
import {
  filterPages,
  findSearchTool,
  nameSearchTool,
  openingSearch,
  readSearchWish,
  searchTool,
  wordSearch
} from '../../../src/dialects/plan/search-tool.ts'
import { type Conversation, textMessage } from '../../../src/kiro/wire/message.ts'

const plain = readSearchWish({ type: 'web_search' }, 'tools[0]')

function conversation(changes: Partial<Conversation> = {}): Conversation {
  return {
    systemParts: [],
    instructions: [],
    messages: [],
    tools: [],
    toolChoice: { type: 'auto' },
    ...changes
  }
}

t.test('findSearchTool()', async (t) => {
  t.test('knows the vendors’ tool by its type, under every date', async (t) => {
    for (const type of [
      'web_search',
      'web_search_20250305',
      'web_search_20260209',
      'web_search_preview',
      'web_search_preview_2025_03_11'
    ]) {
      t.equal(findSearchTool([{ type: 'function' }, { type }], 'tools')?.source, 'tools[1]')
    }
    for (const type of ['web_searcher', 'function', 'custom', 'web_fetch_20250910', undefined, 5]) {
      t.equal(findSearchTool([{ type, name: 'web_search' }], 'tools'), undefined)
    }
    t.equal(findSearchTool([], 'tools'), undefined)
  })

  t.test('reads bounds, domains and place of each API', async (t) => {
    t.match(
      readSearchWish(
        {
          max_uses: 3,
          allowed_domains: ['https://docs.example.com', '*.example.org', ' '],
          user_location: { type: 'approximate', city: 'Oslo', country: 'NO', timezone: 'x' }
        },
        'tools[0]'
      ),
      {
        maxUses: 3,
        allowedDomains: ['docs.example.com', 'example.org'],
        blockedDomains: [],
        location: 'Oslo, NO'
      }
    )
    t.match(
      readSearchWish(
        {
          filters: { allowed_domains: ['a.example'] },
          user_location: { type: 'approximate', approximate: { region: 'Viken' } }
        },
        'tools[0]'
      ),
      { allowedDomains: ['a.example'], location: 'Viken' }
    )
    t.match(plain, { maxUses: 10, allowedDomains: [], blockedDomains: [], location: '' })
    t.equal(readSearchWish({ max_uses: 1000 }, 'x').maxUses, 10)
  })

  t.test('refuses what cannot be meant', async (t) => {
    for (const max_uses of [0, -1, 1.5, '3']) {
      t.throws(() => readSearchWish({ max_uses }, 'tools[0]'), {
        code: 'GW_BODY_INVALID',
        param: 'tools[0].max_uses'
      })
    }
    for (const allowed_domains of ['a.example', [1]]) {
      t.throws(() => readSearchWish({ allowed_domains }, 'tools[0]'), {
        code: 'GW_BODY_INVALID',
        param: 'tools[0].allowed_domains'
      })
      t.throws(() => readSearchWish({ filters: { allowed_domains } }, 'tools[0]'), {
        code: 'GW_BODY_INVALID',
        param: 'tools[0].filters.allowed_domains'
      })
    }
  })
})

t.test('searchTool() tells the model what the client said', async (t) => {
  const wish = {
    ...plain,
    allowedDomains: ['a.example'],
    blockedDomains: ['b.example'],
    location: 'Oslo'
  }
  const { description, schema } = searchTool('web_search', wish)
  t.match(description, /Only finds pages of: a\.example\. Never finds pages of: b\.example\..*Oslo/)
  t.match(schema, { required: ['query'] })
  t.notMatch(searchTool('web_search', plain).description, /Only|Never|user/)
})

function nameBeside(...names: string[]): string {
  return nameSearchTool(names.map((name) => ({ name, description: '', schema: {} })))
}

t.test('nameSearchTool() never takes a name of the client’s', async (t) => {
  t.equal(nameBeside('f'), 'web_search')
  t.equal(nameBeside('Web_Search'), 'search_the_web')
  t.equal(
    nameBeside('web_search', 'search_the_web', 'gateway_web_search', 'web_search_2'),
    'web_search_3'
  )
})

function opened(text: string, changes: Partial<Conversation> = {}) {
  return openingSearch(conversation({ messages: [textMessage('user', text)], ...changes }))
}

t.test('openingSearch()', async (t) => {
  t.same(opened('Perform a web search for the query: kiro pricing'), {
    query: 'kiro pricing',
    isWhole: true
  })
  t.same(
    opened('<system-reminder>\nx\n</system-reminder>\nPerform a web search for the query: a'),
    {
      query: 'a',
      isWhole: true
    }
  )
  t.same(opened('What is Kiro?\n'), { query: 'What is Kiro?', isWhole: false })
  t.same(opened('x'.repeat(400)), { query: 'x'.repeat(400), isWhole: false })
  t.equal(opened('x'.repeat(401)), null, 'longer words are no query')
  t.equal(opened('two\nlines'), null)
  t.equal(opened(' '), null)
  t.equal(opened('Perform a web search for the query:')?.isWhole, false)
  t.equal(opened('hi', { tools: [{ name: 'f', description: '', schema: {} }] }), null)
  const messages = [
    textMessage('user', 'a'),
    textMessage('assistant', 'b'),
    textMessage('user', 'c')
  ]
  t.equal(opened('', { messages }), null, 'later turns are for the model')
  t.equal(opened('', { messages: [] }), null)
})

t.test('filterPages()', async (t) => {
  const urls = [
    'https://example.com/',
    'https://docs.example.com/blog/1',
    'https://badexample.com/blog/1',
    'https://example.com/blogger',
    'https://example.com/Blog/2',
    'no address'
  ]
  const pages = urls.map((url) => ({ title: '', url, snippet: '' }))
  const left = (wish: object) => filterPages(pages, { ...plain, ...wish }).map(({ url }) => url)
  t.same(left({}), urls)
  t.same(left({ allowedDomains: ['example.com'] }), [urls[0], urls[1], urls[3], urls[4]])
  t.same(left({ allowedDomains: ['example.com/blog'] }), [urls[1], urls[4]])
  t.same(left({ allowedDomains: ['example.com/blog/'] }), [urls[1], urls[4]])
  t.same(left({ blockedDomains: ['example.com'] }), [urls[2], urls[5]])
  t.same(left({ allowedDomains: ['example.com'], blockedDomains: ['docs.example.com'] }), [
    urls[0],
    urls[3],
    urls[4]
  ])
})

t.test('wordSearch() numbers the pages', async (t) => {
  const page = { title: 'T', url: 'https://e.example/', snippet: 'S' }
  t.equal(wordSearch('q', { results: [page] }), '1. T (https://e.example/)\nS')
  t.equal(
    wordSearch('q', { results: [page, { ...page, snippet: '', publishedAt: 0 }] }),
    '1. T (https://e.example/)\nS\n\n2. T (https://e.example/), 1970-01-01'
  )
  t.equal(wordSearch('q', { results: [] }), 'No pages were found for "q".')
  t.match(wordSearch('q', { results: [], problem: 'secret reason' }), /^The web search failed/)
  t.notMatch(wordSearch('q', { results: [], problem: 'secret reason' }), /secret/)
})
