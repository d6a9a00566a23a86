import type { Test } from 'tap'
import { readAnthropicStream } from '../helper/anthropic-grammar.ts'
import { readOpenAiStream } from '../helper/openai-grammar.ts'
import { readResponsesStream } from '../helper/responses-grammar.ts'
import { CHAT, chat, MESSAGES, messages, RESPONSES, responses } from './dialects.ts'
import { LATE, MODEL, type Stand, THINKING_MODEL } from './stand.ts'

const OVERFLOW = 'sim:context-overflow'
const ANTHROPIC = /^prompt is too long: (\d+) tokens > (\d+) maximum\b/
const OPENAI = /maximum context length is (\d+) tokens\..* resulted in (\d+) tokens/

const WINDOWS = { [MODEL]: 200_000, [THINKING_MODEL]: 1_000_000 } as const

/** Overlong input is said in the words by which clients compact. */
export async function check(t: Test, stand: Stand): Promise<void> {
  for (const [model, window] of Object.entries(WINDOWS)) {
    for (const stream of [false, true]) {
      t.test(`${model}${stream ? ', streamed' : ''}`, async (t) => {
        const more = { model, stream }
        const anthropic = await stand.call(MESSAGES, { body: messages.ask(OVERFLOW, more) })
        t.equal(anthropic.status, 400)
        const error = anthropic.json['error'] as Record<string, unknown>
        t.equal(error['type'], 'invalid_request_error')
        const [, tokens, maximum] = ANTHROPIC.exec(String(error['message'])) ?? []
        t.equal(Number(maximum), window)
        t.ok(Number(tokens) > window)

        for (const api of [chat, responses]) {
          const answer = await stand.call(api.path, { body: api.ask(OVERFLOW, more) })
          t.equal(answer.status, 400)
          checkOpenAi(t, answer.json['error'], window)
        }
      })
    }
  }

  t.test('the estimate is told where the request really is that long', async (t) => {
    // The simulator refuses it: it is over the window, as its own tokenizer counts.
    const content = 'The parser keeps the rest of a chunk. '.repeat(10_000)
    const turns = ['user', 'assistant', 'user'].map((role) => ({ role, content }))
    const body = messages.ask('', { messages: turns })
    const { status, json } = await stand.call(MESSAGES, { body })
    t.equal(status, 400)
    const { message } = json['error'] as { message: string }
    const [, tokens, maximum] = ANTHROPIC.exec(message) ?? []
    t.equal(Number(maximum), 200_000)
    t.ok(Number(tokens) > 220_000 && Number(tokens) < 450_000, `${tokens} tokens`)
  })

  t.test('inside a stream that has begun', async (t) => {
    const prompt = `${LATE} ${OVERFLOW}`
    const ask = async (path: string, body: unknown): Promise<string> => {
      const answer = await stand.talkative.call(path, { body })
      t.equal(answer.status, 200, 'a heartbeat was sent before the upstream refused')
      return answer.text
    }
    t.test('Messages: event: error', async (t) => {
      const text = await ask(MESSAGES, messages.ask(prompt, { stream: true }))
      const { error } = readAnthropicStream(text)
      t.match(error, { type: 'invalid_request_error', message: ANTHROPIC })
    })
    t.test('Chat Completions: an error chunk', async (t) => {
      const text = await ask(CHAT, chat.ask(prompt, { stream: true }))
      checkOpenAi(t, readOpenAiStream(text).error, 200_000)
    })
    t.test('Responses: response.failed', async (t) => {
      const text = await ask(RESPONSES, responses.ask(prompt, { stream: true }))
      const { response, types } = readResponsesStream(text)
      t.equal(types.at(-1), 'response.failed')
      const error = response['error'] as Record<string, unknown>
      t.equal(error['code'], 'context_length_exceeded')
      t.match(error['message'], OPENAI)
    })
  })
}

function checkOpenAi(t: Test, error: unknown, window: number): void {
  t.match(error, { type: 'invalid_request_error', code: 'context_length_exceeded' })
  const { message } = error as { message: string }
  const [, maximum, tokens] = OPENAI.exec(message) ?? []
  t.equal(Number(maximum), window, message)
  t.ok(Number(tokens) > window)
}
