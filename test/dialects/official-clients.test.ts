import * as Anthropic from '@anthropic-ai/sdk'
import * as OpenAI from 'openai'
import t from 'tap'
import { SseHeaders, toText } from '../../src/dialects/answer/answer-writer.ts'
import { toErrorReply } from '../../src/dialects/dialect.ts'
import type { ReplyPlan } from '../../src/dialects/plan/plan.ts'
import type { UpstreamEvent } from '../../src/kiro/wire/event.ts'
import { type ErrorCode, GatewayError } from '../../src/shared/errors.ts'
import { readParts, translate } from '../helper/read-answer.ts'
import {
  anthropicIdentity,
  createCollector,
  createTranslator,
  openAiIdentity,
  replyPlan
} from '../helper/reply-plan.ts'
import { closing, text, tool } from '../helper/upstream-events.ts'

const openAiPlan = replyPlan({ reasoning: 'native' })
const anthropicPlan = replyPlan({ dialect: 'anthropic-messages', reasoning: 'native' })

const events: readonly UpstreamEvent[] = [
  { type: 'reasoning', text: 'Two ' },
  { type: 'reasoning', text: 'cities.' },
  { type: 'reasoning', signature: 'c2ln' },
  text('Let me look, '),
  text('\ud83d\ude00\n'),
  tool('t1', 'get_weather', { input: '{"city":"Os' }),
  tool('t1', 'get_weather', { input: 'lo"}', stop: true }),
  tool('t2', 'now', { stop: true }),
  ...closing('TOOL_USE')
]

function streamOf(plan: ReplyPlan, beginning?: readonly UpstreamEvent[]): string {
  const identity = plan === openAiPlan ? openAiIdentity : anthropicIdentity
  const translator = createTranslator(plan, identity)
  const heartbeat = translator.heartbeat()
  if (beginning === undefined) {
    return heartbeat + translate(translator, readParts(plan, events)) + translator.heartbeat()
  }
  const parts = readParts(plan, beginning).slice(0, -1)
  const error = new GatewayError('GW_UPSTREAM_OVERLOADED', '', { message: 'busy' })
  return heartbeat + translate(translator, parts) + translator.fail(error)
}

function bodyOf(plan: ReplyPlan): string {
  const identity = plan === openAiPlan ? openAiIdentity : anthropicIdentity
  const collector = createCollector(plan, identity)
  for (const part of readParts(plan, events)) collector.push(part)
  return toText(collector.toJson())
}

/** An SDK's way to the network, answered on the spot. */
function respond(body: string, status: number, headers: Readonly<Record<string, string>>) {
  return async (): Promise<Response> => new Response(body, { status, headers: { ...headers } })
}

function respondWith(error: GatewayError, plan: ReplyPlan) {
  const { status, headers, body } = toErrorReply(
    plan === openAiPlan ? 'openai-chat' : 'anthropic-messages',
    error,
    'r1'
  )
  return respond(body, status, headers)
}

/** What a promise rejects with; undefined if it does not. */
function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error
  )
}

type Fetch = () => Promise<Response>
const openAi = (fetch: Fetch): OpenAI.OpenAI =>
  new OpenAI.OpenAI({ apiKey: 'k', baseURL: 'http://127.0.0.1/v1', maxRetries: 0, fetch })
const anthropic = (fetch: Fetch): Anthropic.Anthropic =>
  new Anthropic.Anthropic({ apiKey: 'k', baseURL: 'http://127.0.0.1', maxRetries: 0, fetch })

const question = { model: 'claude-haiku-4.5', messages: [{ role: 'user', content: 'x' }] } as const
const chat = { ...question, messages: [...question.messages] }
const message = { ...chat, max_tokens: 100 }
const json = { 'content-type': 'application/json' }

