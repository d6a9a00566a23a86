import t from 'tap'
import type { Case } from './suite.ts'
import { judge } from './verdict.ts'

const passed: Case = { name: 'says hello', problem: null }
const failed: Case = { name: 'hears audio', problem: 'HTTP 400' }
const skipped: Case = { name: 'sends a video', problem: null, isSkipped: true }

t.test('counts tests that passed, and names those that did not', async (t) => {
  t.same(judge([passed, failed], []), {
    passed: 1,
    excluded: [],
    failures: ['hears audio: HTTP 400']
  })
})

t.test('a test that the suite skipped needs a reason as well', async (t) => {
  const { failures } = judge([passed, skipped], [])
  t.same(failures, ['sends a video: skipped, without a reason given here'])
})

t.test('an exclusion explains failures and skipped tests', async (t) => {
  const exclusions = [{ cases: /audio|video/, reason: 'Kiro has neither.' }]
  t.same(judge([passed, failed, skipped], exclusions), {
    passed: 1,
    excluded: [{ reason: 'Kiro has neither.', names: ['hears audio', 'sends a video'] }],
    failures: []
  })
})

t.test('an exclusion that nothing needs is a failure, unless its tests may pass', async (t) => {
  const exclusion = { cases: /hello/, reason: 'No network.' }
  t.same(judge([passed], [exclusion]).failures, ['/hello/: is excluded, but no such test fails'])
  t.same(judge([passed], [{ ...exclusion, mayPass: true }]).failures, [])
})

t.test('a suite in which nothing ran has failed', async (t) => {
  t.same(judge([], []).failures, ['no test ran'])
})
