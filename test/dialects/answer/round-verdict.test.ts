import t from 'tap'
import {
  type FindProblems,
  judgeRound,
  type RoundReport
} from '../../../src/dialects/answer/round.ts'
import type { EndReason } from '../../../src/dialects/answer/stream-part.ts'
import { checkAnswer } from '../../../src/dialects/plan/json-answer.ts'
import type { RoundPlan } from '../../../src/dialects/plan/plan.ts'

const NONE: RoundPlan = { jsonForm: null, dueCall: null, webSearch: null }
const JSON_PLAN: RoundPlan = { ...NONE, jsonForm: { type: 'object' } }
const NAMED: RoundPlan = { ...NONE, dueCall: { name: 'f' } }
const ANY: RoundPlan = { ...NONE, dueCall: { name: null, oneOf: ['f', 'g'] } }
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

const problemsOf: FindProblems = async (text, form) => checkAnswer(text, form, 5000).problems

function judge(found: RoundReport, plan: RoundPlan, isTooLong = false) {
  return judgeRound(found, plan, { isTooLong, problemsOf })
}

t.test('judgeRound()', async (t) => {
  t.test('delivers what was cut short, refused or stopped, whatever was insisted on', async (t) => {
    for (const reason of ['length', 'context', 'filter', 'pause', 'stop-sequence'] as const) {
      for (const plan of [JSON_PLAN, NAMED, ANY]) {
        t.same(await judge(report(reason, { text: '{' }), plan), { type: 'deliver', reason })
      }
    }
  })

  t.test('delivers an answer of calls without looking at its text', async (t) => {
    for (const plan of [JSON_PLAN, NAMED, ANY]) {
      const verdict = await judge(report('tool', { text: 'no JSON', hasDelivered: true }), plan)
      t.same(verdict, { type: 'deliver', reason: 'tool' })
    }
  })

  t.test('wants the call first, then the JSON', async (t) => {
    const both = { ...NAMED, jsonForm: JSON_PLAN.jsonForm }
    t.match(await judge(report('stop', { text: '{}' }), both), {
      type: 'repair',
      reply: /Call the tool "f" now/,
      problem: /tool_choice/
    })
    t.match(await judge(report('tool', { strays: [search] }), NAMED), { type: 'repair' })
    t.match(await judge(report('stop'), ANY), {
      type: 'repair',
      reply: /one of the tools.* tool "f" or "g"/
    })
    t.match(await judge(report('stop', { text: 'x' }), JSON_PLAN), {
      type: 'repair',
      reply: /not valid JSON/
    })
    t.match(await judge(report('stop', { text: '{}' }), JSON_PLAN, true), {
      type: 'repair',
      reply: /too long/
    })
    t.match(await judge(report('stop', { text: '{}' }), JSON_PLAN), { type: 'deliver' })
  })

  t.test('tells the client nothing of what the model said', async (t) => {
    const verdict = await judge(report('stop', { text: 'secret' }), JSON_PLAN)
    t.ok(verdict.type === 'repair' && !verdict.problem.includes('secret'))
  })

  t.test('goes on searching unless the client has its turn', async (t) => {
    for (const reason of ['tool', 'length'] as const) {
      const found = { searches: [search] }
      t.same(await judge(report(reason, found), NONE), { type: 'search', isLast: false })
      t.same(await judge(report(reason, { ...found, hasDelivered: true }), NONE), {
        type: 'search',
        isLast: true
      })
    }
    t.match(await judge(report('stop-sequence', { searches: [search] }), NONE), {
      type: 'deliver'
    })
    for (const plan of [ANY, NAMED, JSON_PLAN]) {
      const verdict = await judge(report('tool', { searches: [search] }), plan)
      t.match(verdict, { type: 'search' }, 'which counts as the call that was asked for')
    }
  })

  t.test('calls an answer whose calls were all kept a plain one', async (t) => {
    t.same(await judge(report('tool'), NONE), { type: 'deliver', reason: 'stop' })
  })
})
