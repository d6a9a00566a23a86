import { homedir } from 'node:os'
import t from 'tap'
import { found } from '../../../src/cli/doctor/checks/finding.ts'
import type { ProbeRun } from '../../../src/cli/doctor/probe/ask-probes.ts'
import {
  cleaner,
  cleanRun,
  probeLines,
  reportLines,
  toReport
} from '../../../src/cli/doctor/report.ts'

const secret = 'correct horse/battery'
const clean = cleaner([secret, 'abc'])

t.test('cleaner()', async (t) => {
  t.equal(clean(`with ${secret} in it`), 'with [secret] in it')
  t.equal(clean(`with ${encodeURIComponent(secret)} in it`), 'with [secret] in it')
  t.equal(clean('abc is too short to be told from words'), 'abc is too short to be told from words')
  t.equal(clean('Bearer aoaAAAAAGk1234567890abcdef'), '[secret]')
  t.equal(clean('user ann.lee@example.org'), 'user [hidden]')
  t.equal(clean('Your User ID (d-9067f1b2c3.44a8) is'), 'Your User ID ([hidden]) is')
  t.equal(
    clean('arn:aws:codewhisperer:us-east-1:123456789012:profile/X'),
    'arn:aws:codewhisperer:us-east-1:[hidden]:profile/X'
  )
  t.equal(clean(`${homedir()}/x.json`), homedir() === '/' ? '//x.json' : '~/x.json')
  t.equal(clean('two\nlines'), 'two lines')
})

t.test('the report', async (t) => {
  const results = [
    { check: { id: 'a', title: '' }, findings: [found('node-known', 'Node is known.')] },
    { check: { id: 'b', title: '' }, findings: [found('port-taken', `${secret} listens.`)] },
    {
      check: { id: 'c', title: '' },
      findings: [found('clock-off', 'A little late.', { change: `Use ${secret}.` })]
    }
  ]
  const report = toReport(results, clean)
  t.equal(report.level, 'problem')
  t.notOk(JSON.stringify(report).includes(secret))
  t.same(reportLines(report).slice(2), [
    'ok       a: Node is known.',
    'PROBLEM  b: [secret] listens. [port-taken]',
    '          Why: The gateway cannot listen there.',
    '          Do:  Stop the other program, or set SERVER_PORT to another port.',
    'warning  c: A little late. [clock-off]',
    '          Why: Tokens are renewed too late or too early.',
    '          Do:  Use [secret].',
    '',
    '1 problem, 1 warning, 1 ok. docs/doctor.md explains each finding.'
  ])
})

t.test('probes', async (t) => {
  const call = {
    label: 'path form',
    status: 400,
    type: 'X',
    reason: 'R',
    message: secret,
    credits: 0.5
  }
  const result = {
    id: 'P1',
    question: 'Which?',
    answer: 'both',
    means: 'Both.',
    change: 'Nothing.',
    calls: [call]
  }
  const stopped = { after: `a: ${secret}`, means: 'Suspected.', change: 'Rest.' }
  const run: ProbeRun = { results: [result], stopped, credits: 0.123456 }
  const lines = probeLines(cleanRun(run, clean))
  t.match(lines.slice(1, 5), [
    'P1   Which? both',
    '     Both.',
    '     Do: Nothing.',
    '     - path form: HTTP 400, X, [secret], R, 0.5 credits'
  ])
  t.ok(lines.includes('STOPPED after "a: [secret]". Suspected.'))
  t.equal(lines.at(-1), '0.1235 credits were spent.')
  t.notOk(lines.join().includes(secret))
})
