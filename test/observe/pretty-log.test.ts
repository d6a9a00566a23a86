import { stripVTControlCharacters } from 'node:util'
import t, { type Test } from 'tap'
import { createLogger } from '../../src/observe/logger.ts'
import { PrettyLog, prettyLog, type PrettyOptions } from '../../src/observe/pretty-log.ts'
import { GatewayError } from '../../src/shared/errors.ts'

/** A logger whose lines are shown to people. */
function rig(t: Test, options: Partial<PrettyOptions> = {}) {
  const written: string[] = []
  const stream = { write: (text: string) => void written.push(text) }
  const look = { isColoured: false, isVerbose: false, columns: 100, ...options }
  const pretty = new PrettyLog(stream, look)
  t.teardown(() => pretty.flush())
  const log = createLogger('trace', { worker: 2 }, pretty)
  const rows = (): readonly string[] => written.join('').split('\n').slice(0, -1)
  return { log, pretty, written, rows }
}

const REQUEST = {
  event: 'request.completed',
  request_id: 'req_0123456789abcdef',
  method: 'POST',
  route: '/v1/messages',
  status: 200,
  key: 'anna',
  client: 'claude-code',
  account_hash: '608c5951ca67',
  model_requested: 'claude-sonnet-5.5',
  model_upstream: 'claude-sonnet-5.5',
  phase_ms: { queue: 0.1, connect: 12, ttfb: 48, stream: 450, total: 510 },
  input_tokens: 6,
  output_tokens: 34,
  credits: 0.004969
}

const RESET = {
  ...REQUEST,
  status: 502,
  input_tokens: undefined,
  output_tokens: undefined,
  credits: undefined,
  error: { type: 'upstream', code: 'GW_UPSTREAM_RESET', phase: 'answering' },
  code: 'GW_UPSTREAM_RESET',
  reason:
    'The upstream closed the connection before its answer was complete (ECONNRESET, while reading the answer). If it happens often, a proxy, VPN or firewall on the way may be cutting connections.',
  detail: 'reset ECONNRESET http://127.0.0.1:1',
  err: Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' })
}