t.test('the openai package', async (t) => {
  t.test('puts a streamed answer together', async (t) => {
    const client = openAi(respond(streamOf(openAiPlan), 200, SseHeaders))
    const stream = client.chat.completions.stream(chat)
    const { choices, usage } = await stream.finalChatCompletion()
    t.match(choices, [
      {
        finish_reason: 'tool_calls',
        message: {
          role: 'assistant',
          content: 'Let me look, \ud83d\ude00\n',
          tool_calls: [
            { id: 't1', function: { name: 'get_weather', arguments: '{"city":"Oslo"}' } },
            { id: 't2', function: { name: 'now', arguments: '{}' } }
          ]
        }
      }
    ])
    t.equal(usage?.total_tokens, 3000)
  })

  t.test('reads the same answer in one piece', async (t) => {
    const client = openAi(respond(bodyOf(openAiPlan), 200, json))
    const { choices } = await client.chat.completions.create(chat)
    t.equal(choices[0]?.message.content, 'Let me look, \ud83d\ude00\n')
    t.equal(choices[0]?.message.tool_calls?.length, 2)
  })

  t.test('raises an error inside the stream after the text before it', async (t) => {
    const body = streamOf(openAiPlan, [text('Hal'), ...closing()])
    const stream = await openAi(respond(body, 200, SseHeaders)).chat.completions.create({
      ...chat,
      stream: true
    })
    let said = ''
    const reading = (async () => {
      for await (const chunk of stream) said += chunk.choices[0]?.delta.content ?? ''
    })()
    const error = await failureOf(reading)
    t.ok(error instanceof OpenAI.APIError)
    t.match(error, { message: /busy/, code: 'overloaded' })
    t.equal(said, 'Hal')
  })

  const errors: readonly [ErrorCode, new (...rest: never[]) => Error, string | null][] = [
    ['GW_KEY_INVALID', OpenAI.AuthenticationError, 'invalid_api_key'],
    ['GW_CONTEXT_OVERFLOW', OpenAI.BadRequestError, 'context_length_exceeded'],
    ['GW_UPSTREAM_SUSPENDED', OpenAI.PermissionDeniedError, null],
    ['GW_MODEL_UNKNOWN', OpenAI.NotFoundError, 'model_not_found'],
    ['GW_UPSTREAM_RATE_LIMITED', OpenAI.RateLimitError, 'rate_limit_exceeded'],
    ['GW_POOL_TIMEOUT', OpenAI.InternalServerError, 'gw_pool_timeout']
  ]
  for (const [code, errorClass, clientCode] of errors) {
    t.test(`raises ${code} as its own ${errorClass.name}`, async (t) => {
      const client = openAi(respondWith(new GatewayError(code), openAiPlan))
      const error = await failureOf(client.chat.completions.create(chat))
      t.ok(error instanceof errorClass)
      t.match(error, { code: clientCode, requestID: 'r1' })
    })
  }
})

t.test('the @anthropic-ai/sdk package', async (t) => {
  t.test('puts a streamed answer together', async (t) => {
    const client = anthropic(respond(streamOf(anthropicPlan), 200, SseHeaders))
    const final = await client.messages.stream(message).finalMessage()
    t.match(final, {
      id: 'msg_1f',
      stop_reason: 'tool_use',
      content: [
        { type: 'thinking', thinking: 'Two cities.', signature: 'c2ln' },
        { type: 'text', text: 'Let me look, \ud83d\ude00\n' },
        { type: 'tool_use', id: 't1', name: 'get_weather', input: { city: 'Oslo' } },
        { type: 'tool_use', id: 't2', name: 'now', input: {} }
      ]
    })
    t.equal(final.usage.input_tokens + final.usage.output_tokens, 3000)
  })

  t.test('reads the same answer in one piece', async (t) => {
    const client = anthropic(respond(bodyOf(anthropicPlan), 200, json))
    const { content } = await client.messages.create(message)
    t.match(content, [
      { type: 'thinking', signature: 'c2ln' },
      { type: 'text', text: 'Let me look, \ud83d\ude00\n' },
      { type: 'tool_use', input: { city: 'Oslo' } },
      { type: 'tool_use', input: {} }
    ])
  })

  t.test('raises an error inside the stream after the text before it', async (t) => {
    const body = streamOf(anthropicPlan, [text('Hal'), ...closing()])
    const stream = anthropic(respond(body, 200, SseHeaders)).messages.stream(message)
    let said = ''
    stream.on('text', (delta) => (said += delta))
    const error = await failureOf(stream.finalMessage())
    t.ok(error instanceof Anthropic.APIError)
    t.match(error, { type: 'overloaded_error', message: /busy/ })
    t.equal(said, 'Hal')
  })

  const errors: readonly [ErrorCode, new (...rest: never[]) => Error, string][] = [
    ['GW_KEY_INVALID', Anthropic.AuthenticationError, 'authentication_error'],
    ['GW_CONTEXT_OVERFLOW', Anthropic.BadRequestError, 'invalid_request_error'],
    ['GW_UPSTREAM_SUSPENDED', Anthropic.PermissionDeniedError, 'permission_error'],
    ['GW_MODEL_UNKNOWN', Anthropic.NotFoundError, 'not_found_error'],
    ['GW_UPSTREAM_RATE_LIMITED', Anthropic.RateLimitError, 'rate_limit_error'],
    ['GW_POOL_TIMEOUT', Anthropic.InternalServerError, 'overloaded_error']
  ]
  for (const [code, errorClass, type] of errors) {
    t.test(`raises ${code} as its own ${errorClass.name}`, async (t) => {
      const client = anthropic(respondWith(new GatewayError(code), anthropicPlan))
      const error = await failureOf(client.messages.create(message))
      t.ok(error instanceof errorClass)
      t.match(error, { type, requestID: 'r1' })
    })
  }

  t.test('does not come back after a final error', async (t) => {
    let requests = 0
    const refuse = respondWith(new GatewayError('GW_KEY_INVALID'), anthropicPlan)
    const client = new Anthropic.Anthropic({
      apiKey: 'k',
      baseURL: 'http://127.0.0.1',
      maxRetries: 5,
      fetch: async () => {
        requests++
        return refuse()
      }
    })
    const error = await failureOf(client.messages.create(message))
    t.ok(error instanceof Anthropic.AuthenticationError)
    t.equal(requests, 1)
  })
})
