import t from 'tap'
import {
  cutQuery,
  makeSearchId,
  parseSearchAnswer,
  searchBody
} from '../../../src/kiro/wire/web-search.ts'
import { assert, json, property, string } from '../../helper/fast-check.ts'

function answer(finds: unknown, more: object = {}): string {
  const content = [{ type: 'text', text: JSON.stringify(finds) }]
  return JSON.stringify({ id: 'w', jsonrpc: '2.0', result: { content, isError: false, ...more } })
}

const page = {
  title: 'T',
  url: 'https://e.example/',
  snippet: 'S',
  publishedDate: null,
  id: '1',
  domain: 'e.example',
  maxVerbatimWordLimit: 30,
  publicDomain: false
}

t.test('searchBody() is exactly this request', async (t) => {
  const id = makeSearchId(1_760_000_000_000)
  t.match(id, /^web_search_tooluse_[A-Za-z0-9]{22}_1760000000000_[a-z0-9]{8}$/)
  t.same(JSON.parse(searchBody(id, 'kiro pricing', null)), {
    id,
    jsonrpc: '2.0',
    method: 'tools/call',
    params: { name: 'web_search', arguments: { query: 'kiro pricing' } }
  })
  const { profileArn, ...call } = JSON.parse(searchBody(id, 'kiro pricing', 'arn:x'))
  t.equal(profileArn, 'arn:x', 'beside the others in the target form')
  t.same(call, JSON.parse(searchBody(id, 'kiro pricing', null)))
})

const refusal = (code: number) => JSON.stringify({ error: { code, message: 'no' } })

t.test('parseSearchAnswer()', async (t) => {
  t.test('gives the pages', async (t) => {
    const found = { results: [page, { ...page, publishedDate: 1 }], totalResults: 2, error: null }
    t.same(parseSearchAnswer(answer(found)), {
      pages: [
        { title: 'T', url: 'https://e.example/', snippet: 'S' },
        { title: 'T', url: 'https://e.example/', snippet: 'S', publishedAt: 1 }
      ]
    })
    t.same(parseSearchAnswer(answer({ results: [] })), { pages: [] })
  })

  t.test('leaves out what is no page and bounds what is', async (t) => {
    const long = { ...page, snippet: 's'.repeat(9000), title: '' }
    const results = [null, 1, { title: 'no address' }, { ...page, url: 'x'.repeat(3000) }, long]
    const { pages } = parseSearchAnswer(
      answer({ results: [...results, ...Array.from({ length: 50 }, () => page)] })
    )
    t.equal(pages.length, 20)
    t.match(pages[0], { title: page.url, snippet: 's'.repeat(4000) })
    const [dated] = parseSearchAnswer(
      answer({ results: [{ ...page, publishedDate: 1e300 }] })
    ).pages
    t.notOk(dated && 'publishedAt' in dated, 'a date that is none')
  })

  t.test('tells every way to fail', async (t) => {
    for (const [text, problem] of [
      ['<html>', /not a JSON/],
      ['[]', /not a JSON/],
      [`{"a":[${'[],'.repeat(30_000)}1]}`, /not a JSON/],
      [answer({ results: Array.from({ length: 60_000 }, () => 1) }), /not a JSON object/],
      ['{"error":{"code":-32603,"message":"down"}}', /^down$/],
      ['{"error":{}}', /without a message/],
      ['{"result":{}}', /no text/],
      ['{"result":{"content":[{"type":"text","text":"{"}]}}', /not a JSON object/],
      [answer({ results: [], error: 'over quota' }), /^over quota$/],
      [answer({}, {}), /no list/],
      [answer({ results: [page] }, { isError: true }), /./]
    ] as const) {
      const outcome = parseSearchAnswer(text)
      t.match(outcome.problem, problem, text.slice(0, 100))
      t.same(outcome.pages, [])
    }
    const long = parseSearchAnswer(JSON.stringify({ error: { message: 'x'.repeat(999) } }))
    t.equal(long.problem?.length, 200)
  })

  t.test('tells a query that is not taken from other failures', async (t) => {
    t.match(parseSearchAnswer(refusal(-32602)), { problem: 'no', isUnfit: true })
    t.notOk(parseSearchAnswer(refusal(-32603)).isUnfit)
    t.equal(cutQuery('a'.repeat(200)), null)
    t.equal(cutQuery('a'.repeat(201)), 'a'.repeat(200))
    t.equal(cutQuery(`${'a'.repeat(199)}🎉`), 'a'.repeat(199), 'never half a character')
  })

  t.test('never throws', async (t) => {
    assert(
      property(json(), string(), (text, other) => {
        for (const one of [text, other, answer(text), answer({ results: [text] })]) {
          parseSearchAnswer(one)
        }
      })
    )
    t.pass()
  })
})
