import type { IncomingMessage, ServerResponse } from 'node:http'
import { text as readText } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { FromWorker } from '../../../src/ipc/messages.ts'
import type { ModelFacts } from '../../../src/kiro/models/models.ts'
import { Simulator } from '../../strict-simulator/simulator.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { captureRewrites } from '../../helper/capture-rewrites.ts'
import { FakePrimary, type FakePrimaryOptions } from '../../helper/fake-primary.ts'
import { NameServer } from '../../helper/name-server.ts'
import { smallPdf } from '../../helper/small-pdf.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

// kiro-protocol §4.15, §9.10: parts of a conversation that the upstream refuses are left out, at once and from then on.

const answer = Buffer.concat([textFrame('hello there'), endFrame])
const CSV = Buffer.from('a,heliotrope').toString('base64')
const SIG = 'c2lnbmF0dXJl'.repeat(8)

interface Call {
  readonly text: string
  readonly id: unknown
  readonly attempt: unknown
}

/** What is said to a request; `null` to answer it. */
type Refusals = (body: string) => object | null

async function setUp(t: Test, refusalOf: Refusals, options: FakePrimaryOptions = {}) {
  const calls: Call[] = []
  const answerCall = async (request: IncomingMessage, response: ServerResponse) => {
    const text = await readText(request)
    const { headers } = request
    calls.push({
      text,
      id: headers['amz-sdk-invocation-id'],
      attempt: headers['amz-sdk-request']
    })
    const refusal = refusalOf(text)
    if (refusal === null) response.end(answer)
    else response.writeHead(400).end(JSON.stringify(refusal))
  }
  const upstream = await CountingUpstream.start(t, (request, response) => {
    void answerCall(request, response) // rejects only where the connection breaks
  })
  const primary = await FakePrimary.start(t, upstream.url, options)
  const post = async (path: string, body: object) => {
    const response = await fetch(`${primary.url}${path}`, {
      method: 'POST',
      headers: { authorization: 'Bearer good-key' },
      body: JSON.stringify(body)
    })
    return {
      status: response.status,
      text: await response.text(),
      repairs: response.headers.get('x-kiro-gateway-repairs') ?? ''
    }
  }
  return { calls, primary, post }
}

const lessonsOf = ({ messages }: FakePrimary) =>
  messages.filter(
    (one): one is Extract<FromWorker, { type: 'conversation.lesson' }> =>
      one.type === 'conversation.lesson'
  )

const ask = { type: 'text', text: 'Summarise' }
const filename = 'report.csv'
const file_data = `data:text/csv;base64,${CSV}`
const model = 'claude-haiku-4.5'
const source = { type: 'base64', media_type: 'text/csv', data: CSV }
const said = { role: 'assistant', content: 'It is short.' }

/** A document in the current message, and the same one round later. */
const dialects: readonly (readonly [path: string, (isHistory: boolean) => object])[] = [
  [
    '/v1/messages',
    (isHistory) => ({
      model,
      max_tokens: 100,
      messages: grow({ role: 'user', content: [{ type: 'document', source }, ask] }, isHistory)
    })
  ],
  [
    '/v1/chat/completions',
    (isHistory) => ({
      model,
      messages: grow(
        { role: 'user', content: [{ type: 'file', file: { filename, file_data } }, ask] },
        isHistory
      )
    })
  ],
  [
    '/v1/responses',
    (isHistory) => ({
      model,
      store: false,
      input: grow(
        { role: 'user', content: [{ type: 'input_file', filename, file_data }, ask] },
        isHistory
      )
    })
  ]
]

function grow(first: object, isHistory: boolean): readonly object[] {
  return isHistory ? [first, said, { role: 'user', content: 'And then?' }] : [first]
}

const refuseDocuments: Refusals = (body) =>
  body.includes('"documents"') ? { message: 'Improperly formed request.' } : null

t.test('documents that are refused go up as text, at once and from then on', async (t) => {
  for (const [path, bodyOf] of dialects) {
    t.test(path, async (t) => {
      const { calls, primary, post } = await setUp(t, refuseDocuments)
      const first = await post(path, bodyOf(false))
      t.match(first, { status: 200, text: /hello/, repairs: /document-refused/ })
      t.equal(calls.length, 2)
      t.match(calls[1]?.text, /Summarise\\n\\n\[Document: [a-z]+\]\\na,heliotrope/)
      t.not(calls[0]?.id, calls[1]?.id, 'another request')
      t.match(calls[1]?.attempt, /^attempt=1;/)
      t.match(await post(path, bodyOf(true)), { status: 200, repairs: /document-refused/ })
      t.equal(calls.length, 3, 'the next round costs one call')
      const [lesson] = lessonsOf(primary)
      t.equal(lessonsOf(primary).length, 1)

      const other = await setUp(t, refuseDocuments)
      other.primary.tell({
        conversationId: lesson?.conversationId ?? '',
        hashes: lesson?.hashes ?? [],
        type: 'conversation.learnt'
      })
      t.match(await other.post(path, bodyOf(true)), { status: 200, repairs: /document-refused/ })
      t.equal(other.calls.length, 1, 'in another worker, too')
    })
  }
})

