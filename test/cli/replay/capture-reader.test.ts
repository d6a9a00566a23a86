import { execFileSync } from 'node:child_process'
import {
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readCapture } from '../../../src/cli/replay/capture-reader.ts'
import { GatewayError } from '../../../src/shared/errors.ts'

const CALL = {
  at: 1,
  call: 1,
  type: 'call',
  kind: 'generate',
  form: 'path',
  headers: {},
  request: 1
}
const TIMELINE = [
  CALL,
  { at: 2, call: 1, type: 'sent' },
  { at: 3, call: 1, type: 'head', status: 200, headers: { 'content-type': 'a/b' } },
  { at: 4, call: 1, type: 'chunk', bytes: 5 },
  { at: 4, type: 'answer', bytes: 4 },
  { at: 5, call: 1, type: 'end' }
]
const FACTS = {
  format: 1,
  version: '0.1.0',
  at: '2026-11-26T12:00:00.000Z',
  requestId: 'req_1',
  status: 200,
  cut: null,
  masked: [],
  estimatedInputTokens: null,
  calls: 1,
  requests: 1,
  request: { method: 'POST', url: '/v1/messages', headers: {} },
  settings: {},
  catalogue: { isLive: false, models: [] }
}

/** A capture that can be read, in a folder of the test. */
function captureIn(t: Test): string {
  const folder = join(t.testdir({}), '20261126T120000000Z-req_1')
  mkdirSync(folder)
  const files = {
    'capture.json': JSON.stringify(FACTS),
    'client-request': '{}',
    'client-answer': 'said',
    'upstream-request-1': '{}',
    'upstream-answer-1': 'frame',
    'timeline.jsonl': TIMELINE.map((line) => `${JSON.stringify(line)}\n`).join('')
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

async function refusalOf(folder: string): Promise<string> {
  try {
    await readCapture(folder)
  } catch (cause) {
    if (cause instanceof GatewayError && cause.code === 'GW_CONFIG_INVALID') return cause.message
    throw cause
  }
  return 'read'
}

t.test('reads a whole capture', async (t) => {
  const turn = await readCapture(captureIn(t))
  t.match(turn, { facts: { requestId: 'req_1' }, calls: [{ kind: 'generate', form: 'path' }] })
  t.equal(turn.answer.toString(), 'said')
  t.equal(turn.calls[0]?.answer.toString(), 'frame')
  t.same(
    turn.calls[0]?.steps.map(({ type }) => type),
    ['sent', 'head', 'chunk', 'end']
  )
})

/** What was done to a capture, and what is said of that. */
const HARM: Readonly<Record<string, readonly [harm: (folder: string) => void, said: RegExp]>> = {
  'an answer that was cut': [(f) => truncateSync(join(f, 'upstream-answer-1'), 3), /truncated/],
  'a client answer that was cut': [(f) => truncateSync(join(f, 'client-answer'), 1), /truncated/],
  'half a timeline': [(f) => truncateSync(join(f, 'timeline.jsonl'), 200), /truncated/],
  'a file that is missing': [
    (f) => rmSync(join(f, 'client-request')),
    /client-request: it is missing/
  ],
  'no facts': [(f) => rmSync(join(f, 'capture.json')), /capture\.json: it is missing/],
  'half the facts': [
    (f) => truncateSync(join(f, 'capture.json'), 50),
    /not a capture of this program/
  ],
  'a file that is a link': [
    (f) => {
      rmSync(join(f, 'client-request'))
      symlinkSync('/etc/hostname', join(f, 'client-request'))
    },
    /client-request: it is a symbolic link/
  ],
  'facts that are a link': [
    (f) => {
      renameSync(join(f, 'capture.json'), join(f, 'other.json'))
      symlinkSync('other.json', join(f, 'capture.json'))
    },
    /capture\.json: it is a symbolic link/
  ],
  'a device': [
    (f) => {
      rmSync(join(f, 'upstream-answer-1'))
      symlinkSync('/dev/zero', join(f, 'upstream-answer-1'))
    },
    /it is a symbolic link/
  ],
  'a pipe': [
    (f) => {
      rmSync(join(f, 'upstream-answer-1'))
      execFileSync('mkfifo', [join(f, 'upstream-answer-1')])
    },
    /not a plain file/
  ],
  'a folder for a file': [
    (f) => {
      rmSync(join(f, 'client-request'))
      mkdirSync(join(f, 'client-request'))
    },
    /not a plain file/
  ],
  'a huge file': [
    (f) => truncateSync(join(f, 'upstream-answer-1'), 300 * 1024 * 1024),
    /too large for a file of a capture/
  ],
  'a newer version': [
    (f) => writeFacts(f, { ...FACTS, format: 2, version: '9.9.9' }),
    /newer version \(9\.9\.9\)/
  ],
  'facts of something else': [
    (f) => writeFacts(f, { format: 1, name: 'x' }),
    /not a capture of this program/
  ],
  'facts of another kind': [
    (f) => writeFacts(f, { ...FACTS, calls: '../../etc' }),
    /not a capture/
  ],
  'a method that opens a tunnel': [
    (f) => writeFacts(f, { ...FACTS, request: { ...FACTS.request, method: 'CONNECT' } }),
    /not a capture/
  ],
  'a pause without end': [
    (f) => writeFileSync(join(f, 'timeline.jsonl'), `${JSON.stringify({ ...CALL, at: 1e15 })}\n`),
    /Line 1 of timeline/
  ],
  'too many calls': [(f) => writeFacts(f, { ...FACTS, calls: 1e9 }), /not a capture/],
  'more calls than there are': [(f) => writeFacts(f, { ...FACTS, calls: 3 }), /truncated/],
  'a call of a request that is not there': [
    (f) => writeFacts(f, { ...FACTS, requests: 0 }),
    /truncated/
  ],
  'one that was cut off': [
    (f) => writeFacts(f, { ...FACTS, cut: 'it is too large' }),
    /was cut off, because it is too large/
  ],
  'requests that are too large together': [
    (f) => {
      for (let n = 1; n <= 5; n++) {
        writeFileSync(join(f, `upstream-request-${n}`), '', { mode: 0o600 })
        truncateSync(join(f, `upstream-request-${n}`), 200 * 1024 * 1024)
      }
      writeFacts(f, { ...FACTS, requests: 5 })
    },
    /upstream-request-3: it is too large for a file/
  ],
  'a strange line': [
    (f) => writeFileSync(join(f, 'timeline.jsonl'), '{"type":"__proto__"}\n'),
    /Line 1 of timeline\.jsonl/
  ],
  'a name of a path in a line': [
    (f) =>
      writeFileSync(join(f, 'timeline.jsonl'), `${JSON.stringify({ ...CALL, kind: '../x' })}\n`),
    /Line 1 of timeline\.jsonl/
  ]
}

function writeFacts(folder: string, facts: object): void {
  writeFileSync(join(folder, 'capture.json'), JSON.stringify(facts))
}

for (const [name, [harm, said]] of Object.entries(HARM)) {
  t.test(name, async (t) => {
    const folder = captureIn(t)
    harm(folder)
    t.match(await refusalOf(folder), said)
  })
}

t.test('what is no folder of a capture', async (t) => {
  const folder = captureIn(t)
  t.match(await refusalOf(join(folder, 'capture.json')), /is not a folder/)
  t.match(await refusalOf(join(folder, 'none')), /cannot be read \(ENOENT\)/)
  const link = join(folder, '..', 'link')
  symlinkSync(folder, link)
  t.match(await refusalOf(link), /is a symbolic link\. Give the folder itself/)
  const open = `${folder}.open`
  renameSync(folder, open)
  rmSync(join(open, 'capture.json'))
  t.match(await refusalOf(open), /is incomplete/)
})

t.test('other files are not looked at', async (t) => {
  const folder = captureIn(t)
  symlinkSync('/etc/passwd', join(folder, 'upstream-request-2'))
  linkSync(join(folder, 'client-request'), join(folder, 'more'))
  t.equal(await refusalOf(folder), 'read')
  t.notMatch(readFileSync(join(folder, 'capture.json'), 'utf8'), /passwd/)
})
