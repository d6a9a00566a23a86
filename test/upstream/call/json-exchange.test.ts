import t from 'tap'
import { exchangeJson } from '../../../src/upstream/call/json-exchange.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { failingConcat } from '../../helper/failing-memory.ts'
import { connectionPool } from '../../helper/recorded-exchange.ts'

function request(url: URL) {
  return { method: 'POST' as const, url: url.href, headers: {}, body: '{}', timeoutMs: 5000 }
}

t.test('exchangeJson()', async (t) => {
  t.test('gives any answer and settles once', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => {
      response.writeHead(500, { 'x-a': 'b' }).end('{"message":"no"}')
    })
    const pool = connectionPool(t)
    let settled = 0
    let sent = 0
    const answer = await exchangeJson({
      pool,
      request: request(upstream.url),
      signal: new AbortController().signal,
      onSent: () => void sent++,
      permit: { release: () => void settled++ }
    })
    t.match(answer, { status: 500, headers: { 'x-a': 'b' }, text: '{"message":"no"}' })
    await new Promise(setImmediate)
    t.same([sent, settled], [1, 1])
    t.match(pool.stats(), { idle: 1, busy: 0 })
  })

  t.test('reads no more than 256 KiB, or than the request says', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => {
      response.end('x'.repeat(5 * 1024 * 1024))
    })
    for (const maxBytes of [undefined, 100_000, 1_000_000]) {
      const { text } = await exchangeJson({
        pool: connectionPool(t),
        request: { ...request(upstream.url), ...(maxBytes !== undefined && { maxBytes }) },
        signal: new AbortController().signal,
        permit: { release: () => {} }
      })
      t.ok(text.length <= (maxBytes ?? 256 * 1024), `${text.length} of ${maxBytes}`)
    }
  })

  t.test('fails where there is no memory for the answer', async (t) => {
    using failing = new DisposableStack()
    const upstream = await CountingUpstream.start(t, (_request, response) => {
      response.end('{}')
      failing.use(failingConcat())
    })
    const call = exchangeJson({
      pool: connectionPool(t),
      request: request(upstream.url),
      signal: new AbortController().signal,
      permit: { release: () => {} }
    })
    await t.rejects(call)
  })

  t.test('waits for no end of an answer that is too long', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => {
      const more = (): boolean => response.write(Buffer.alloc(1024 * 1024, 'x'))
      response.on('drain', more)
      more()
    })
    const settled = Promise.withResolvers<void>()
    const pool = connectionPool(t)
    const { status, text } = await exchangeJson({
      pool,
      request: request(upstream.url),
      signal: AbortSignal.timeout(20_000),
      permit: { release: settled.resolve }
    })
    t.equal(status, 200)
    t.ok(text.length > 0 && text.length <= 256 * 1024)
    await settled.promise
    t.match(pool.stats(), { idle: 0, busy: 0 })
  })

  t.test('ends with the signal, and the connection goes', async (t) => {
    const abort = new AbortController()
    const upstream = await CountingUpstream.start(t, () => abort.abort(new Error('gone')))
    const pool = connectionPool(t)
    const settled = Promise.withResolvers<void>()
    const call = exchangeJson({
      pool,
      request: request(upstream.url),
      signal: abort.signal,
      permit: { release: settled.resolve }
    })
    await t.rejects(call)
    await settled.promise
    t.match(pool.stats(), { idle: 0, busy: 0 })
  })

  t.test('tells the kind of a failure', async (t) => {
    const upstream = await CountingUpstream.start(t, (request) => request.socket.resetAndDestroy())
    const call = exchangeJson({
      pool: connectionPool(t),
      request: request(upstream.url),
      signal: new AbortController().signal,
      permit: { release: () => {} }
    })
    await t.rejects(call, { code: 'GW_UPSTREAM_RESET' })
  })
})
