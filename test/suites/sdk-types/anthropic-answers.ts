import Anthropic from '@anthropic-ai/sdk'
import { smallPdf } from '../../helper/small-pdf.ts'
import type { Case, SuitePlace } from '../suite.ts'
import { AnswerChecker, type AnswerKind } from './answer-checker.ts'
import { readTypes } from './read-schema.ts'

/** What differs from the SDK's types on purpose. */
const ALLOWED = [
  /usage\.credits_used: is in no type/, // what the answer cost
  /content(?:\[\]|_block)\.citations: is missing/, // as in Anthropic's own API, where there are none
  /^error request_id: is missing/, // the SDK takes it from the header of the stream
  /^(?:data\[\]\.)?description: is in no type/ // shown by clients that let people choose
]

const KINDS: readonly (readonly [RegExp, AnswerKind])[] = [
  [/\/messages$/, { whole: 'message', event: 'messageEvent', error: 'error' }],
  [/\/count_tokens$/, { whole: 'tokenCount', error: 'error' }],
  [/\/models$/, { whole: 'models', error: 'error' }],
  [/./, { whole: 'model', error: 'error' }]
]

function kindOf(path: string): AnswerKind {
  const found = KINDS.find(([pattern]) => pattern.test(path))
  if (found === undefined) throw new Error(`nothing is known of ${path}`)
  return found[1]
}

/** Asks for everything that the gateway can say in Anthropic's API, whole and streamed. */
export async function checkAnthropicAnswers(place: SuitePlace): Promise<readonly Case[]> {
  const types = await readTypes('anthropic-types.d.mts', place)
  const checker = new AnswerChecker({ types, kindOf, allowed: ALLOWED })
  const open = (apiKey: string) =>
    new Anthropic({ baseURL: place.url, apiKey, maxRetries: 0, fetch: checker.fetch })
  const client = open(place.key)
  const stranger = open('wrong')
  const { model } = place
  const cases: Case[] = []
  const attempt = async (name: string, action: () => Promise<unknown>) => {
    cases.push(await checker.attempt(name, action))
  }
  for (const [name, request] of Object.entries(messageRequests(model))) {
    await attempt(name, () => client.messages.create(request))
    await attempt(`streamed: ${name}`, async () => {
      await drain(await client.messages.create({ ...request, stream: true }))
    })
  }
  await attempt('count of tokens', () =>
    client.messages.countTokens({ model, messages: [{ role: 'user', content: 'Hello' }] })
  )
  await attempt('models: list', () => client.models.list())
  await attempt('models: one', () => client.models.retrieve(model))
  const hello = ask(model, 'Hello')
  await attempt('error: unknown model', () =>
    refused(404, client.messages.create({ ...hello, model: 'no-such-model' }))
  )
  await attempt('error: model that is not listed', () =>
    refused(404, client.models.retrieve('none'))
  )
  await attempt('error: wrong key', () => refused(401, stranger.messages.create(hello)))
  await attempt('error: invalid request', () =>
    refused(400, client.messages.create({ ...hello, messages: [] }))
  )
  await attempt('error: too many requests', () =>
    refused(429, client.messages.create(ask(model, 'sim:throttled=1')))
  )
  await attempt('error: broken off while streamed', () =>
    refused(
      undefined,
      client.messages.create({ ...ask(model, 'sim:exception-mid'), stream: true }).then(drain)
    )
  )
  return cases
}

type MessageRequest = Anthropic.MessageCreateParamsNonStreaming

const SCHEMA = {
  type: 'object' as const,
  properties: { location: { type: 'string' } },
  required: ['location'],
  additionalProperties: false
}
const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII='

function ask(model: string, content: string, more: Partial<MessageRequest> = {}): MessageRequest {
  return { model, max_tokens: 4096, messages: [{ role: 'user', content }], ...more }
}

function messageRequests(model: string): Readonly<Record<string, MessageRequest>> {
  const tool = (name: string): Anthropic.Tool => ({
    name,
    description: `Knows the ${name}.`,
    input_schema: SCHEMA
  })
  const show = (block: Anthropic.ContentBlockParam): MessageRequest => ({
    model,
    max_tokens: 4096,
    messages: [{ role: 'user', content: [block] }]
  })
  return {
    'a text': ask(model, 'Hello'),
    'a system text': ask(model, 'Hello', { system: 'Be brief.' }),
    'cut at max_tokens': ask(model, 'Count to a thousand. sim:events=500', { max_tokens: 20 }),
    'ended by a stop text': ask(model, 'sim:say="one two three"', { stop_sequences: ['two'] }),
    'refused by a filter': ask(model, 'Hello sim:filtered'),
    'a context window that is full': ask(model, 'Hello sim:context-full'),
    'a call': ask(model, 'How is the weather?', { tools: [tool('weather')] }),
    'calls in parallel': ask(model, 'What are weather and time?', {
      tools: [tool('weather'), tool('time')]
    }),
    'a forced call': ask(model, 'Hello', {
      tools: [tool('weather')],
      tool_choice: { type: 'tool', name: 'weather' }
    }),
    'a result': {
      model,
      max_tokens: 4096,
      tools: [tool('weather')],
      messages: [
        { role: 'user', content: 'How is the weather?' },
        {
          role: 'assistant',
          content: [
            { type: 'tool_use', id: 'call_1', name: 'weather', input: { location: 'Oslo' } }
          ]
        },
        {
          role: 'user',
          content: [{ type: 'tool_result', tool_use_id: 'call_1', content: 'sunny' }]
        }
      ]
    },
    'a JSON schema': ask(model, 'Name a city.', {
      output_config: { format: { type: 'json_schema', schema: SCHEMA } }
    }),
    thinking: ask(model, 'Think about it.', { thinking: { type: 'adaptive' } }),
    'thinking, not shown': ask(model, 'Think about it.', {
      thinking: { type: 'adaptive', display: 'omitted' }
    }),
    'web search': ask(model, 'use tool web_search with {"query":"Kiro"}', {
      tools: [{ type: 'web_search_20250305', name: 'web_search' }]
    }),
    'a picture': show({
      type: 'image',
      source: { type: 'base64', media_type: 'image/png', data: PIXEL }
    }),
    'a PDF': show({
      type: 'document',
      source: {
        type: 'base64',
        media_type: 'application/pdf',
        data: smallPdf(['Page one']).toString('base64')
      }
    })
  }
}

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

async function refused(status: number | undefined, answer: Promise<unknown>): Promise<void> {
  const error = await answer.then(
    () => null,
    (error: unknown) => error
  )
  if (!(error instanceof Anthropic.APIError)) throw new Error(`was not refused: ${String(error)}`)
  if (error.status !== status) throw new Error(`status ${error.status}, not ${status}`)
}
