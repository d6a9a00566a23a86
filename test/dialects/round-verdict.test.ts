import t from 'tap'
import type { RoundPlan } from '../../src/dialects/round-plan.ts'
import type { RoundReport } from '../../src/dialects/round-reader.ts'
import { judgeRound } from '../../src/dialects/round-verdict.ts'
import type { EndReason } from '../../src/dialects/stream-part.ts'

const NONE: RoundPlan = { jsonForm: null, dueCall: null, webSearch: null }
const JSON_PLAN: RoundPlan = { ...NONE, jsonForm: { type: 'object' } }
const NAMED: RoundPlan = { ...NONE, dueCall: { name: 'f' } }
const ANY: RoundPlan = { ...NONE, dueCall: { name: null } }
const search = { id: 's', name: 'web_search', json: '{}' }

function report(reason: EndReason, changes: Partial<RoundReport> = {}): RoundReport {
  const usage = { inputTokens: 1, outputTokens: 1 }
  return {
    text: '',
    searches: [],
    strays: [],
    hasDelivered: false,
    end: { type: 'end', reason, usage },
    ...changes
  }
}

t.test('judgeRound()', async (t) => {
  t.test('delivers what was cut short, refused or stopped, whatever was insisted on', async (t) => {
    for (const reason of ['length', 'context', 'filter', 'pause', 'stop-sequence'] as const) {
      for (const plan of [JSON_PLAN, NAMED, ANY]) {
        t.same(judgeRound(report(reason, { text: '{' }), plan, false), { type: 'deliver', reason })
      }
    }
  })

  t.test('delivers an answer of calls without looking at its text', async (t) => {
    for (const plan of [JSON_PLAN, NAMED, ANY]) {
      const verdict = judgeRound(
        report('tool', { text: 'no JSON', hasDelivered: true }),
        plan,
        false
      )
      t.same(verdict, { type: 'deliver', reason: 'tool' })
    }
  })

  t.test('wants the call first, then the JSON', async (t) => {
    const both = { ...NAMED, jsonForm: JSON_PLAN.jsonForm }
    t.match(judgeRound(report('stop', { text: '{}' }), both, false), {
      type: 'repair',
      reply: /call the tool "f"/,
      problem: /tool_choice/
    })
    t.match(judgeRound(report('tool', { strays: [search] }), NAMED, false), { type: 'repair' })
    t.match(judgeRound(report('stop'), ANY, false), { type: 'repair', reply: /one of the tools/ })
    t.match(judgeRound(report('stop', { text: 'x' }), JSON_PLAN, false), {
      type: 'repair',
      reply: /no valid JSON/
    })
    t.match(judgeRound(report('stop', { text: '{}' }), JSON_PLAN, true), {
      type: 'repair',
      reply: /too long/
    })
    t.match(judgeRound(report('stop', { text: '{}' }), JSON_PLAN, false), { type: 'deliver' })
  })

  t.test('tells the client nothing of what the model said', async (t) => {
    const verdict = judgeRound(report('stop', { text: 'secret' }), JSON_PLAN, false)
    t.ok(verdict.type === 'repair' && !verdict.problem.includes('secret'))
  })

  t.test('goes on searching unless the client has its turn', async (t) => {
    for (const reason of ['tool', 'length'] as const) {
      const found = { searches: [search] }
      t.same(judgeRound(report(reason, found), NONE, false), { type: 'search', isLast: false })
      t.same(judgeRound(report(reason, { ...found, hasDelivered: true }), NONE, false), {
        type: 'search',
        isLast: true
      })
    }
    t.match(judgeRound(report('stop-sequence', { searches: [search] }), NONE, false), {
      type: 'deliver'
    })
  })

  t.test('calls an answer whose calls were all kept a plain one', async (t) => {
    t.same(judgeRound(report('tool'), NONE, false), { type: 'deliver', reason: 'stop' })
  })
})
