import { stripVTControlCharacters } from 'node:util'
import t from 'tap'
import { createLogger } from '../../src/observe/logger.ts'
import { PrettyLog } from '../../src/observe/pretty-log.ts'

/** A logger whose lines are shown to people. */
function rig(isColoured = false) {
  const lines: string[] = []
  const stream = { write: (line: string) => void lines.push(line), lost: 3 }
  const log = createLogger('trace', { worker: 2 }, new PrettyLog(stream, isColoured))
  return { log, lines, text: () => lines.join('') }
}

const REQUEST = {
  event: 'request.completed',
  request_id: 'req_1',
  method: 'POST',
  route: '/v1/messages',
  status: 200,
  model_requested: 'claude-sonnet-4.6',
  phase_ms: { queue: 0.1, connect: 12, ttfb: 800, stream: 400, total: 1240 },
  input_tokens: 1500,
  output_tokens: 300
}

t.test('PrettyLog', (t) => {
  t.test('says when, how bad, which process, what, and the facts', async (t) => {
    const { log, text } = rig()
    log.warn({ code: 'GW_X', attempt: 2, detail: 'two words' }, 'retrying upstream')
    t.match(
      text(),
      /^\d\d:\d\d:\d\d\.\d{3} WARN {2}2 {6} {1}retrying upstream {2}code=GW_X attempt=2 detail=two words\n$/
    )
  })

  t.test('begins a request’s line with what most people look for', async (t) => {
    const { log, text } = rig()
    log.info(REQUEST, 'request completed')
    t.match(
      text(),
      'POST /v1/messages 200 claude-sonnet-4.6 in 1.24 s, first byte 0.84 s 1500→300 tokens  request_id=req_1\n'
    )
    t.notMatch(text(), 'event')
  })

  t.test('has colours where they are wanted, and says the same with and without', async (t) => {
    const shown = rig()
    const coloured = rig(true)
    for (const { log } of [shown, coloured]) {
      log.info({ ...REQUEST, status: 502 }, 'request failed')
      log.error({ err: new Error('it broke') }, 'unexpected error')
    }
    t.match(coloured.text(), '\u001b[31m502\u001b[0m \u001b[36mclaude-sonnet-4.6\u001b[0m')
    const [, ...rest] = stripVTControlCharacters(coloured.text()).split(' ')
    const [, ...plain] = shown.text().split(' ')
    t.same(
      rest.map((word) => word.replace(/[\d:.]{12}/, '')),
      plain.map((word) => word.replace(/[\d:.]{12}/, ''))
    )
    t.notMatch(shown.text(), '\u001b')
    t.match(shown.text(), 'it broke')
    t.match(shown.text(), /\n {6}Error: it broke\n {6} {4}at /, 'and where')
  })

  t.test('gives tables lines of their own', async (t) => {
    const { log, text } = rig()
    log.info({ version: '1', settings: { WORKERS: '4', PROXY_API_KEY: 'secret' } }, 'starting')
    t.match(
      text(),
      /starting {2}version=1\n {6}settings\n {8}WORKERS +4\n {8}PROXY_API_KEY +\[redacted\]\n$/
    )
  })

  t.test('lets no client move the cursor, colour the screen or end the line', async (t) => {
    const { log, lines } = rig()
    const hostile = 'a\u001b[2J\r\nINFO all is well\u009b31m\u202e'
    log.info(
      { ...REQUEST, model_requested: hostile, [hostile]: { [hostile]: 1, b: hostile } },
      hostile
    )
    const shown = lines.join('')
    // oxlint-disable-next-line no-control-regex -- these are what must not be there
    t.notMatch(shown, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/)
    t.equal(lines.length, 1)
    t.notMatch(shown, /^INFO all is well/m)
  })

  t.test('keeps lines short, and shows what is no line of this log as it is', async (t) => {
    const { log, lines } = rig(true)
    log.info({ list: Array.from({ length: 20 }, () => '€'.repeat(500)) }, 'long')
    t.ok(Buffer.byteLength(lines[0] ?? '') <= 4096)
    t.match(lines[0], /\n$/)
    const written: string[] = []
    new PrettyLog({ write: (line) => void written.push(line) }, true).write('not JSON\n')
    t.same(written, ['not JSON\n'])
  })

  t.test('counts what the stream below has lost', async (t) => {
    const told: ((lines: number) => void)[] = []
    const stream = {
      write: () => {},
      lost: 3,
      onLoss: (tell: (lines: number) => void) => void told.push(tell)
    }
    const pretty = new PrettyLog(stream, false)
    t.equal(pretty.lost, 3)
    pretty.onLoss(() => {})
    t.equal(told.length, 1)
    t.equal(new PrettyLog({ write: () => {} }, false).lost, 0)
  })
  t.end()
})
