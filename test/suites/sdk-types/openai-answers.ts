import OpenAI from 'openai'
import { smallPdf } from '../../helper/small-pdf.ts'
import type { Case, SuitePlace } from '../suite.ts'
import { AnswerChecker, type AnswerKind } from './answer-checker.ts'
import { readTypes } from './read-schema.ts'

/** What differs from the SDK's types on purpose. */
const ALLOWED = [
  /reasoning_content: is in no type/, // where clients of Chat Completions look for reasoning
  /usage\.credits_used: is in no type/, // what the answer cost
  // As OpenAI's own API has them, and Open Responses wants them.
  /(?:^|\.| )(?:store|frequency_penalty|presence_penalty): is in no type/,
  /^response\.function_call_arguments\.done name: is in no type/,
  /(?:^|\.| )(?:system_fingerprint|user|text\.format\.description): is null/, // the same, where there is none
  /response\.usage: is null/, // the same, before the answer is whole
  /^response\.output_item\.\w+ item\.status: is in no type|output\[\]\.status: is in no type/, // the same, of custom tools
  /(?:^|\.| )output_text: is missing/, // the SDK adds it
  // What clients want to know of a model and find nowhere else.
  /(?:^|\.)(?:name|description|context_length|context_window|max_output_tokens|supported_reasoning_efforts): is in no type$/
]

const KINDS: readonly (readonly [RegExp, AnswerKind])[] = [
  [/\/chat\/completions$/, { whole: 'chatCompletion', event: 'chatChunk', error: 'error' }],
  [/\/input_tokens$/, { whole: 'inputTokens', error: 'error' }],
  [/\/responses$/, { whole: 'response', event: 'responseEvent', error: 'error' }],
  [/\/models$/, { whole: 'models', error: 'error' }],
  [/./, { whole: 'model', error: 'error' }]
]

function kindOf(path: string): AnswerKind {
  const found = KINDS.find(([pattern]) => pattern.test(path))
  if (found === undefined) throw new Error(`nothing is known of ${path}`)
  return found[1]
}

/** Asks for everything that the gateway can say in OpenAI's APIs, whole and streamed. */
export async function checkOpenAIAnswers(place: SuitePlace): Promise<readonly Case[]> {
  const types = await readTypes('openai-types.d.mts', place)
  const checker = new AnswerChecker({ types, kindOf, allowed: ALLOWED })
  const client = new OpenAI({
    baseURL: `${place.url}/v1`,
    apiKey: place.key,
    maxRetries: 0,
    fetch: checker.fetch
  })
  const stranger = new OpenAI({
    baseURL: `${place.url}/v1`,
    apiKey: 'wrong',
    maxRetries: 0,
    fetch: checker.fetch
  })
  const cases: Case[] = []
  const attempt = async (name: string, action: () => Promise<unknown>) => {
    cases.push(await checker.attempt(name, action))
  }
  for (const [name, request] of Object.entries(chatRequests(place.model))) {
    await attempt(`chat: ${name}`, () => client.chat.completions.create(request))
    await attempt(`chat, streamed: ${name}`, async () => {
      const stream_options = { include_usage: true }
      await drain(
        await client.chat.completions.create({ ...request, stream: true, stream_options })
      )
    })
  }
  for (const [name, request] of Object.entries(responseRequests(place.model))) {
    await attempt(`responses: ${name}`, () => client.responses.create(request))
    await attempt(`responses, streamed: ${name}`, async () => {
      await drain(await client.responses.create({ ...request, stream: true }))
    })
  }
  await attempt('responses: count of input tokens', () =>
    client.responses.inputTokens.count({ model: place.model, input: 'Hello' })
  )
  await attempt('models: list', () => client.models.list())
  await attempt('models: one', () => client.models.retrieve(place.model))
  const hello = { model: place.model, messages: [{ role: 'user' as const, content: 'Hello' }] }
  await attempt('error: unknown model', () =>
    refused(404, client.chat.completions.create({ ...hello, model: 'no-such-model' }))
  )
  await attempt('error: model that is not listed', () =>
    refused(404, client.models.retrieve('none'))
  )
  await attempt('error: wrong key', () =>
    refused(401, stranger.responses.create({ model: place.model, input: 'Hello' }))
  )
  await attempt('error: invalid request', () =>
    refused(400, client.chat.completions.create({ ...hello, messages: [] }))
  )
  await attempt('error: chat, broken off while streamed', () => {
    const broken = [{ role: 'user' as const, content: 'sim:exception-mid' }]
    return refused(
      undefined,
      client.chat.completions.create({ ...hello, messages: broken, stream: true }).then(drain)
    )
  })
  // The SDK throws nothing here: `response.failed` is an event as any other.
  await attempt('error: responses, broken off while streamed', async () => {
    const { model } = place
    await drain(await client.responses.create({ model, input: 'sim:exception-mid', stream: true }))
  })
  return cases
}

type ChatRequest = OpenAI.Chat.Completions.ChatCompletionCreateParamsNonStreaming
type ResponseRequest = OpenAI.Responses.ResponseCreateParamsNonStreaming

const SCHEMA = {
  type: 'object',
  properties: { city: { type: 'string' }, inhabitants: { type: 'integer' } },
  required: ['city', 'inhabitants'],
  additionalProperties: false
}
const PARAMETERS = {
  type: 'object',
  properties: { location: { type: 'string' } },
  required: ['location'],
  additionalProperties: false
}
const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII='
const PDF = `data:application/pdf;base64,${smallPdf(['Page one']).toString('base64')}`

