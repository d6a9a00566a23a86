import t from 'tap'
import { missingLine, readGuide } from './guide-page.ts'

t.test('readGuide()', async (t) => {
  const page = [
    '# Title',
    '',
    '```sh',
    'npx kiro-gateway login',
    '```',
    '```text',
    'Signed in with …',
    '```',
    'Words.',
    '<!-- terminal: gateway -->',
    '```sh',
    'npx kiro-gateway',
    '```',
    '<!-- not run here: needs a cluster -->',
    '<!-- instead: true',
    'true -->',
    '<!-- types: y -->',
    '<!-- may fail -->',
    '   ```sh',
    '   kubectl apply',
    '   ```',
    '```json',
    '{}',
    '```'
  ].join('\n')
  const usual = {
    notRun: null,
    instead: null,
    has: '',
    terminal: null,
    interrupts: [],
    answers: '',
    mayFail: false
  }
  t.same(readGuide(page), {
    asRoot: false,
    steps: [
      { ...usual, line: 3, commands: 'npx kiro-gateway login', shown: ['Signed in with …'] },
      { ...usual, line: 11, commands: 'npx kiro-gateway', shown: null, terminal: 'gateway' },
      {
        ...usual,
        line: 19,
        commands: 'kubectl apply',
        shown: null,
        notRun: 'needs a cluster',
        instead: 'true\ntrue',
        answers: 'y',
        mayFail: true
      }
    ]
  })
  t.equal(readGuide('<!-- as root -->\n').asRoot, true)
  t.throws(() => readGuide('<!-- not-run: x -->\n```sh\nx\n```\n'), /no comment "not-run"/)
})

t.test('missingLine()', async (t) => {
  const output = ['', '14:41:11 ✓ 200 auto  ', 'next', 'last']
  for (const shown of [
    ['14:41:11 ✓ 200 auto', 'next'],
    ['02:00:00 … auto', '…', 'last'],
    ['…', 'last'],
    ['next', '…']
  ])
    t.equal(missingLine(shown, output), null, shown.join(' | '))
  t.equal(missingLine(['next', 'other'], output), 'other')
  t.equal(
    missingLine(['14:41:11 ✓ 200 auto', 'last'], output),
    'last',
    'lines between are shown, or …'
  )
  t.equal(missingLine(['ext'], output), 'ext', 'a line is whole')
  t.equal(missingLine(['…', 'no'], output), 'no')
})
