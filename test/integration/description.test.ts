import { join } from 'node:path'
import t from 'tap'
import type { Operation } from '../../docs/generate/openapi/operation.ts'
import { describeApi } from '../../docs/generate/openapi/document.ts'
import { examplesOf, Operations } from '../../docs/generate/openapi/operations.ts'
import { runKiroGateway } from '../helper/cli-process.ts'
import { DescribedAnswers } from '../helper/described-answers.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { startSimulator } from '../helper/run-simulator.ts'
import { readSse } from '../helper/sse-messages.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const OPERATOR = 'the-key-of-the-operator'
const ANTHROPIC = { 'anthropic-version': '2023-06-01' }

const { url: upstreamUrl } = await startSimulator(t)
const folder = t.testdir({ 'managed.json': '{"model":"claude-sonnet-5"}' })
const gateway = await startGateway({
  upstreamUrl,
  env: {
    PROXY_API_KEY: OPERATOR,
    STATE_DIR: 'state',
    FAKE_REASONING: 'true',
    MANAGED_SETTINGS_FILE: join(folder, 'managed.json')
  }
})
t.teardown(() => gateway.destroy())
const withKey = { headers: { authorization: `Bearer ${OPERATOR}` } }
const served = JSON.parse(await (await fetch(`${gateway.url}/openapi.json`, withKey)).text())
const answers = new DescribedAnswers(served)

/** Those of HTTP itself. */
const HTTP_HEADERS = ['connection', 'content-length', 'content-type', 'date', 'keep-alive']
HTTP_HEADERS.push('transfer-encoding')

interface Sent {
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly query?: string
  /** In the place of `{id}`. */
  readonly id?: string
}

/** Sends a request and gives what is wrong with its answer, as the description has it. */
async function ask({ method, path }: Operation, sent: Sent = {}) {
  const { body, headers = {}, query = '', id = '' } = sent
  const page = path.includes('guides') ? 'team' : 'settings.md'
  const called = path.replace('{id}', id).replace('{page}', page) + query
  const response = await fetch(gateway.url + called, {
    method,
    headers: { authorization: `Bearer ${OPERATOR}`, ...headers },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) })
  })
  const { status } = response
  const text = await response.text()
  const type = response.headers.get('content-type')?.split(';', 1)[0] ?? ''
  const described = served.paths[path][method].responses[status]
  if (described === undefined) return { status, text, problems: [`${status} is not described`] }
  const known = [...HTTP_HEADERS, ...Object.keys(described.headers)]
  const strange = [...response.headers.keys()].filter((name) => !known.includes(name))
  if (described.content[type] === undefined) strange.push(type)
  const place = ['paths', path, method, 'responses', status, 'content', type, 'schema']
  const values = type === 'text/event-stream' ? eventsOf(text) : [valueOf(text, type)]
  const problems = values.map((value) => answers.problemOf(value, place))
  return { status, text, problems: [...strange, ...problems.filter((one) => one !== '')] }
}

function valueOf(text: string, type: string): unknown {
  return type === 'application/json' ? JSON.parse(text) : text
}

function eventsOf(text: string): readonly unknown[] {
  const { messages } = readSse(text)
  return messages.filter(({ data }) => data !== '[DONE]').map(({ data }) => JSON.parse(data))
}

function say(content: string) {
  return [{ role: 'user', content }]
}

function operation(id: string): Operation {
  const found = Operations.find((one) => one.id === id)
  if (found === undefined) throw new Error(`there is no operation ${id}`)
  return found
}

const [chat, responses, messages] = [
  operation('createChatCompletion'),
  operation('createResponse'),
  operation('createMessage')
]

t.test('what is served is what the code says', async (t) => {
  t.same(served, JSON.parse(JSON.stringify(describeApi())))
})

for (const one of Operations.filter(({ request }) => request !== undefined)) {
  for (const [name, { summary, value }] of Object.entries(examplesOf(one))) {
    t.test(`${one.id}: ${summary}`, async (t) => {
      const { status, text, problems } = await ask(one, { body: value })
      t.equal(status, 200, text)
      t.same(problems, [])
      const wanted = /tools/.test(name) ? /weather/ : /search/.test(name) ? /web_search/ : /./
      t.match(text, wanted, 'it shows what it says')
    })
  }
}