t.test('of a PDF its text is sent', async (t) => {
  const { calls, post } = await setUp(t, refuseDocuments)
  const data = smallPdf(['heliotrope']).toString('base64')
  const pdf = { type: 'base64', media_type: 'application/pdf', data }
  const content = [{ type: 'document', title: 'a.pdf', source: pdf }]
  const messages = [{ role: 'user', content }]
  t.equal((await post('/v1/messages', { model, max_tokens: 10, messages })).status, 200)
  t.match(calls[1]?.text, /\[Document: a\]\\n.*heliotrope/)
})

const note = (name: string) =>
  `[Document \\"${name}\\" (${name === 'a' ? 'pdf' : 'docx'}) was attached here.]`

t.test('a broken PDF and one of an office become notes', async (t) => {
  const { calls, post } = await setUp(t, refuseDocuments)
  const broken = Buffer.from('%PDF-1.4 and nothing of one').toString('base64')
  const docx = Buffer.from('PK\x03\x04 and nothing of one').toString('base64')
  const media_type = 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'
  const content = [
    {
      type: 'document',
      title: 'a.pdf',
      source: { type: 'base64', media_type: 'application/pdf', data: broken }
    },
    { type: 'document', title: 'b.docx', source: { type: 'base64', media_type, data: docx } }
  ]
  const { status } = await post('/v1/messages', {
    model,
    max_tokens: 10,
    messages: [{ role: 'user', content }]
  })
  t.equal(status, 200)
  t.equal(calls.length, 2)
  t.ok(calls[1]?.text.includes(`${note('a')}\\n\\n${note('b')}`))
})

t.test('of a conversation that is too long with its documents their text goes up', async (t) => {
  const tooLong = { message: 'Input is too long.', reason: 'CONTENT_LENGTH_EXCEEDS_THRESHOLD' }
  for (const [path, bodyOf] of dialects) {
    const { calls, post } = await setUp(t, (body) =>
      body.includes('"documents"') ? tooLong : null
    )
    t.match(await post(path, bodyOf(false)), { status: 200, repairs: /document-refused/ }, path)
    t.match(await post(path, bodyOf(true)), { status: 200, repairs: /document-refused/ }, path)
    t.equal(calls.length, 3, 'the next round costs one call')
    const { calls: all, primary, post: ask } = await setUp(t, () => tooLong)
    t.match(await ask(path, bodyOf(false)), { status: 400, text: /too long|context_length/ }, path)
    t.equal(all.length, 2)
    t.same(lessonsOf(primary), [], 'it is too long anyway')
  }
  const { calls, post } = await setUp(t, () => tooLong)
  const words = { type: 'text', text: 'word '.repeat(600_000) }
  const messages = [{ role: 'user', content: [{ type: 'document', source }, words] }]
  t.equal((await post('/v1/messages', { model, max_tokens: 10, messages })).status, 400)
  t.equal(calls.length, 1, 'nobody looks for documents in what is far too long without them')
})

t.test('an older host is sent the text of documents', async (t) => {
  const names = await NameServer.start(t, (_name, type) => (type === 'A' ? ['127.0.0.1'] : []))
  const { post } = await setUp(t, () => null, {
    env: { KIRO_API_URL: '', DNS_SERVERS: names.address, UPSTREAM_MAX_ATTEMPTS: '1' }
  })
  const [[path, bodyOf] = ['', () => ({})]] = dialects
  const { status, repairs } = await post(path, bodyOf(false))
  t.equal(status, 502, 'neither host listens here')
  t.ok(names.questions.some((question) => question.includes(' q.us-east-1.amazonaws.com')))
  t.match(repairs, /document-refused/)
})

const refuseReasoning: Refusals = (body) =>
  body.includes('reasoningContent')
    ? { message: 'Invalid `signature` in `thinking` block', reason: 'THINKING_SIGNATURE_INVALID' }
    : null

