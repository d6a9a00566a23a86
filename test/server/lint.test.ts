import t, { type Test } from 'tap'
import type { LintReport } from '../../src/dialects/lint/lint-request.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { FakePrimary } from '../helper/fake-primary.ts'

t.setTimeout(600_000) // a thread leaves the CPU to all others, on a machine that may be busy

const key = { authorization: 'Bearer good-key' }
/** Little, so that a few bodies would fill what is not given back. */
const BODY_BYTES = 2 ** 21
const chat = { model: 'auto', messages: [{ role: 'user', content: 'hi' }] }

async function setUp(t: Test) {
  const upstream = await CountingUpstream.start(t, (_request, response) => response.end())
  const primary = await FakePrimary.start(t, upstream.url, {
    bodyBytes: BODY_BYTES,
    env: { TRANSFORM_TIMEOUT: '300' }
  })
  const lint = (body: unknown, query = '', headers: Record<string, string> = key) =>
    fetch(`${primary.url}/v1/lint${query}`, {
      method: 'POST',
      headers,
      body: typeof body === 'string' ? body : JSON.stringify(body)
    })
  const reportOf = async (body: unknown, query = '') => {
    const response = await lint(body, query)
    return { status: response.status, ...((await response.json()) as LintReport) }
  }
  return { upstream, primary, lint, reportOf }
}

t.test('POST /v1/lint', async (t) => {
  const { upstream, primary, lint, reportOf } = await setUp(t)

  t.test('has nothing to say about a request that is right', async (t) => {
    t.same(await reportOf(chat), { status: 200, ok: true, dialect: 'openai-chat', findings: [] })
  })

  t.test('names rule, place, what becomes of it and how to fix it', async (t) => {
    const report = await reportOf({
      ...chat,
      tools: [{ type: 'function', function: { name: 'a.b', description: 'A' } }]
    })
    t.same(report, {
      status: 200,
      ok: true,
      dialect: 'openai-chat',
      findings: [
        {
          rule: 'tool-name',
          severity: 'repaired',
          pointer: '/tools/0/function',
          message: 'A tool name was shortened or cleaned; the answer has the original again.',
          fix: 'Choose such a name.',
          code: 'tool-name-changed'
        }
      ]
    })
  })

  t.test('tells the dialect by shape, or is told', async (t) => {
    const input = { model: 'auto', input: 'hi' }
    t.match(await reportOf(input), { ok: true, dialect: 'openai-responses' })
    t.match(await reportOf({ ...chat, system: 'x' }), { ok: true, dialect: 'anthropic-messages' })
    t.match(await reportOf(chat, '?dialect=anthropic-messages'), { dialect: 'anthropic-messages' })
    t.match(await reportOf(chat, '?dialect=openai-responses'), { ok: false })
    const response = await lint(chat, '?dialect=klingon')
    t.equal(response.status, 400)
    t.match(await response.json(), { error: { message: /dialect/, param: 'dialect' } })
  })

  t.test('reports what is no JSON', async (t) => {
    t.match(await reportOf('{"model":'), {
      status: 200,
      ok: false,
      dialect: 'unknown',
      findings: [{ rule: 'request-shape', severity: 'refused', pointer: '' }]
    })
  })

  t.test('finds all refusals of a large body, in a thread', async (t) => {
    const parts = Array.from({ length: 300 }, () => ({ type: 'text', text: 'x'.repeat(1000) }))
    const content = [...parts, { type: 'input_audio' }, { type: 'audio' }]
    const report = await reportOf({
      ...chat,
      max_tokens: -1,
      messages: [{ role: 'user', content }]
    })
    t.match(
      report.findings.map(({ pointer, severity }) => [severity, pointer]),
      [
        ['refused', '/max_tokens'],
        ['refused', '/messages/0/content/300'],
        ['refused', '/messages/0/content/301']
      ]
    )
  })

  t.test('needs a key like any route', async (t) => {
    t.equal((await lint(chat, '', {})).status, 401)
    t.equal((await fetch(`${primary.url}/v1/lint`, { headers: key })).status, 405)
  })

  t.test('gives back what it held, and asks nobody', async (t) => {
    const large = { ...chat, messages: [{ role: 'user', content: 'x'.repeat(200_000) }] }
    for (let sentBytes = 0; sentBytes < BODY_BYTES; sentBytes += 200_000)
      t.equal((await reportOf(large)).status, 200)
    t.equal(upstream.sockets.length, 0)
  })
})
