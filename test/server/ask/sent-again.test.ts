import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { convert } from '../../helper/convert.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { endFrame, eventFrame, textFrame } from '../../helper/upstream-frames.ts'

// What is sent once more, how it is marked, and what is not.

t.setTimeout(300_000) // some tests wait as the gateway does, on a machine that may be busy

type Answer = (response: ServerResponse) => void

const said: Answer = (response) => void response.end(Buffer.concat([textFrame('hello'), endFrame]))
const empty: Answer = (response) => void response.end(eventFrame('initial-response', {}))
const filteredOut: Answer = (response) =>
  void response.end(eventFrame('metadataEvent', { stopReason: 'CONTENT_FILTERED' }))
const reset: Answer = ({ socket }) => void socket?.resetAndDestroy()
const silence: Answer = () => {}
const refuse =
  (status: number, body: object): Answer =>
  (response) =>
    void response
      .writeHead(status, { 'content-type': 'application/json' })
      .end(JSON.stringify(body))

interface Sent {
  readonly headers: IncomingHttpHeaders
  readonly json: {
    readonly agentMode?: string
    readonly profileArn?: string
    readonly conversationState: Readonly<Record<string, unknown>>
  }
}

const SIGNATURE = 'c2lnbmF0dXJl'.repeat(8)
const REQUEST = {
  model: 'claude-opus-5',
  max_tokens: 1000,
  thinking: { type: 'adaptive' },
  messages: [
    { role: 'user', content: 'go' },
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'hm', signature: SIGNATURE },
        { type: 'text', text: 'done' }
      ]
    },
    { role: 'user', content: 'on' }
  ]
}

/** A worker whose upstream answers so, call by call; the last answer is that of all others, too. */
async function setUp(
  t: Test,
  answers: readonly Answer[],
  env: Readonly<Record<string, string>> = {}
) {
  const sent: Sent[] = []
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const answer = answers[sent.length] ?? answers.at(-1) ?? said
    sent.push({ headers: request.headers, json: JSON.parse(Buffer.concat(chunks).toString()) })
    answer(response)
  }
  const upstream = await CountingUpstream.start(t, (...call) => void serve(...call))
  const primary = await FakePrimary.start(t, upstream.url, { env })
  const post = async (more: object = {}) => {
    const response = await fetch(`${primary.url}/v1/messages`, {
      method: 'POST',
      headers: { authorization: 'Bearer good-key' },
      body: JSON.stringify({ ...REQUEST, ...more })
    })
    return { status: response.status, text: await response.text() }
  }
  /** What counts as attempts. */
  const attempts = () => sent.map(({ headers }) => headers['amz-sdk-request'])
  const calls = () => new Set(sent.map(({ headers }) => headers['amz-sdk-invocation-id'])).size
  return { sent, upstream, post, attempts, calls }
}

t.test('one request keeps its id over its attempts, which are counted', async (t) => {
  const { sent, post, calls, attempts } = await setUp(t, [refuse(500, {}), said], {
    KIRO_REQUEST_FORM: 'target'
  })
  t.equal((await post()).status, 200)
  t.equal(calls(), 1)
  t.same(attempts(), ['attempt=1; max=3', 'attempt=2; max=3'])
  t.same(
    sent.map(({ headers }) => headers['x-kiro-attempt']),
    ['1;max=3', '2;max=3']
  )
  for (const { headers, json } of sent) {
    t.notOk('x-amzn-kiro-agent-mode' in headers)
    t.equal(headers['content-type'], 'application/x-amz-json-1.0')
    const names = namesIn(json)
    for (const name of ['messageId', 'envState', 'workspaceId', 'customizationArn', 'userIntent'])
      t.notOk(names.has(name), name)
    t.notMatch(JSON.stringify(json), /\[\]|\{\}/, 'nothing is empty')
  }
})

const WRONG_FORM = { message: 'Improperly formed request.', reason: 'REQUEST_BODY_INVALID' }
const FOREIGN_PROFILE = { message: 'User is not authorized to make this call.' }
const BAD_CONVERSATION = { message: 'Bad id.', reason: 'INVALID_CONVERSATION_ID' }
const BAD_SIGNATURE = {
  message: 'messages.1.content.0: Invalid `signature` in `thinking` block',
  reason: 'THINKING_SIGNATURE_INVALID'
}