t.test('signatures that one worker has met the refusal of are left out by all', async (t) => {
  const body = {
    model: 'claude-opus-5',
    max_tokens: 4000,
    thinking: { type: 'adaptive' },
    messages: [
      { role: 'user', content: 'go' },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'hm', signature: SIG },
          { type: 'text', text: 'Well' }
        ]
      },
      { role: 'user', content: 'on' }
    ]
  }
  const { calls, primary, post } = await setUp(t, refuseReasoning)
  const rewrites = captureRewrites(t)
  t.match(await post('/v1/messages', body), { status: 200, repairs: /reasoning-refused/ })
  t.equal(calls.length, 2)
  t.equal(rewrites().length, 1)
  t.match(await post('/v1/messages', body), { status: 200, repairs: /reasoning-refused/ })
  t.same(
    [calls.length, rewrites().length],
    [3, 0],
    'the next request is written without it at once'
  )
  t.equal(calls[2]?.text, calls[1]?.text)
  const [lesson] = lessonsOf(primary)
  const other = await setUp(t, refuseReasoning)
  other.primary.tell({
    conversationId: lesson?.conversationId ?? '',
    hashes: lesson?.hashes ?? [],
    type: 'conversation.learnt'
  })
  t.match(await other.post('/v1/messages', body), { status: 200, repairs: /reasoning-refused/ })
  t.equal(other.calls.length, 1)
})

const opus = 'claude-opus-5'

/** A wish about reasoning. */
const wishes: readonly (readonly [path: string, body: object])[] = [
  [
    '/v1/messages',
    {
      model: opus,
      max_tokens: 4000,
      thinking: { type: 'adaptive' },
      output_config: { effort: 'high' },
      messages: [{ role: 'user', content: 'go' }]
    }
  ],
  [
    '/v1/chat/completions',
    { model: opus, reasoning_effort: 'high', messages: [{ role: 'user', content: 'go' }] }
  ],
  ['/v1/responses', { model: opus, store: false, reasoning: { effort: 'high' }, input: 'go' }]
]

const undeclared = (name: string) => ({
  message: `property '${name}' is not defined in the schema`
})

const refuseFields: Refusals = (text) =>
  text.includes('additionalModelRequestFields')
    ? { message: 'Invalid additionalModelRequestFields.', reason: 'REQUEST_BODY_INVALID' }
    : null

const fieldsOf = (call: Call | undefined): unknown => {
  const payload: unknown = JSON.parse(call?.text ?? '{}')
  return Object.entries(payload ?? {}).find(
    ([name]) => name === 'additionalModelRequestFields'
  )?.[1]
}

t.test('fields that are refused are left out once, and from then on', async (t) => {
  for (const [path, body] of wishes) {
    t.test(path, async (t) => {
      const { calls, primary, post } = await setUp(t, refuseFields)
      const rewrites = captureRewrites(t)
      t.match(await post(path, body), { status: 200, text: /hello/, repairs: /fields-refused/ })
      t.equal(rewrites().length, 1)
      t.equal(calls.length, 2, 'not in the other form')
      t.match(fieldsOf(calls[0]), { output_config: { effort: 'high' } })
      t.equal(fieldsOf(calls[1]), undefined)
      t.not(calls[0]?.id, calls[1]?.id, 'another request')
      t.match(calls[1]?.attempt, /^attempt=1;/)
      t.match(await post(path, body), { status: 200, repairs: /fields-refused/ })
      t.equal(calls.length, 3, 'the next request costs one call')
      t.equal(rewrites().length, 0, 'and is written without them at once')
      t.equal(calls[2]?.text, calls[1]?.text)
      const [lesson] = lessonsOf(primary)
      t.match(lessonsOf(primary), [{ isBrief: true }])

      const other = await setUp(t, refuseFields)
      const { conversationId = '', hashes = [] } = lesson ?? {}
      other.primary.tell({ type: 'conversation.learnt', conversationId, hashes, isBrief: true })
      t.match(await other.post(path, body), { status: 200, repairs: /fields-refused/ })
      t.equal(other.calls.length, 1, 'in another worker, too')
    })
  }
})

t.test('an account that has no fields, as the simulator plays it', async (t) => {
  const simulator = new Simulator({ gapMs: 0 })
  const { url } = await simulator.start()
  t.teardown(() => simulator.close())
  const calls = () => simulator.stats().requests.byOperation['generateAssistantResponse'] ?? 0
  for (const [path, body] of wishes) {
    const primary = await FakePrimary.start(t, new URL(url))
    for (const cost of [2, 1]) {
      const before = calls()
      const response = await fetch(`${primary.url}${path}`, {
        method: 'POST',
        headers: { authorization: 'Bearer good-key' },
        body: JSON.stringify(body).replace('"go"', '"go sim:fields-refused"')
      })
      t.equal(response.status, 200, path)
      await response.text()
      t.equal(response.headers.get('x-kiro-gateway-repairs'), 'fields-refused', path)
      t.equal(calls() - before, cost, path)
    }
  }
})

