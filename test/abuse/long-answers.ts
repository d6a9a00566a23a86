import { setTimeout as delay } from 'node:timers/promises'
import { readSse } from '../helper/sse-messages.ts'
import type { AbuseStand } from './stand.ts'

export const Dialects = ['chat', 'responses', 'messages'] as const
export type Dialect = (typeof Dialects)[number]

export interface LongQuestion {
  readonly dialect: Dialect
  readonly isStream: boolean
  readonly prompt: string
}

export interface LongAnswer {
  readonly status: number
  readonly text: string
}

const Paths = {
  chat: '/v1/chat/completions',
  responses: '/v1/responses',
  messages: '/v1/messages'
} as const

const Schema = { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] }
const Write = { name: 'write', description: 'Writes a text.' }

/** Between two questions: the simulator is busy with each before it answers, and others wait for it, not for the gateway. */
const GapMs = 100

/** Asks so often, without waiting for the answers. */
export function askAtOnce(
  stand: Pick<AbuseStand, 'url' | 'key'>,
  question: LongQuestion,
  count: number
): Promise<LongAnswer[]> {
  const all = Array.from({ length: count }, async (_, at) => {
    await delay(at * GapMs)
    return ask(stand, question)
  })
  return Promise.all(all)
}

/** Asks with one tool on offer, `write`, and reads the whole answer. */
export async function ask(
  { url, key }: Pick<AbuseStand, 'url' | 'key'>,
  question: LongQuestion
): Promise<LongAnswer> {
  const response = await fetch(url + Paths[question.dialect], {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(bodyOf(question))
  })
  return { status: response.status, text: await response.text() }
}

function bodyOf({ dialect, isStream, prompt }: LongQuestion): object {
  const common = { model: 'claude-haiku-4.5', stream: isStream }
  const messages = [{ role: 'user', content: prompt }]
  if (dialect === 'chat') {
    const tool = { type: 'function', function: { ...Write, parameters: Schema } }
    return { ...common, messages, tools: [tool], reasoning_effort: 'high' }
  }
  if (dialect === 'responses') {
    const tool = { type: 'function', ...Write, parameters: Schema }
    const reasoning = { effort: 'high', summary: 'auto' }
    return { ...common, input: prompt, tools: [tool], reasoning, store: false }
  }
  const tools = [{ ...Write, input_schema: Schema }]
  const thinking = { type: 'enabled', budget_tokens: 8000 }
  return { ...common, messages, tools, thinking, max_tokens: 64_000_000 }
}

/** The arguments of the only call in an answer, wherever its dialect tells them; each place must say the same. */
export function argumentsIn({ dialect, isStream }: LongQuestion, { text }: LongAnswer): string {
  const places = isStream ? streamed[dialect](text) : [collected[dialect](JSON.parse(text))]
  const [first = ''] = places
  if (places.some((place) => place !== first)) throw new Error(`${dialect} contradicts itself`)
  return first
}

/** Why a stream ended, in its dialect's word. */
export function endOf(dialect: Dialect, text: string): string {
  const pattern = {
    chat: /"finish_reason":"(\w+)"/g,
    responses: /"incomplete_details":\{"reason":"(\w+)"/g,
    messages: /"stop_reason":"(\w+)"/g
  }[dialect]
  return [...text.slice(-4096).matchAll(pattern)].at(-1)?.[1] ?? tailOf(dialect, text)
}

/** The last event of a response repeats all of the answer, and says before it what it is. */
function tailOf(dialect: Dialect, text: string): string {
  return dialect === 'responses' && text.includes('"reason":"max_output_tokens"')
    ? 'max_output_tokens'
    : text.slice(-300)
}

type Json = any // eslint-disable-line -- an answer, read by what it is known to be

const collected: Readonly<Record<Dialect, (body: Json) => string>> = {
  chat: ({ choices }) => choices[0].message.tool_calls[0].function.arguments,
  responses: ({ output }) => output.find((item: Json) => item.type === 'function_call').arguments,
  messages: ({ content }) =>
    JSON.stringify(content.find((block: Json) => block.type === 'tool_use').input)
}

const streamed: Readonly<Record<Dialect, (text: string) => readonly string[]>> = {
  chat: (text) => [
    eventsOf(text)
      .map(({ choices }) => choices[0]?.delta?.tool_calls?.[0]?.function?.arguments ?? '')
      .join('')
  ],
  responses: (text) => {
    const events = eventsOf(text)
    const deltas = events.filter(({ type }) => type === 'response.function_call_arguments.delta')
    const done = events.find(({ type }) => type === 'response.function_call_arguments.done')
    const item = events.findLast(({ type }) => type === 'response.output_item.done')
    const { response } = events.findLast(({ type }) => type === 'response.completed')
    return [
      deltas.map(({ delta }) => delta).join(''),
      done.arguments,
      item.item.arguments,
      collected.responses(response)
    ]
  },
  messages: (text) => [
    eventsOf(text)
      .map(({ delta }) => delta?.partial_json ?? '')
      .join('')
  ]
}

function eventsOf(text: string): readonly Json[] {
  const { messages } = readSse(text)
  return messages.flatMap(({ data }) => (data === '[DONE]' ? [] : [JSON.parse(data)]))
}