t.test('a request is changed three times at most, and the changes add up', async (t) => {
  const { sent, post, calls, attempts } = await setUp(t, [
    refuse(400, WRONG_FORM),
    refuse(403, FOREIGN_PROFILE),
    refuse(400, BAD_CONVERSATION),
    refuse(400, BAD_SIGNATURE)
  ])
  const { status, text } = await post()
  t.equal(status, 400)
  t.match(text, 'Improperly formed request.', 'what was said of the first body')
  t.same([sent.length, calls()], [4, 4], 'each is a request of its own')
  t.same([...new Set(attempts())], ['attempt=1; max=3'])
  t.same(
    sent.map((one) => [
      one.json.agentMode !== undefined,
      one.json.profileArn !== undefined,
      sent[0] !== undefined && idOf(one) === idOf(sent[0])
    ]),
    [
      [false, true, true],
      [true, true, true],
      [true, false, true],
      [true, false, false]
    ]
  )
})

t.test('what was asked is not asked again after a silence', async (t) => {
  const once = await setUp(t, [silence], { FIRST_TOKEN_TIMEOUT: '0.3' })
  t.match(await once.post(), { status: 504, text: /FIRST_TOKEN_TIMEOUT/ })
  t.equal(once.sent.length, 1, 'the upstream may charge for it')
  const env = { FIRST_TOKEN_TIMEOUT: '2', FIRST_TOKEN_MAX_RETRIES: '2' }
  const twice = await setUp(t, [silence, said], env)
  t.equal((await twice.post()).status, 200, 'unless the operator wants it')
  t.same(twice.attempts(), ['attempt=1; max=3', 'attempt=2; max=3'])
})

t.test('what may take minutes to begin is never asked twice', async (t) => {
  const env = { FIRST_TOKEN_TIMEOUT: '0.1', FIRST_TOKEN_MAX_RETRIES: '2' }
  const { sent, post } = await setUp(t, [silence], env)
  const startedAt = performance.now()
  t.equal((await post({ output_config: { effort: 'max' } })).status, 504)
  t.equal(sent.length, 1)
  t.ok(performance.now() - startedAt >= 250, 'and is waited for two and a half times as long')
  const large = [{ role: 'user', content: 'word '.repeat(200_000) }]
  t.same([isSlow({}), isSlow({ messages: large })], [false, true])
})

t.test('a reset of a reused connection is no attempt', async (t) => {
  const reused = await setUp(t, [said, reset, said], { UPSTREAM_MAX_ATTEMPTS: '1' })
  t.same([(await reused.post()).status, (await reused.post()).status], [200, 200])
  t.same([reused.sent.length, reused.calls(), reused.upstream.sockets.length], [3, 2, 2])
  t.same([...new Set(reused.attempts())], ['attempt=1; max=1'])

  const fresh = await setUp(t, [reset], { UPSTREAM_MAX_ATTEMPTS: '1' })
  t.equal((await fresh.post()).status, 502, 'that of a fresh one is')
  t.equal(fresh.sent.length, 1)
})

t.test('an answer without anything is asked for three times, and no more', async (t) => {
  const { sent, post } = await setUp(t, [empty])
  t.match(await post(), { status: 529, text: /overloaded_error/ })
  t.equal(sent.length, 3)
  const filtered = await setUp(t, [filteredOut])
  t.equal((await filtered.post()).status, 200)
  t.equal(filtered.sent.length, 1, 'that is final')
})

function isSlow(more: object): boolean {
  return convert('anthropic-messages', { ...REQUEST, ...more }).plan.isSlow
}

function idOf({ json }: Sent): string {
  return String(json.conversationState['conversationId']).slice(-36)
}

function namesIn(value: unknown): ReadonlySet<string> {
  const names = new Set<string>()
  JSON.stringify(value, (name, member: unknown) => {
    names.add(name)
    return member
  })
  return names
}
