import type { Test } from 'tap'
import { readAnthropicStream } from '../helper/anthropic-grammar.ts'
import { readOpenAiStream } from '../helper/openai-grammar.ts'
import { readResponsesStream } from '../helper/responses-grammar.ts'
import { checkAttachments } from './attachments.ts'
import { APIS, CHAT, chat, MESSAGES, messages, RESPONSES, responses } from './dialects.ts'
import { MODEL, type Stand, THINKING_MODEL } from './stand.ts'

type Json = Record<string, unknown>

const MEBIBYTE = 2 ** 20

/** Reasoning out and back in, usage that is true, bodies to 32 MB, images and PDFs wherever they stand. */
export async function check(t: Test, stand: Stand): Promise<void> {
  t.test('reasoning goes out to those who ask, signed where the API has signatures', async (t) => {
    for (const model of [THINKING_MODEL, MODEL]) {
      const anthropic = await stand.call(MESSAGES, {
        body: messages.ask('hi', {
          model,
          stream: true,
          thinking: { type: 'enabled', budget_tokens: 2000 }
        })
      })
      const [thinking] = readAnthropicStream(anthropic.text).blocks
      t.match(thinking, { type: 'thinking', text: /\w/ }, model)
      if (model === THINKING_MODEL) t.match(thinking?.signature, /\w/)
      const openAi = await stand.call(CHAT, {
        body: chat.ask('hi', { model, stream: true, reasoning_effort: 'high' })
      })
      t.match(readOpenAiStream(openAi.text).reasoning, /\w/, model)
      const response = await stand.call(RESPONSES, {
        body: responses.ask('hi', {
          model,
          stream: true,
          reasoning: { effort: 'high', summary: 'auto' },
          include: ['reasoning.encrypted_content']
        })
      })
      const [item] = readResponsesStream(response.text).output
      t.match(item, { type: 'reasoning', summary: [{ type: 'summary_text', text: /\w/ }] }, model)
      if (model === THINKING_MODEL) t.match(item, { encrypted_content: /\w/ })
    }
  })

  t.test('and to nobody else', async (t) => {
    for (const api of APIS) {
      for (const stream of [false, true]) {
        const { text } = await stand.call(api.path, { body: api.ask('hi', { stream }) })
        const { reasoning } = stream
          ? api.readStream(text)
          : api.readWhole(JSON.parse(text) as Json)
        t.equal(reasoning, '')
        t.notMatch(text, /thinking|<think/)
      }
    }
    const disabled = { model: THINKING_MODEL, thinking: { type: 'disabled' } }
    const { json } = await stand.call(MESSAGES, { body: messages.ask('hi', disabled) })
    t.equal(messages.readWhole(json).reasoning, '')
  })

  t.test('it is taken back in every form, whoever signed it', async (t) => {
    const asked = { role: 'user', content: 'one' }
    const again = { role: 'user', content: 'two' }
    const text = { type: 'text', text: 'Yes.' }
    for (const block of [
      { type: 'thinking', thinking: 'hm', signature: 'EqQBCgIYAhIM' },
      { type: 'thinking', thinking: '', signature: 'x'.repeat(5000) },
      { type: 'thinking', thinking: 'hm' },
      { type: 'redacted_thinking', data: 'b3BhcXVl' }
    ]) {
      const { status } = await stand.call(MESSAGES, {
        body: messages.ask('', {
          thinking: { type: 'adaptive' },
          messages: [asked, { role: 'assistant', content: [block, text] }, again]
        })
      })
      t.equal(status, 200, JSON.stringify(block).slice(0, 80))
      t.match(stand.lastSent.conversationState.history?.[1], {
        assistantResponseMessage: { content: 'Yes.' }
      })
    }
    const assistant = { role: 'assistant', content: 'Yes.', reasoning_content: 'hm' }
    const openAi = await stand.call(CHAT, {
      body: chat.ask('', { messages: [asked, assistant, again] })
    })
    t.equal(openAi.status, 200)
    for (const reasoning of [
      { type: 'reasoning', id: 'rs_1', summary: [], content: null, encrypted_content: 'gAAAA' },
      { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'hm' }] }
    ]) {
      const { status } = await stand.call(RESPONSES, {
        body: {
          model: MODEL,
          store: false,
          input: [asked, reasoning, { role: 'assistant', content: 'Yes.' }, again]
        }
      })
      t.equal(status, 200)
      t.notMatch(JSON.stringify(stand.lastSent), /rs_1|gAAAA/)
    }
  })

  t.test('usage is what the upstream counts, the same in every API', async (t) => {
    // Tells uncached, cached and written tokens apart.
    const prompt = 'sim:token-usage sim:say="one two three"'
    const askAll = async () => {
      const anthropic = await stand.call(MESSAGES, { body: messages.ask(prompt) })
      const openAi = await stand.call(CHAT, { body: chat.ask(prompt) })
      const response = await stand.call(RESPONSES, { body: responses.ask(prompt) })
      const streamed = await stand.call(MESSAGES, { body: messages.ask(prompt, { stream: true }) })
      const { message, usage: end } = readAnthropicStream(streamed.text)
      const usage = anthropic.json['usage'] as Record<string, number>
      return { usage, openAi, response, end: { ...Object(message['usage']), ...end } }
    }
    let { usage, openAi, response, end } = await askAll()
    // What a gateway has just learnt of counts moves a token to the hidden ones: then all are asked once more.
    while (end['hidden_tokens'] !== usage['hidden_tokens'])
      ({ usage, openAi, response, end } = await askAll())
    const input =
      (usage['input_tokens'] ?? 0) +
      (usage['cache_read_input_tokens'] ?? 0) +
      (usage['cache_creation_input_tokens'] ?? 0)
    const output = usage['output_tokens']
    t.ok(input > 0 && Number(output) > 0)
    t.match(openAi.json['usage'], { prompt_tokens: input, completion_tokens: output })
    t.match(response.json['usage'], { input_tokens: input, output_tokens: output })
    // Its start cannot know what will be written to the cache, and its end has no member for the parts of that. How far the
    // input may be off is less with each answer that the gateway learns from.
    t.match(end, { ...usage, cache_creation: null, tokens_within: Number })
  })

  t.test('usage grows with the conversation, also where only a percentage is told', async (t) => {
    for (const api of APIS) {
      let before = 0
      for (const words of [10, 2000, 8000]) {
        const { json } = await stand.call(api.path, {
          body: api.ask(`${'word '.repeat(words)}\n\nhi`)
        })
        const usage = json['usage'] as Record<string, number>
        const input = usage['input_tokens'] ?? usage['prompt_tokens'] ?? 0
        t.ok(input > before + words * 0.5 - 10, `${api.path}: ${input} tokens of ${words} words`)
        before = input
      }
    }
  })

  t.test(`a body of ${stand.largestMb} MB is read and counted`, async (t) => {
    const bytes = stand.largestMb * MEBIBYTE
    const content = 'lorem "ipsum" dolor\n'.repeat(bytes / 23)
    const body = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content }] })
    t.ok(Math.abs(body.length - bytes) < MEBIBYTE, `${body.length} bytes`)
    const { status, json } = await stand.call(`${MESSAGES}/count_tokens`, { body })
    t.equal(status, 200)
    t.ok(Number(json['input_tokens']) > bytes / 6.5)
  })

  t.test('images and PDFs in content and in tool results reach the model', (t) =>
    checkAttachments(t, stand)
  )
}
