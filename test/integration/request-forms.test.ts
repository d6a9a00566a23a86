import t, { type Test } from 'tap'
import { allHeard } from '../helper/all-heard.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { OneFormUpstream } from '../helper/one-form-upstream.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const messages = [{ role: 'user', content: 'hi' }]
const model = 'claude-haiku-4.5'

/** One request of each dialect, streamed and not. */
const ASKED: readonly (readonly [path: string, body: object])[] = [
  ['/v1/chat/completions', { model, messages }],
  ['/v1/chat/completions', { model, messages, stream: true }],
  ['/v1/messages', { model, messages, max_tokens: 100 }],
  ['/v1/messages', { model, messages, max_tokens: 100, stream: true }],
  ['/v1/responses', { model, input: 'hi' }],
  ['/v1/responses', { model, input: 'hi', stream: true }]
]

async function ask(url: string, path: string, body: object) {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })
  return { status: response.status, text: await response.text() }
}

async function setUp(
  t: Test,
  takes: 'path' | 'target',
  env: Readonly<Record<string, string>> = {}
) {
  const upstream = await OneFormUpstream.start(t, takes)
  const gateway = await startGateway({
    upstreamUrl: upstream.url,
    env: { WORKERS: '1', WORKER_SPREAD: 'even', ...env }
  })
  t.teardown(() => gateway.destroy())
  return { upstream, gateway }
}

for (const takes of ['path', 'target'] as const) {
  t.test(`auto: an upstream that takes only the ${takes} form serves every dialect`, async (t) => {
    const { upstream, gateway } = await setUp(t, takes)
    for (const [path, body] of ASKED) {
      const { status, text } = await ask(gateway.url, path, body)
      t.equal(status, 200, path)
      t.match(text, 'hello')
    }
    const search = {
      model,
      max_tokens: 100,
      messages: [{ role: 'user', content: 'Perform a web search for the query: kiro' }],
      tools: [{ type: 'web_search_20250305', name: 'web_search' }]
    }
    const { status, text } = await ask(gateway.url, '/v1/messages', search)
    t.equal(status, 200)
    t.match(text, 'https://kiro.dev/', 'a search in the same form')
    const others = upstream.calls.filter(({ form }) => form !== takes)
    t.equal(others.length, takes === 'path' ? 0 : 1, 'one extra call in the whole process at most')
    t.equal(upstream.calls[takes === 'path' ? 0 : 1]?.form, takes)
    t.equal(upstream.calls.length, ASKED.length + 1 + others.length)
    const ids = upstream.calls.map(({ headers }) => headers['amz-sdk-invocation-id'])
    t.equal(new Set(ids).size, ids.length, 'the second try is a request of its own')
    const told = gateway.lines.filter(({ msg }) => msg === 'upstream accepts this request form')
    t.equal(told.length, others.length, 'logged once')
  })
}

t.test('what one worker finds out, the other is told: one extra call in all', async (t) => {
  const { upstream, gateway } = await setUp(t, 'target', { WORKERS: '2' })
  const [[path, body] = ['', {}]] = ASKED
  t.equal((await ask(gateway.url, path, body)).status, 200)
  await gateway.logged(({ msg }) => msg === 'upstream accepts this request form')
  await allHeard(gateway)
  const workers = () =>
    new Set(
      gateway.lines
        .filter(({ msg, status }) => msg === 'request completed' && status === 200)
        .map(({ worker }) => worker)
    )
  let asked = 1
  for (let round = 0; round < 30 && (round === 0 || workers().size < 2); round++) {
    const calls = [...ASKED, ...ASKED].map(([path, body]) => ask(gateway.url, path, body))
    for (const { status, text } of await Promise.all(calls)) {
      t.equal(status, 200)
      t.match(text, 'hello')
    }
    asked += calls.length
  }
  t.equal(workers().size, 2, 'both have served')
  const others = upstream.calls.filter(({ form }) => form !== 'target')
  t.same([others.length, upstream.calls.length], [1, asked + 1])
})

t.test('answers and searches may be taken in different forms', async (t) => {
  const { upstream, gateway } = await setUp(t, 'path')
  upstream.takesSearches = 'target'
  upstream.refusalOfSearches = { status: 404, json: { message: '' } }
  const [[path, body] = ['', {}]] = ASKED
  const search = {
    model,
    max_tokens: 100,
    messages: [{ role: 'user', content: 'Perform a web search for the query: kiro' }],
    tools: [{ type: 'web_search_20250305', name: 'web_search' }]
  }
  for (let round = 0; round < 3; round += 1) {
    t.match((await ask(gateway.url, '/v1/messages', search)).text, 'https://kiro.dev/')
    t.equal((await ask(gateway.url, path, body)).status, 200)
  }
  t.same(
    upstream.calls.map(({ operation, form }) => `${operation} ${form}`),
    [
      'search path',
      'search target',
      'generate target',
      'generate path',
      'search target',
      'generate path',
      'search target',
      'generate path'
    ],
    'one extra call for each'
  )
})

t.test('where both are refused the client is told what was said first', async (t) => {
  const { upstream, gateway } = await setUp(t, 'target')
  const [[path, body] = ['', {}]] = ASKED
  let said = 0
  Object.defineProperty(upstream, 'takes', { value: 'neither' })
  Object.defineProperty(upstream, 'refusal', {
    get: () => ({
      status: 400,
      json: { message: `Refusal ${++said}.`, reason: 'REQUEST_BODY_INVALID' }
    })
  })
  const { status, text } = await ask(gateway.url, path, body)
  t.equal(status, 400)
  t.equal(upstream.calls.length, 2)
  t.match(text, 'Refusal 1.')
  await ask(gateway.url, path, body)
  t.same(
    upstream.calls.map(({ form }) => form),
    ['path', 'target', 'path', 'target']
  )
})
