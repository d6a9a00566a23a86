import { type AnthropicStream, readAnthropicStream } from '../helper/anthropic-grammar.ts'
import { type OpenAiStream, readOpenAiStream } from '../helper/openai-grammar.ts'
import { readResponsesStream, textOf } from '../helper/responses-grammar.ts'
import { MODEL } from './stand.ts'

type Json = Record<string, unknown>

export const CHAT = '/v1/chat/completions'
export const RESPONSES = '/v1/responses'
export const MESSAGES = '/v1/messages'

/** What an answer says, whichever API it was asked through. */
export interface Said {
  readonly text: string
  readonly reasoning: string
  readonly calls: readonly { readonly name: string; readonly input: unknown }[]
  /** Why it ended, in the words of the API. */
  readonly end: unknown
}

/** One of the three APIs: how to ask for something, and how to read what comes back. */
export interface Api {
  readonly path: string
  /** A request with one user message. */
  ask(prompt: string, more?: Json): Json
  /** A tool of that name with one text, `city`. */
  tool(name: string, more?: Json): Json
  readStream(text: string): Said
  readWhole(json: Json): Said
}

export const chat: Api = {
  path: CHAT,
  ask: (prompt, more) => ({
    model: MODEL,
    messages: [{ role: 'user', content: prompt }],
    ...more
  }),
  tool: (name, more) => ({ type: 'function', function: { name, parameters: CITY, ...more } }),
  readStream: (text) => toSaid(readOpenAiStream(text)),
  readWhole: (json) => {
    const [choice = {}] = json['choices'] as Json[]
    const message = choice['message'] as Json
    const calls = (message['tool_calls'] ?? []) as Json[]
    return {
      text: textMember(message, 'content'),
      reasoning: textMember(message, 'reasoning_content'),
      calls: calls.map((call) => readFunction(call['function'] as Json)),
      end: choice['finish_reason']
    }
  }
}

export const responses: Api = {
  path: RESPONSES,
  ask: (prompt, more) => ({
    model: MODEL,
    input: [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: prompt }] }],
    ...more
  }),
  tool: (name, more) => ({ type: 'function', name, parameters: CITY, strict: false, ...more }),
  readStream: (text) => ofResponse(readResponsesStream(text).response),
  readWhole: ofResponse
}

export const messages: Api = {
  path: MESSAGES,
  ask: (prompt, more) => ({
    model: MODEL,
    max_tokens: 4096,
    messages: [{ role: 'user', content: prompt }],
    ...more
  }),
  tool: (name, more) => ({ name, input_schema: CITY, ...more }),
  readStream: (text) => ofBlocks(readAnthropicStream(text)),
  readWhole: (json) => {
    const blocks = json['content'] as Json[]
    return {
      text: blocks.map((block) => textMember(block, 'text')).join(''),
      reasoning: blocks.map((block) => textMember(block, 'thinking')).join(''),
      calls: blocks
        .filter((block) => block['type'] === 'tool_use')
        .map((block) => ({ name: textMember(block, 'name'), input: block['input'] })),
      end: json['stop_reason']
    }
  }
}

export const APIS = [chat, responses, messages] as const

const CITY = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }

function toSaid({ text, reasoning, calls, finishReason }: OpenAiStream): Said {
  const read = calls.map(({ name, json }) => readFunction({ name, arguments: json }))
  return { text, reasoning, calls: read, end: finishReason }
}

function ofBlocks({ blocks, delta }: AnthropicStream): Said {
  const textsOf = (type: string): string =>
    blocks.map((block) => (block.type === type ? block.text : '')).join('')
  return {
    text: textsOf('text'),
    reasoning: textsOf('thinking'),
    calls: blocks
      .filter((block) => block.type === 'tool_use')
      .map(({ start, text }) => ({
        name: textMember(start, 'name'),
        input: JSON.parse(text) as unknown
      })),
    end: delta['stop_reason']
  }
}

function ofResponse(response: Json): Said {
  const output = response['output'] as Json[]
  const textsOf = (type: string): string =>
    output.map((item) => (item['type'] === type ? textOf(item) : '')).join('')
  return {
    text: textsOf('message'),
    reasoning: textsOf('reasoning'),
    calls: output.filter((item) => item['type'] === 'function_call').map(readFunction),
    end: response['status']
  }
}

function readFunction(called: Json): Said['calls'][number] {
  return {
    name: textMember(called, 'name'),
    input: JSON.parse(textMember(called, 'arguments')) as unknown
  }
}

function textMember(json: Json, name: string): string {
  const value = json[name]
  return typeof value === 'string' ? value : ''
}