t.test('what else may come in an answer', async (t) => {
  const model = 'claude-haiku-4.5'
  const tool = { name: 'f', description: 'F', input_schema: { type: 'object', properties: {} } }
  const odd = [
    'sim:max-tokens',
    'sim:context-full',
    'sim:filtered',
    'sim:no-end',
    'sim:token-usage'
  ]
  for (const stream of [true, false]) {
    for (const word of [...odd, 'sim:thoughts=2', 'sim:exception-mid', 'sim:cut-frame']) {
      const asked: readonly (readonly [Operation, object])[] = [
        [chat, { model, stream, messages: say(word), reasoning_effort: 'high' }],
        [
          responses,
          {
            model: 'claude-opus-4.8',
            stream,
            input: word,
            include: ['reasoning.encrypted_content'],
            reasoning: { effort: 'high', summary: 'auto' },
            temperature: 1,
            top_logprobs: 2,
            service_tier: 'flex',
            max_tool_calls: 3,
            user: 'u',
            metadata: { a: 'b' }
          }
        ],
        [
          messages,
          {
            model: 'claude-opus-4.8',
            max_tokens: 4096,
            stream,
            messages: say(word),
            thinking: { type: 'enabled', budget_tokens: 1024 },
            stop_sequences: ['never'],
            safeguards: [{ type: 'tool_use' }]
          }
        ],
        [
          responses,
          {
            model,
            stream,
            input: word,
            tools: [
              { type: 'custom', name: 'patch', description: 'P' },
              { type: 'web_search' },
              { type: 'tool_search', execution: 'client', parameters: { type: 'object' } },
              { type: 'namespace', name: 'n', tools: [{ type: 'function', ...tool }] }
            ]
          }
        ],
        [
          chat,
          {
            model,
            stream,
            messages: say('Call it.'),
            functions: [{ name: 'f', description: 'F' }],
            function_call: { name: 'f' }
          }
        ],
        [
          responses,
          {
            model,
            stream,
            input: [
              { type: 'message', role: 'user', content: 'hi' },
              { type: 'compaction_trigger' }
            ]
          }
        ],
        [
          responses,
          {
            model,
            stream,
            input: 'Search the web for moons.',
            tools: [{ type: 'web_search' }],
            tool_choice: { type: 'web_search' }
          }
        ]
      ]
      const answered = asked.map(async ([one, body]) => {
        const { problems } = await ask(one, { body })
        t.same(problems, [], `${one.id} ${word} ${stream ? 'streamed' : 'whole'}`)
      })
      await Promise.all(answered)
    }
  }
})

t.test('models, usage, state and metrics', async (t) => {
  const made = await ask(operation('createResponse'), { body: { model: 'auto', input: 'hi' } })
  const { id: responseId } = JSON.parse(made.text)
  const idOf = ({ path }: Operation): string =>
    path.includes('/responses/') ? responseId : 'claude-haiku-4.5'
  for (const one of Operations.filter(({ method }) => method === 'get')) {
    for (const headers of [{}, ANTHROPIC]) {
      const { status, problems } = await ask(one, { headers, id: idOf(one) })
      t.equal(status, 200, one.path)
      t.same(problems, [], one.path)
    }
  }
  for (const [name, status] of [
    ['cancelResponse', 400],
    ['deleteResponse', 200],
    ['deleteResponse', 404]
  ] as const) {
    const told = await ask(operation(name), { id: responseId })
    t.same([told.status, told.problems], [status, []], name)
  }
  const usage = operation('getUsage')
  t.match(JSON.parse((await ask(usage)).text), { keys: Array })
  for (const limits of [['--credits=10/month'], []]) {
    const from = gateway.lines.length
    const args = ['key', 'add', `anna${limits.length}`, ...limits, '--json']
    const { stdout } = await runKiroGateway(args, {
      cwd: gateway.folder,
      env: { STATE_DIR: 'state' }
    })
    await gateway.logged((line) => line['msg'] === 'named keys reloaded', from)
    const { key } = JSON.parse(stdout)
    const headers = { authorization: `Bearer ${key}` }
    const { status, text, problems } = await ask(usage, { headers })
    t.equal(status, 200)
    t.match(JSON.parse(text), { object: 'usage', key: `anna${limits.length}` })
    t.same(problems, [])
    const metrics = await ask(operation('getMetrics'), { headers })
    t.equal(metrics.status, 403)
    t.same(metrics.problems, [])
  }
  t.same((await ask(usage)).problems, [], 'with a limit and without one')
})