function chatRequests(model: string): Readonly<Record<string, ChatRequest>> {
  const ask = (content: string, more: Partial<ChatRequest> = {}): ChatRequest => ({
    model,
    messages: [{ role: 'user', content }],
    ...more
  })
  const tool = (name: string): OpenAI.Chat.Completions.ChatCompletionFunctionTool => ({
    type: 'function',
    function: { name, description: `Knows the ${name}.`, parameters: PARAMETERS }
  })
  const call = {
    id: 'call_1',
    type: 'function' as const,
    function: { name: 'weather', arguments: '{"location":"Oslo"}' }
  }
  return {
    'a text': ask('Hello'),
    'a system text': {
      model,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hello' }
      ]
    },
    'cut at max_tokens': ask('Count to a thousand. sim:events=500', { max_completion_tokens: 20 }),
    'ended by a stop text': ask('sim:say="one two three"', { stop: ['two'] }),
    filtered: ask('Hello sim:filtered'),
    'a call': ask('How is the weather?', { tools: [tool('weather')] }),
    'calls in parallel': ask('What are weather and time?', {
      tools: [tool('weather'), tool('time')]
    }),
    'a forced call': ask('Hello', {
      tools: [tool('weather')],
      tool_choice: { type: 'function', function: { name: 'weather' } }
    }),
    'a result': {
      model,
      tools: [tool('weather')],
      messages: [
        { role: 'user', content: 'How is the weather?' },
        { role: 'assistant', content: null, tool_calls: [call] },
        { role: 'tool', tool_call_id: 'call_1', content: 'sunny' }
      ]
    },
    'a function in the old form': ask('How is the weather?', {
      functions: [{ name: 'weather', description: 'Knows the weather.', parameters: PARAMETERS }]
    }),
    'a JSON schema': ask('Name a city.', {
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'city', schema: SCHEMA, strict: true }
      }
    }),
    'any JSON': ask('Name a city, as JSON.', { response_format: { type: 'json_object' } }),
    reasoning: ask('Think about it.', { reasoning_effort: 'high' }),
    'web search': ask('use tool web_search with {"query":"Kiro"}', {
      tools: [{ type: 'web_search' } as unknown as OpenAI.Chat.Completions.ChatCompletionTool]
    }),
    'a picture': {
      model,
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: PIXEL } }] }]
    },
    'a PDF': {
      model,
      messages: [
        {
          role: 'user',
          content: [{ type: 'file', file: { filename: 'page.pdf', file_data: PDF } }]
        }
      ]
    }
  }
}

function responseTool(name: string): OpenAI.Responses.FunctionTool {
  return {
    type: 'function',
    name,
    description: `Knows the ${name}.`,
    parameters: PARAMETERS,
    strict: true
  }
}

function responseRequests(model: string): Readonly<Record<string, ResponseRequest>> {
  const ask = (input: ResponseRequest['input'], more: Partial<ResponseRequest> = {}) => ({
    model,
    input: input ?? '',
    ...more
  })
  return {
    'a text': ask('Hello'),
    'instructions and settings': ask('Hello', {
      instructions: 'Be brief.',
      temperature: 0.5,
      top_p: 0.9,
      metadata: { purpose: 'test' },
      max_output_tokens: 4000,
      store: false,
      safety_identifier: 'someone',
      prompt_cache_key: 'a-conversation',
      service_tier: 'auto',
      truncation: 'auto',
      parallel_tool_calls: false,
      text: { verbosity: 'low' }
    }),
    'cut at max_output_tokens': ask('Count to a thousand. sim:events=500', {
      max_output_tokens: 20
    }),
    filtered: ask('Hello sim:filtered'),
    'a call': ask('How is the weather?', { tools: [responseTool('weather')] }),
    'calls in parallel': ask('What are weather and time?', {
      tools: [responseTool('weather'), responseTool('time')]
    }),
    'a forced call': ask('Hello', {
      tools: [responseTool('weather')],
      tool_choice: { type: 'function', name: 'weather' }
    }),
    'allowed tools': ask('Hello', {
      tools: [responseTool('weather'), responseTool('time')],
      tool_choice: {
        type: 'allowed_tools',
        mode: 'required',
        tools: [{ type: 'function', name: 'time' }]
      }
    }),
    'a result': ask(
      [
        { role: 'user', content: 'How is the weather?' },
        {
          type: 'function_call',
          call_id: 'call_1',
          name: 'weather',
          arguments: '{"location":"Oslo"}'
        },
        { type: 'function_call_output', call_id: 'call_1', output: 'sunny' }
      ],
      { tools: [responseTool('weather')] }
    ),
    'a call of a tool that takes text': ask('use tool patch with {"input":"*** Begin Patch"}', {
      tools: [{ type: 'custom', name: 'patch', description: 'Applies a patch.' }]
    }),
    'a JSON schema': ask('Name a city.', {
      text: { format: { type: 'json_schema', name: 'city', schema: SCHEMA, strict: true } }
    }),
    'any JSON': ask('Name a city, as JSON.', { text: { format: { type: 'json_object' } } }),
    reasoning: ask('Think about it.', {
      reasoning: { effort: 'high', summary: 'auto' },
      include: ['reasoning.encrypted_content']
    }),
    'web search': ask('use tool web_search with {"query":"Kiro"}', {
      tools: [{ type: 'web_search' }],
      include: ['web_search_call.action.sources']
    }),
    'a picture': ask([
      { role: 'user', content: [{ type: 'input_image', image_url: PIXEL, detail: 'auto' }] }
    ]),
    'a PDF': ask([
      { role: 'user', content: [{ type: 'input_file', filename: 'page.pdf', file_data: PDF }] }
    ])
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
  if (!(error instanceof OpenAI.APIError)) throw new Error(`was not refused: ${String(error)}`)
  if (error.status !== status) throw new Error(`status ${error.status}, not ${status}`)
}