/** A model that says itself which fields it takes. */
const bounded: ModelFacts = {
  id: 'claude-opus-6',
  name: 'Claude Opus 6',
  maxInputTokens: 200_000,
  takesImages: true,
  requestFieldsSchema: { type: 'object', properties: { max_tokens: { minimum: 1 } } }
}

const refuseBound: Refusals = (text) =>
  text.includes('max_tokens') ? undeclared('max_tokens') : null

t.test('a bound that the upstream does not take is kept here', async (t) => {
  const messages = [{ role: 'user', content: 'go' }]
  const asked: readonly (readonly [path: string, body: object, end: RegExp])[] = [
    ['/v1/messages', { messages, max_tokens: 1 }, /"stop_reason":"max_tokens"/],
    ['/v1/chat/completions', { messages, max_tokens: 1 }, /"finish_reason":"length"/],
    ['/v1/responses', { input: 'go', store: false, max_output_tokens: 1 }, /max_output_tokens/]
  ]
  for (const [path, body, end] of asked) {
    const { calls, post } = await setUp(t, refuseBound, {
      start: { catalogue: { models: [bounded], isLive: true } }
    })
    for (const cost of [2, 3]) {
      const { status, text, repairs } = await post(path, { model: bounded.id, ...body })
      t.equal(status, 200, path)
      t.match(text, end, path)
      t.match(text, /"hello ?"/, path)
      t.equal(repairs, 'fields-refused')
      t.equal(calls.length, cost, path)
    }
    t.same(fieldsOf(calls[0]), { max_tokens: 1 })
    t.equal(fieldsOf(calls[1]), undefined)
  }
})

t.test('without fields their refusal is final', async (t) => {
  const { calls, post } = await setUp(t, () => ({ message: 'additionalModelRequestFields' }))
  const messages = [{ role: 'user', content: 'go' }]
  t.equal((await post('/v1/chat/completions', { model, messages })).status, 400)
  t.equal(calls.length, 1)
})

const changing = (index: number) => `It is ${index} o'clock.`
const session = (id: string) => ({ metadata: { user_id: JSON.stringify({ session_id: id }) } })
const billing = (index: number) => `x-anthropic-billing-header: cc_version=${index};\nBe terse.`

t.test('a system text that changes is told of, once for a conversation', async (t) => {
  const { primary, post } = await setUp(t, () => null)
  const rounds = ['one', 'two', 'three', 'four'].map((_, index) =>
    Array.from({ length: 2 * index + 1 }, (_, at) => ({
      role: at % 2 === 0 ? 'user' : 'assistant',
      content: `words ${at}`
    }))
  )
  const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }]
  /** Which of the rounds were told, where `systemOf` gives each its system text. */
  const toldOf = async (
    systemOf: (index: number) => string,
    more: object = {},
    path = '/v1/messages'
  ) => {
    const told: boolean[] = []
    for (const [index, messages] of rounds.entries()) {
      const system = systemOf(index)
      const body =
        path === '/v1/messages'
          ? { model, max_tokens: 10, system, messages, ...more }
          : path === '/v1/responses'
            ? { model, store: false, instructions: system, input: messages, ...more }
            : { model, messages: [{ role: 'system', content: system }, ...messages], ...more }
      const { status, repairs } = await post(path, body)
      t.equal(status, 200)
      told.push(repairs.includes('system-text-changed'))
    }
    return told
  }
  t.same(await toldOf(() => 'Be terse.', session('a')), [false, false, false, false])
  t.same(await toldOf(changing, session('b')), [false, true, false, false])
  t.same(await toldOf(changing), [false, false, true, false], 'known by its first exchange')
  const key = { prompt_cache_key: 'k' }
  t.same(await toldOf(changing, key, '/v1/chat/completions'), [false, true, false, false])
  t.same(await toldOf(changing, { prompt_cache_key: 'r' }, '/v1/responses'), [
    false,
    true,
    false,
    false
  ])
  t.same(await toldOf(billing, session('c')), [false, false, false, false], 'it never goes up')
  t.equal(lessonsOf(primary).length, 4, 'the other workers need not tell it again')

  await toldOf(() => 'Be terse.', { prompt_cache_key: 's', tools }, '/v1/chat/completions')
  const title = { model, prompt_cache_key: 's', messages: [{ role: 'system', content: 'Title.' }] }
  const aside = await post('/v1/chat/completions', {
    ...title,
    messages: [...title.messages, { role: 'user', content: 'words 0' }]
  })
  t.notMatch(aside.repairs, /system-text-changed/, 'a side call of the session')
})