t.test('errors', async (t) => {
  const model = 'claude-haiku-4.5'
  // The last is remembered of the account.
  const words =
    'sim:reset-first sim:context-overflow sim:improper sim:invalid-model sim:html sim:quota'.split(
      ' '
    )
  const bodies = (content: string) =>
    [
      [chat, { model, messages: say(content) }],
      [responses, { model, input: content }],
      [messages, { model, max_tokens: 9, messages: say(content) }]
    ] as const
  const seen = new Set<number>()
  const check = async (one: Operation, sent: Sent, what: string): Promise<void> => {
    const { status, problems } = await ask(one, sent)
    seen.add(status)
    t.ok(status >= 400, what)
    t.same(problems, [], `${one.id} ${what}`)
  }
  for (const one of Operations.filter(({ access }) => access !== 'open')) {
    const body = one.method === 'post' ? '{}' : undefined
    for (const headers of [{ authorization: 'Bearer wrong' }, { authorization: '' }]) {
      await check(one, { body, headers, id: 'x' }, 'without a good key')
      await check(one, { body, headers: { ...headers, ...ANTHROPIC }, id: 'x' }, 'the same')
    }
  }
  for (const one of Operations.filter(({ request, id }) => request && id !== 'lintRequest')) {
    for (const body of ['{}', 'x', '{"model":"claude-haiku-4.5","messages":7,"input":7}'])
      await check(one, { body }, body)
    await check(one, { body: 'x', headers: { 'content-encoding': 'gzip' } }, 'a packed body')
  }
  await check(operation('lintRequest'), { body: '{}', query: '?dialect=x' }, 'no such dialect')
  await check(operation('getModel'), { id: 'no-such-model' }, 'no such model')
  await check(operation('getModel'), { id: 'no-such-model', headers: ANTHROPIC }, 'the same')
  await check(operation('getModel'), { id: '%ff' }, 'no valid path')
  for (const word of words) {
    await Promise.all(bodies(word).map(([one, body]) => check(one, { body }, word)))
  }
  for (const status of [400, 401, 404, 415, 429, 502]) t.ok(seen.has(status), `${status} was seen`)
})

t.test('the page', async (t) => {
  const response = await fetch(`${gateway.url}/docs`, withKey)
  t.equal(response.status, 200)
  const policy = response.headers.get('content-security-policy') ?? ''
  t.match(policy, /^default-src 'none'; style-src 'sha256-[^']+';/)
  t.notMatch(policy, /unsafe|\*|https?:/)
  const page = await response.text()
  t.notMatch(page, /\son\w+=|style="|javascript:/i)
  t.same(page.match(/<script[^>]*>/g), ['<script src="dashboard/run-examples.js" type="module">'])
  const outside = Array.from(page.matchAll(/\s(?:href|src)="([^"]*)"/g), ([, to]) => to).filter(
    (to) =>
      !/^(?:#.*|data:,|openapi\.json|\.\/|docs\/guides|dashboard\/run-examples\.js)$/.test(to ?? '')
  )
  t.same(outside, [], 'it asks nobody for anything')
  const called = Array.from(page.matchAll(/curl (http:\/\/[^/]+)/g), ([, origin]) => origin)
  t.same([...new Set(called)], [gateway.url], 'examples call the port that is in use')
  const ids = Array.from(page.matchAll(/\sid="([^"]*)"/g), ([, id]) => id ?? '')
  t.equal(new Set(ids).size, ids.length, 'no id twice')
  for (const [, to] of page.matchAll(/href="#([^"]*)"/g)) t.ok(ids.includes(to ?? ''), `#${to}`)
  for (const { path, summary } of Operations) {
    t.ok(page.includes(`<code>${path}</code>`), path)
    t.ok(page.includes(summary), summary)
  }
})