t.test('PrettyLog', (t) => {
  t.test('a request is one row', async (t) => {
    const { log, rows } = rig(t)
    log.info(REQUEST, 'request completed')
    t.equal(rows().length, 1)
    t.match(
      rows()[0],
      /^\d\d:\d\d:\d\d ✓ 200 claude-sonnet-5\.5 {2}0\.51 s \(first 0\.06\) +6→34 tok 0\.005 cr anna · claude-code$/
    )
  })

  t.test('its columns stand below each other, and no row is wider than the terminal', async (t) => {
    for (const columns of [60, 80, 100]) {
      const { log, rows } = rig(t, { columns })
      log.info(REQUEST, 'request completed')
      log.info(
        {
          ...REQUEST,
          model_requested: 'auto',
          phase_ms: { stream: 60_000, ttfb: 1, total: 123_456 },
          input_tokens: 124_000,
          output_tokens: 12_345,
          credits: 12.34
        },
        'request completed'
      )
      log.warn(RESET, 'request failed')
      log.info({ ...REQUEST, client: 'x'.repeat(80) }, 'request completed')
      for (const row of rows()) t.ok(row.length <= columns, row)
      if (columns === 60) continue // a row that is too long gives up its columns
      const [first = '', second = '', third = ''] = rows()
      t.equal(second.indexOf('anna'), first.indexOf('anna'))
      t.equal(third.indexOf('anna'), first.indexOf('anna'))
      t.match(first, /anna · claude-code$/, 'the client is named whole')
      t.match(second, /123 s .*124k→12k.* 12\.3 cr anna/)
    }
  })

  t.test(
    'a name that is too long for its column takes the room of facts that are missing',
    async (t) => {
      const { log, rows } = rig(t)
      const { phase_ms, key, client } = REQUEST
      const refused = { method: 'POST', status: 400, phase_ms, key, client }
      for (const path of ['/v1/messages', '/v1/chat/completions', '/v1/messages/count_tokens'])
        log.info({ ...refused, path }, 'request refused')
      log.info(REQUEST, 'request completed')
      const columns = rows().map((row) => row.indexOf('anna'))
      t.ok((columns[0] ?? 0) > 0)
      t.strictSame(new Set(columns).size, 1, rows().join('\n'))
    }
  )

  t.test('says which model answered for another', async (t) => {
    const { log, rows } = rig(t)
    log.info(
      { ...REQUEST, model_requested: 'claude-sonet-4.5', repairs: ['model-substituted'] },
      'request completed'
    )
    t.match(rows()[0], '200 claude-sonnet-5.5 (asked claude-sonet-4.5) 0.51 s')
  })

  t.test('a failure says below what happened, what to do, and its id; no stack', async (t) => {
    const { log, rows } = rig(t)
    log.warn({ ...RESET, attempt: 3 }, 'request failed')
    const [row = '', ...more] = rows()
    t.match(row, /✗ 502 claude-sonnet-5\.5 +0\.51 s +anna · claude-code$/)
    t.match(
      more.map((one) => one.trim()).join(' '),
      /^The upstream closed .* cutting connections\. GW_UPSTREAM_RESET · 3 tries · req_01234567$/
    )
    t.notMatch(rows().join(''), /\bat |stack|phase|127\.0\.0\.1/)
  })

  t.test('a refusal, a client that left and a cut tool call look different', async (t) => {
    const { log, rows } = rig(t)
    log.info({ ...REQUEST, status: 400, code: 'GW_BODY_INVALID', reason: 'No.' }, 'request refused')
    log.info(
      { ...REQUEST, status: 499, code: 'GW_CLIENT_CLOSED', reason: 'Left.' },
      'request refused'
    )
    log.warn({ ...REQUEST, lost_calls: 1 }, 'tool call lost')
    log.info(
      {
        request_id: 'req_2',
        method: 'GET',
        path: '/nowhere',
        status: 404,
        code: 'GW_ROUTE_UNKNOWN'
      },
      'request refused'
    )
    const text = rows().join('\n')
    t.match(text, /! 400 .*\n +No\. GW_BODY_INVALID · req_/)
    t.match(text, /– 499 /)
    t.match(text, /! 200 .*\n +A tool call was cut: its arguments did not arrive whole\. /)
    t.match(text, /! 404 GET \/nowhere/)
  })

  t.test('an answer that broke off is cut, whatever status had been sent', async (t) => {
    const { log, rows } = rig(t)
    for (let i = 0; i < 4; i++) log.warn({ ...RESET, status: 200 }, 'request failed')
    t.match(rows()[0], /✗ cut claude-sonnet-5\.5 /)
    t.match(rows().join(' '), / GW_UPSTREAM_RESET · cut after status 200 · req_/)
    t.notMatch(rows().join('\n'), /✗ 200/)
  })

  t.test('failures of one kind are counted after the third', async (t) => {
    const { log, pretty, rows } = rig(t)
    for (let times = 10; times < 24; times++)
      log.warn({ ...RESET, request_id: `req_${times}0123456789` }, 'request failed')
    log.warn({ ...RESET, code: 'GW_UPSTREAM_CONNECT' }, 'request failed')
    for (let times = 0; times < 3; times++) log.info(REQUEST, 'request completed')
    const shown = rows()
    t.equal(shown.filter((row) => row.includes('✗ 502')).length, 3 + 1)
    t.equal(shown.filter((row) => row.includes('The upstream closed')).length, 2, 'once a kind')
    for (const id of ['req_1001', 'req_1101', 'req_1201'])
      t.equal(shown.filter((row) => row.includes(`GW_UPSTREAM_RESET · ${id}`)).length, 1, id)
    t.equal(shown.filter((row) => row.includes('✓')).length, 3, 'what went well is all there')
    pretty.flush()
    const [count = '', ...last] = rows().slice(shown.length)
    t.match(count, /^\d\d:\d\d:\d\d ✗ 502 GW_UPSTREAM_RESET × 14 in a minute$/)
    t.match(
      last.map((row) => row.trim()).join(' '),
      /^The upstream closed the connection .* last: req_2301/,
      'with the reason and the last one'
    )
    const before = rows().length
    log.warn(RESET, 'request failed')
    t.ok(rows().length > before + 1, 'the next minute begins with the reason')
  })

  t.test('another reason, or the mistake of another key, is told, too', async (t) => {
    const { log, pretty, rows } = rig(t)
    const refused = { ...REQUEST, status: 404, code: 'GW_MODEL_UNKNOWN' }
    for (let times = 0; times < 5; times++) {
      log.info({ ...refused, reason: `No model "a", ${times} near.` }, 'request refused')
      log.info({ ...refused, reason: 'No model "b".' }, 'request refused')
      log.info({ ...refused, key: 'bob', reason: 'No model "b".' }, 'request refused')
      log.warn({ ...RESET, key: `key${times}` }, 'request failed')
    }
    const reasons = rows().filter((row) => row.includes('No model'))
    t.same(
      reasons.map((row) => row.trim().slice(0, 13)),
      ['No model "a",', 'No model "b".', 'No model "b".']
    )
    const shown = rows().length
    pretty.flush()
    t.same(
      rows()
        .slice(shown, -3)
        .map((row) => row.slice(9)),
      [
        '! 404 GW_MODEL_UNKNOWN anna × 5 in a minute',
        '  No model "a", 4 near. last: req_01234567',
        '! 404 GW_MODEL_UNKNOWN anna × 5 in a minute',
        '  No model "b". last: req_01234567',
        '! 404 GW_MODEL_UNKNOWN bob × 5 in a minute',
        '  No model "b". last: req_01234567',
        '✗ 502 GW_UPSTREAM_RESET × 5 in a minute'
      ]
    )
  })

  t.test('a client cannot fill the log by mistakes that differ', async (t) => {
    const { log, pretty, rows } = rig(t)
    for (let times = 0; times < 1000; times++) {
      const word = String.fromCodePoint(0x4e00 + times)
      const reason = `No model "${word}".`
      log.info({ ...REQUEST, status: 404, code: 'GW_MODEL_UNKNOWN', reason }, 'request refused')
    }
    t.ok(rows().length <= 64 * 2 + 3 * 2, `${rows().length} rows`)
    pretty.flush()
    t.match(rows().at(-2), /! 404 GW_MODEL_UNKNOWN × 936 in a minute$/)
    t.match(rows().at(-1), / No model "\p{Script=Han}"\. last: req_/u)
  })

  t.test('no name pushes the key out of sight, and the id of a failure is whole', async (t) => {
    for (const columns of [60, 80, 100]) {
      const { log, rows } = rig(t, { columns })
      for (const model of [
        'x'.repeat(300),
        '模型'.repeat(100),
        '🙂'.repeat(100),
        'a\u0301'.repeat(300)
      ])
        log.info({ ...REQUEST, model_requested: model }, 'request completed')
      t.equal(rows().filter((row) => row.includes('… 0.51 s') && row.includes('anna')).length, 4)
      log.info({ ...REQUEST, key: '日本語の鍵', status: 404 }, 'request completed')
      const reason = `${'模型🙂'.repeat(40)} ${'word '.repeat(70)}`
      log.warn({ ...RESET, reason }, 'request failed')
      t.match(rows().at(-1), / GW_UPSTREAM_RESET · req_01234567$/)
      log.warn({ path: `/home/${'folder/'.repeat(30)}end` }, 'cannot be read')
      t.match(rows().at(-1), /\/end$/, 'a path is not cut')
      for (const row of rows()) {
        const wide = row.match(/[模型日本語鍵の🙂]/gu)?.length ?? 0
        const shown = row.replaceAll(/[\u0301\ude42]/g, '').length + wide
        t.ok(shown <= columns, `${shown} columns: ${row}`)
      }
    }
  })

  t.test('counts after a minute by itself', async (t) => {
    const { log, rows } = rig(t)
    const { setTimeout: real } = globalThis
    let onMinute: (() => void) | null = null
    t.intercept(globalThis, 'setTimeout', {
      value: (then: () => void, ms: number) => {
        t.equal(ms, 60_000)
        onMinute = then
        return real(() => {}, 0)
      }
    })
    for (let times = 0; times < 5; times++) log.warn(RESET, 'request failed')
    ;(onMinute as unknown as () => void)()
    t.match(rows().join('\n'), '× 5 in a minute')
  })

  t.test('other lines say what happened first; ids are left out', async (t) => {
    const { log, rows } = rig(t)
    const until = new Date(Date.now() + 60_000).toISOString()
    for (let times = 0; times < 3; times++)
      log.warn({ code: 'GW_X', reason: 'Too many.', until }, 'upstream asked for a pause')
    log.error({ err: new GatewayError('GW_UPSTREAM_CONNECT', undefined) }, 'not signed in')
    log.info({ workerPid: 7, delayMs: 1229.7435001, list: ['a', 'b'] }, 'something')
    t.equal(rows().length, 3)
    t.match(
      rows()[0],
      /^[\d:]{8} ! upstream asked for a pause: Too many\. code=GW_X until=\d\d:\d\d:\d\d$/
    )
    t.match(rows()[1], /✗ not signed in: .*\(GW_UPSTREAM_CONNECT\)$/)
    t.match(rows()[2], /· something delayMs=1229\.744 list=a, b$/)
    log.info({ until: '2060-01-31T12:00:18.694Z' }, 'something')
    t.match(rows()[3], /until=2060-0[12]-\d\d \d\d:\d\d:18$/, 'another day has its date')
  })

  t.test('a change of a key is one row', async (t) => {
    const { log, rows } = rig(t)
    const after = { id: 'k_1', name: 'anna', credits: { limit: 200, period: 'month' } }
    log.info(
      { action: 'key.add', subject: 'anna', who: 'operator', after },
      'changed by an operator'
    )
    t.match(rows(), [/ · changed by an operator action=key\.add subject=anna who=operator$/])
    t.equal(rows().length, 1)
  })

  t.test('a bug is shown with its place', async (t) => {
    const { log, rows } = rig(t)
    log.error(
      { ...REQUEST, status: 500, code: 'GW_INTERNAL', err: new Error('it broke') },
      'request failed'
    )
    log.error({ err: new Error('it broke') }, 'unexpected error')
    t.equal(rows().filter((row) => /^ +at .*pretty-log\.test/.test(row)).length, 2)
    t.match(rows().join('\n'), /✗ unexpected error: it broke\n/)
    const err = {
      message: 'it broke',
      stack: `Error: it broke\n    at f (/a${'/folder'.repeat(20)}/x.js:1:2)`
    }
    log.error({ err }, 'deep')
    t.match(rows().join('\n'), ' at f (…/folder/folder/x.js:1:2)')
  })

  t.test('a start is few rows; all of it with LOG_LEVEL=debug', async (t) => {
    const start = (log: ReturnType<typeof rig>['log']): void => {
      log.warn('NO CREDENTIALS ARE CONFIGURED: answers come from the built-in simulator')
      const shares = { memory: '512 MB', workers: 2 }
      log.info({ version: '1.0.0', node: '26.10.0', state: '/s', shares }, 'gateway starting')
      const settings = { WORKERS: '2', PROXY_API_KEY: '***' }
      log.info({ settings }, 'settings that differ from the defaults')
      log.info('HTTP connection pool configured: max_connections=300')
      for (const state of ['starting', 'ready'])
        log.info({ workerId: 1, state }, 'worker changed state')
      const open = {
        dashboard: 'http://127.0.0.1:8000/',
        'base URL, OpenAI': 'http://127.0.0.1:8000/v1',
        'base URL, Anthropic': 'http://127.0.0.1:8000'
      }
      log.info({ url: 'http://0.0.0.0:8000', open }, 'gateway ready')
    }
    const short = rig(t)
    start(short.log)
    t.same(
      short.rows().map((row) => row.replace(/^\d\d:\d\d:\d\d/, '00:00:00')),
      [
        '00:00:00 · kiro-gateway 1.0.0 · Node 26.10.0 · 2 workers · 512 MB of memory',
        '           WORKERS=2 PROXY_API_KEY=[redacted]',
        '00:00:00 ✓ ready at http://127.0.0.1:8000 (dashboard; API at /docs), listening on http://0.0.0.0:8000',
        '           OpenAI base URL    http://127.0.0.1:8000/v1',
        '           Anthropic base URL http://127.0.0.1:8000'
      ].map((row) => (row.length > 100 ? `${row.slice(0, 99)}…` : row))
    )
    const verbose = rig(t, { isVerbose: true })
    start(verbose.log)
    t.match(verbose.rows().join('\n'), /NO CREDENTIALS[^]*max_connections=300[^]*state=ready/)
    verbose.log.info(REQUEST, 'request completed')
    t.match(verbose.rows().join('\n'), /account_hash=608c5951ca67/)
  })

  t.test('has colours where they are wanted, and says the same with and without', async (t) => {
    const plain = rig(t)
    const coloured = rig(t, { isColoured: true })
    for (const { log } of [plain, coloured]) {
      log.warn(RESET, 'request failed')
      log.error({ err: new Error('it broke') }, 'unexpected error')
    }
    t.match(coloured.written.join(''), '\u001b[31m502\u001b[0m')
    t.same(coloured.rows().map(stripVTControlCharacters), plain.rows())
    t.notMatch(plain.written.join(''), '\u001b')
  })

  t.test('lets no client move the cursor, colour the screen or end the line', async (t) => {
    const { log, written } = rig(t, { isVerbose: true })
    const hostile = 'a\u001b[2J\r\nINFO all is well\u009b31m\u202e\u200f\u061c\u200b\u2028\u{e0041}'
    log.info(
      {
        ...REQUEST,
        model_requested: hostile,
        client: hostile,
        reason: hostile,
        code: hostile,
        [hostile]: { [hostile]: 1, b: hostile }
      },
      hostile
    )
    log.info({ settings: { [hostile]: hostile } }, hostile)
    const shown = written.join('')
    // oxlint-disable-next-line no-control-regex -- these are what must not be there
    t.notMatch(shown, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/)
    t.notMatch(shown, /[^\P{C}\n]|[\u2028\u2029]/u)
    t.notMatch(shown, /^INFO all is well/m)
  })

  t.test('keeps lines short, and shows what is no line of this log as it is', async (t) => {
    const { log, written, pretty } = rig(t, { isColoured: true, isVerbose: true })
    log.info({ list: Array.from({ length: 20 }, () => '€ '.repeat(250)) }, 'long')
    t.ok(Buffer.byteLength(written[0] ?? '') <= 4096)
    t.match(written[0], /\n$/)
    pretty.write('not JSON\n')
    t.equal(written.at(-1), 'not JSON\n')
  })

  t.test('takes the width of the terminal, between 60 and 100 columns', async (t) => {
    for (const [terminalColumns, most] of [
      [0, 100],
      [40, 60],
      [80, 80],
      [200, 100]
    ] as const) {
      const written: string[] = []
      const stream = { write: (text: string) => void written.push(text) }
      const pretty = prettyLog(stream, { isColoured: false, isVerbose: false, terminalColumns })
      pretty.write(`${JSON.stringify({ level: 'info', msg: 'word '.repeat(60) })}\n`)
      const longest = Math.max(
        ...written
          .join('')
          .split('\n')
          .map((row) => row.length)
      )
      t.ok(longest <= most && longest > most - 6, `${longest} of ${most}`)
    }
  })

  t.test('counts what the stream below has lost', async (t) => {
    const told: ((lines: number) => void)[] = []
    const look = { isColoured: false, isVerbose: false, columns: 100 }
    const stream = {
      write: () => {},
      lost: 3,
      onLoss: (tell: (lines: number) => void) => void told.push(tell)
    }
    const pretty = new PrettyLog(stream, look)
    t.equal(pretty.lost, 3)
    pretty.onLoss(() => {})
    t.equal(told.length, 1)
    t.equal(new PrettyLog({ write: () => {} }, look).lost, 0)
  })
  t.end()
})
