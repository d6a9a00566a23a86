import { readFileSync } from 'node:fs'
import t from 'tap'
import type { SuiteResult } from './run-suites.ts'
import type { Suite } from './suite.ts'
import { suitesSection } from './suites-page.ts'

const suite: Suite = {
  id: 'judge',
  name: 'The judge',
  packages: { judge: '1.2.3' },
  source: { repository: 'owner/judge', commit: '0123456789'.repeat(4), paths: [] },
  run: () => Promise.resolve([]),
  exclusions: []
}
const result: SuiteResult = {
  suite,
  version: '1.2.3',
  isCopy: false,
  seconds: 1,
  verdict: {
    passed: 7,
    excluded: [{ reason: 'Kiro has no audio.', names: ['hears', 'speaks'] }],
    failures: []
  }
}

t.test('has a row for each suite, and one for each reason', async (t) => {
  const section = suitesSection([result])
  t.match(section, '| The judge | owner/judge@0123456, judge 1.2.3 | 7 | 2 | 0 |')
  t.match(section, '| judge | hears; speaks | Kiro has no audio. |')
})

t.test('says what failed, what did not run, and what was a copy', async (t) => {
  const failed = { passed: 1, excluded: [], failures: ['one: broken'] }
  t.match(suitesSection([{ ...result, verdict: failed }]), '| 1 | 0 | **1** |')
  t.match(suitesSection([{ ...result, verdict: null }]), '| not run | – | – |')
  t.match(suitesSection([{ ...result, isCopy: true }]), '| copy of owner/judge@0123456, judge')
})

t.test('README repeats how many of the tests of Open Responses pass', async (t) => {
  const [page = '', readme = ''] = ['docs/compatibility.md', 'README.md'].map((path) =>
    readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
  )
  const [, passed, excluded] =
    /^\| Open Responses: [^|]*\|[^|]*\| (\d+) \| (\d+) \| 0 \|$/m.exec(page) ?? []
  t.match(readme, `${passed} of ${Number(passed) + Number(excluded)} tests of\n[Open Responses]`)
})
