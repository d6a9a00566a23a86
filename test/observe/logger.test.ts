import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import type { LevelWithSilent } from 'pino'
import t from 'tap'
import { createLogger } from '../../src/observe/logger.ts'
import { asGatewayError, GatewayError } from '../../src/shared/errors.ts'

interface Line {
  readonly [name: string]: unknown
}

/** A logger and the lines that it wrote. */
function recording(level: LevelWithSilent = 'info', bindings: Record<string, unknown> = {}) {
  const lines: string[] = []
  const logger = createLogger(level, bindings, { write: (line) => void lines.push(line) })
  const read = () => lines.map((line) => JSON.parse(line) as Line)
  return { logger, lines, read }
}

function mistake(): TypeError {
  return new TypeError('no such member')
}

const secrets = [
  'ksk_0123456789abcdef',
  'kgw_0123456789abcdef',
  'aoaAAAAAGZ0123456789',
  'aorAAAAAGZ0123456789',
  'eyJhbGciOiJIUzI1NiJ9.e30.sig'
]

t.test('createLogger()', (t) => {
  t.test('writes one JSON line with level, time, process and bindings', async (t) => {
    const { logger, lines, read } = recording('info', { worker: 2 })
    logger.child({ request_id: 'r1' }).info({ status: 200 }, 'request done')
    t.ok(lines[0]?.endsWith('}\n'))
    t.match(read()[0], {
      level: 'info',
      time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
      pid: process.pid,
      worker: 2,
      request_id: 'r1',
      status: 200,
      msg: 'request done'
    })
  })

  t.test('never writes a member twice, which strict parsers refuse', async (t) => {
    const { logger, lines, read } = recording('info', { worker: 'primary' })
    logger.info({ worker: 1, pid: 2, level: 'x', time: 3, msg: 'fact', state: 'ready' }, 'said')
    const names = [...(lines[0] ?? '').matchAll(/"(\w+)":/g)].map(([, name]) => name)
    t.same(names, [...new Set(names)])
    t.match(read()[0], { worker: 'primary', pid: process.pid, level: 'info', msg: 'said' })
    t.match(read()[0], { workerFact: 1, pidFact: 2, msgFact: 'fact', state: 'ready' })
  })

  t.test('changes nothing of what it is told', async (t) => {
    const { logger, lines } = recording()
    const facts = { msg: 'fact', password: 'abc', who: { token: 'def', text: 'sk-12345678901' } }
    const before = structuredClone(facts)
    logger.info(facts, 'said')
    t.same(facts, before)
    t.notMatch(lines[0], /abc|def|sk-1/)
    const hidden = Object.defineProperty({ shown: 1 }, 'msg', { value: 'hidden' })
    logger.info(Object.create({ password: 'inherited' }, { shown: { value: 1, enumerable: true } }))
    logger.info(hidden, 'said')
    logger.child(Object.assign(Object.create(null), { password: 'ghi' })).info('said')
    t.notMatch(lines.join(''), /inherited|hidden|ghi/)
    t.equal(lines.length, 4)
  })

  t.test('leaves out what is below the level', async (t) => {
    const { logger, lines } = recording('warn')
    logger.info('quiet')
    logger.error('loud')
    t.equal(lines.length, 1)
    const silent = recording('silent')
    silent.logger.fatal('nothing')
    t.equal(silent.lines.length, 0)
  })

  t.test('takes secrets out by their name, at any depth and in children', async (t) => {
    const { logger, lines, read } = recording('info', { apiKey: 'plain-1' })
    const child = logger.child({ Authorization: 'plain-2' })
    child.info({
      'x-api-key': 'plain-3',
      headers: { authorization: 'plain-4', Cookie: ['plain-5'] },
      a: { b: [{ refresh_token: 'plain-6', clientSecret: { x: 'plain-7' } }] },
      accessToken: 'plain-8',
      tokens: 12,
      token: 3
    })
    t.notMatch(lines.join(''), 'plain-')
    t.match(read()[0], { apiKey: '[redacted]', tokens: 12, token: 3 })
  })

  t.test('takes secrets out of text', async (t) => {
    const { logger, lines } = recording()
    for (const secret of secrets) {
      logger.info({ note: `sent ${secret} to x`, list: [`Bearer ${secret}`] })
      logger.error(new Error(`refused "Bearer ${secret}"`, { cause: new Error(secret) }))
      logger.error({ err: new GatewayError('GW_INTERNAL', `detail ${secret}`) }, 'failed')
    }
    logger.info({ url: 'http://me:hunter2@proxy:80/' })
    logger.info('Send it as "Authorization: Bearer <key>".')
    t.equal(lines.length, 17)
    t.match(lines[16], 'Bearer <key>', 'how to send one is no secret')
    for (const secret of [...secrets, 'hunter2']) t.notMatch(lines.join(''), secret)
    t.match(lines[0], 'sent [redacted] to x')
  })

  t.test('keeps nothing of a foreign error but what it says', async (t) => {
    const { logger, lines, read } = recording()
    const error = Object.assign(new TypeError('connect failed'), {
      code: 'ECONNREFUSED',
      port: 443,
      request: { headers: { 'x-custom': 'plain-secret' } }
    })
    logger.error({ err: error }, 'call failed')
    t.notMatch(lines[0], 'plain-secret')
    t.match(read()[0], {
      err: { type: 'TypeError', msg: 'connect failed', code: 'ECONNREFUSED', port: 443 }
    })
    t.match(read()[0], { err: { stack: /logger\.test/ } })
  })

  t.test('shows the place in the program for bugs alone', async (t) => {
    const { logger, read } = recording()
    const reset = Object.assign(new Error('read ECONNRESET'), {
      code: 'ECONNRESET',
      syscall: 'read'
    })
    const closed = Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' })
    const upstream = new GatewayError('GW_UPSTREAM_CONNECT', undefined, { cause: reset })
    for (const err of [reset, closed, upstream]) logger.warn({ err }, 'failed')
    logger.error({ err: new GatewayError('GW_INTERNAL') }, 'failed')
    t.same(
      read().map(({ err }) => typeof Reflect.get(Object(err), 'stack')),
      ['undefined', 'undefined', 'undefined', 'string'],
      'what a network or the upstream did has none here'
    )
  })

  t.test('shows the place of a mistake that an error of ours wraps', async (t) => {
    const { logger, read } = recording()
    const reset = Object.assign(new Error('read ECONNRESET'), { syscall: 'read' })
    const misuse = Object.assign(new Error('invalid header'), { code: 'UND_ERR_INVALID_ARG' })
    for (const cause of [mistake(), reset]) logger.error({ err: asGatewayError(cause) }, 'failed')
    logger.error({ err: misuse }, 'failed')
    const [wrapped, network, call] = read().map(({ err }) => err)
    t.match(wrapped, { cause: { stack: /at mistake / } }, 'where it was made')
    t.notOk(Object.hasOwn(Object(wrapped), 'stack'), 'not where it was wrapped')
    t.match(network, { stack: /logger\.test/ })
    t.notMatch(network, { cause: { stack: String } })
    t.match(call, { stack: /logger\.test/ }, 'the network is not what failed')
  })

  t.test('does not repeat what a parser was given', async (t) => {
    const { logger, lines, read } = recording()
    for (const text of ['my secret', '{"a": "my secret" x', '{"a": my secret', '["my secret']) {
      try {
        JSON.parse(text)
      } catch (err) {
        logger.error({ err }, 'unreadable')
        logger.error({ err: new Error('no body', { cause: err }) }, 'unreadable')
      }
    }
    t.equal(lines.length, 8)
    t.notMatch(lines.join(''), 'secret')
    t.match(read()[0], { err: { type: 'SyntaxError', stack: /logger\.test/ } })
  })

  t.test('tells what a gateway error hides from clients, and its causes', async (t) => {
    const { logger, read } = recording()
    const cause = new Error('one', { cause: new Error('two', { cause: new Error('three') }) })
    logger.warn({ err: new GatewayError('GW_POOL_TIMEOUT', '3 waiting', { cause }) }, 'refused')
    t.match(read()[0], {
      err: {
        type: 'PoolTimeout',
        code: 'GW_POOL_TIMEOUT',
        detail: '3 waiting',
        cause: { msg: 'one', cause: { msg: 'two', cause: undefined } }
      }
    })
  })

  t.test('logs odd values without failing', async (t) => {
    const { logger, read } = recording()
    const circular: { self?: unknown } = {}
    circular.self = circular
    const body = Buffer.from('a body')
    logger.info({ circular, body, big: 1n, fn: () => 1, none: null, at: new Date(0) }, 'odd')
    t.match(read()[0], { body: '6 bytes', big: '1', none: null, at: '1970-01-01T00:00:00.000Z' })
    t.notMatch(read()[0], { fn: '' })
  })

  t.test('keeps every line under 4 KiB and valid', async (t) => {
    const { logger, lines, read } = recording()
    const wide = Object.fromEntries(
      Array.from({ length: 200 }, (_, i) => [`f${i}`, 'x'.repeat(600)])
    )
    logger.info({ request_id: 'r1', text: 'x'.repeat(1_000_000) }, 'long field')
    logger.info({ request_id: 'r2', ...wide }, 'many fields')
    logger.info(
      { request_id: 'r3', list: Array.from({ length: 1e4 }, () => '€'.repeat(900)) },
      'list'
    )
    logger.child(wide).info({ request_id: 'r4' }, '€'.repeat(5000))
    t.ok(lines.every((line) => Buffer.byteLength(line) <= 4096))
    t.same(
      read().map(({ request_id }) => request_id),
      ['r1', 'r2', 'r3', 'r4']
    )
    t.ok(read()[0]?.['text'], 'a long text is cut, not dropped')
    t.ok(Number(read()[1]?.['cutBytes']) > 4096)
    t.equal(read()[1]?.['msg'], 'many fields')
  })

  t.test('keeps what is just short enough', async (t) => {
    const { logger, lines, read } = recording()
    for (let length = 400; length <= 512; length++) {
      const fields = Object.fromEntries(
        Array.from({ length: 8 }, (_, i) => [i, 'é'.repeat(length)])
      )
      logger.info(fields)
    }
    const isCut = read().map((line) => 'cutBytes' in line)
    t.equal(isCut.length, 113)
    t.ok(isCut.includes(true), 'some are too long')
    t.ok(lines.every((line) => Buffer.byteLength(line) <= 4096))
    const short = recording()
    short.logger.info({ a: '€'.repeat(500), b: '€'.repeat(500) })
    t.notOk('cutBytes' in (short.read()[0] ?? {}), 'a line between the two bounds is whole')
  })
  t.end()
})

t.test('a logger that is ended by a crash', async (t) => {
  const url = pathToFileURL(join(import.meta.dirname, '../../src/observe/logger.ts')).href
  const script = `
    const { createLogger } = await import(${JSON.stringify(url)})
    const logger = createLogger('info', {})
    for (let i = 0; i < 500; i++) logger.info({ i, pad: 'x'.repeat(500) }, 'line')
    process.kill(process.pid, 'SIGKILL')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')])
  const lines = output.trimEnd().split('\n')
  t.equal(lines.length, 500, 'has written all lines before')
  t.equal((JSON.parse(lines.at(-1) ?? '') as Line)['i'], 499)
})
