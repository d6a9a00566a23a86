import t from 'tap'
import { MAX_HELD_CHARS, RoundReader } from '../../../src/dialects/answer/round.ts'
import type { EndReason, StreamPart } from '../../../src/dialects/answer/stream-part.ts'
import type { RoundPlan } from '../../../src/dialects/plan/plan.ts'
import { toToolParts } from '../../helper/read-answer.ts'

const NONE: RoundPlan = { jsonForm: null, dueCall: null, webSearch: null }
const JSON_PLAN: RoundPlan = { ...NONE, jsonForm: { type: 'object' } }
const ANY: RoundPlan = { ...NONE, dueCall: { name: null, oneOf: ['f', 'g'] } }
const NAMED: RoundPlan = { ...NONE, dueCall: { name: 'f' } }
const SEARCH: RoundPlan = {
  ...NONE,
  webSearch: {
    toolName: 'web_search',
    opening: null,
    maxUses: 1,
    allowedDomains: [],
    blockedDomains: [],
    location: '',
    source: 'tools[0]'
  }
}

const words = (text: string): StreamPart => ({ type: 'text', text })
const end = (reason: EndReason = 'stop'): StreamPart => ({
  type: 'end',
  reason,
  usage: { inputTokens: 1, outputTokens: 1 }
})
const call = (name: string, id = 'c1') => toToolParts({ id, name, json: '{"a":1}' })

/** What passes, and the reader. */
function read(plan: RoundPlan, parts: readonly StreamPart[]) {
  const reader = new RoundReader(plan)
  const passed = parts.flatMap((part) => reader.push(part))
  return { reader, passed }
}

t.test('RoundReader', async (t) => {
  t.test('lets text pass where the round can only be the answer', async (t) => {
    const { reader, passed } = read(SEARCH, [words('a'), words('b'), end()])
    t.same(passed, [words('a'), words('b')])
    t.same(reader.release(), [], 'nothing is left to give')
    t.match(reader.report(), { text: 'ab', searches: [], strays: [], hasDelivered: false })
  })

  t.test('holds text where it may be wrong, and gives it once', async (t) => {
    for (const plan of [JSON_PLAN, ANY, NAMED]) {
      const { reader, passed } = read(plan, [words('a'), words('b'), end()])
      t.same(passed, [])
      t.same(reader.release(), [words('ab')])
      t.same(reader.release(), [])
    }
  })

  t.test('always lets reasoning pass', async (t) => {
    const thought: readonly StreamPart[] = [
      { type: 'reasoning', text: 'hm' },
      { type: 'signature', signature: 's' },
      { type: 'redacted', content: { redactedContent: 'r' } }
    ]
    for (const plan of [JSON_PLAN, ANY, SEARCH]) t.same(read(plan, thought).passed, thought)
  })

  t.test('gives held text before a call of the client’s, and is open from then on', async (t) => {
    for (const plan of [ANY, NAMED]) {
      const { reader, passed } = read(plan, [words('a'), ...call('f'), words('b'), end('tool')])
      t.same(passed, [words('a'), ...call('f'), words('b')])
      t.same(reader.release(), [])
      t.match(reader.report(), { text: 'ab', hasDelivered: true, strays: [] })
    }
  })

  t.test('gives no words around a call to a client that reads all text as JSON', async (t) => {
    const { reader, passed } = read(JSON_PLAN, [words('a'), ...call('f'), words('b'), end('tool')])
    t.same(passed, call('f'))
    t.same(reader.release(), [])
  })

  t.test('keeps searches and calls that are not the named one', async (t) => {
    const searched = read(SEARCH, [...call('web_search'), ...call('f', 'c2'), end('tool')])
    t.same(searched.passed, call('f', 'c2'))
    t.same(searched.reader.report().searches, [{ id: 'c1', name: 'web_search', json: '{"a":1}' }])
    const stray = read(NAMED, [...call('g'), end('tool')])
    t.same(stray.passed, [])
    t.match(stray.reader.report(), { strays: [{ name: 'g' }], hasDelivered: false })
    const both = { ...SEARCH, dueCall: { name: 'f' } }
    t.match(read(both, [...call('web_search'), end('tool')]).reader.report(), {
      searches: [],
      strays: [{ name: 'web_search' }]
    })
  })

  t.test('counts no call that was cut', async (t) => {
    const cut: readonly StreamPart[] = [
      { type: 'tool-start', id: 'c1', name: 'web_search' },
      { type: 'tool-delta', json: '{"que' },
      { type: 'tool-end', isCut: true }
    ]
    t.match(read(SEARCH, [...cut, end('length')]).reader.report(), {
      searches: [],
      hasDelivered: false
    })
    const { passed, reader } = read(ANY, [...cut, end('length')])
    t.same(passed, cut, 'but what has begun at the client ends there')
    t.equal(reader.report().hasDelivered, false)
  })

  t.test('holds no more than its bound', async (t) => {
    const most = 'x'.repeat(MAX_HELD_CHARS)
    t.equal(read(JSON_PLAN, [words(most), end()]).reader.isTooLong, false)
    const long = read(JSON_PLAN, [words(most), words('y'), end()])
    t.equal(long.reader.isTooLong, true)
    t.same(long.passed, [])
    const open = read(ANY, [words(most), words('y'), words('z'), end()])
    t.same(
      open.passed,
      [words(most), words('y'), words('z')],
      'text that need not be JSON goes out'
    )
    t.equal(open.reader.isTooLong, false)
    const gap = read(JSON_PLAN, [words(most.slice(5)), words('123456'), words('y'), end()])
    t.equal(gap.reader.report().text.length, MAX_HELD_CHARS - 5, 'and what it holds has no gaps')
    const huge: readonly StreamPart[] = [
      { type: 'tool-start', id: 'c1', name: 'web_search' },
      { type: 'tool-delta', json: most },
      { type: 'tool-delta', json: most },
      { type: 'tool-delta', json: most },
      { type: 'tool-end' }
    ]
    t.same(read(SEARCH, [...huge, end()]).reader.report().searches, [])
  })

  t.test('has nothing to report before the end', async (t) => {
    t.throws(() => new RoundReader(NONE).report(), /not ended/)
  })
})
