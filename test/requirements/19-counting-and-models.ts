import type { Test } from 'tap'
import { MESSAGES, messages } from './dialects.ts'
import { KEY, type Stand } from './stand.ts'

type Json = Record<string, unknown>

const ANTHROPIC = { 'x-api-key': KEY, 'anthropic-version': '2023-06-01' }

/** What clients ask beside answers: token counts, models, whether anybody is there. */
export async function check(t: Test, stand: Stand): Promise<void> {
  t.test('26 token counts at once, without asking upstream', async (t) => {
    const before = stand.sentCount
    const begunAt = performance.now()
    const counts = await Promise.all(
      Array.from({ length: 26 }, async (_, index) => {
        const { status, json } = await stand.call(`${MESSAGES}/count_tokens?beta=true`, {
          headers: ANTHROPIC,
          body: { model: 'claude-sonnet-5', messages: words(100 + index * 100) }
        })
        t.equal(status, 200)
        return Number(json['input_tokens'])
      })
    )
    t.ok(performance.now() - begunAt < 3000)
    t.ok(
      counts.every((count, index) => count > (counts[index - 1] ?? 0)),
      'more words, more tokens'
    )
    t.equal(stand.sentCount, before)
    const tools = [messages.tool('Bash', { description: 'Runs a command. '.repeat(100) })]
    const { json } = await stand.call(`${MESSAGES}/count_tokens`, {
      body: { model: 'claude-sonnet-5', messages: words(100), tools }
    })
    t.ok(Number(json['input_tokens']) > Number(counts[0]) + 100, 'tools count')
  })

  t.test('the list of models, in the shape of who asks', async (t) => {
    for (const query of ['', '?limit=1000', '?limit=1', '?beta=true']) {
      const begunAt = performance.now()
      const openAi = await stand.call(`/v1/models${query}`)
      const anthropic = await stand.call(`/v1/models${query}`, { headers: ANTHROPIC })
      t.ok(performance.now() - begunAt < 3000)
      for (const { status } of [openAi, anthropic]) t.equal(status, 200, 'no redirect')
      t.match(openAi.json, {
        object: 'list',
        data: [{ id: /\w/, object: 'model', created: Number }]
      })
      t.match(anthropic.json, {
        data: [{ type: 'model', id: /\w/, display_name: /\w/ }],
        has_more: false
      })
      const ids = (anthropic.json['data'] as Json[]).map(({ id }) => String(id))
      t.ok(ids.filter((id) => id.includes('claude')).length >= 3, 'some reach Claude Code’s picker')
    }
  })

  t.test('one model, dots and dashes alike', async (t) => {
    for (const id of ['claude-haiku-4.5', 'claude-haiku-4-5', 'claude-haiku-4-5-20251001']) {
      const openAi = await stand.call(`/v1/models/${id}`)
      t.match(openAi.json, { id, object: 'model', owned_by: 'anthropic' })
      const anthropic = await stand.call(`/v1/models/${id}?beta=true`, { headers: ANTHROPIC })
      t.match(anthropic.json, { id, type: 'model', display_name: 'Claude Haiku 4.5' })
      const { status, json } = await stand.call(MESSAGES, {
        body: messages.ask('hi', { model: id })
      })
      t.equal(status, 200)
      t.equal(json['model'], id, 'echoed as it was sent')
      const { modelId } = stand.lastSent.conversationState.currentMessage.userInputMessage
      t.equal(modelId, 'claude-haiku-4.5')
    }
  })

  t.test('windows, efforts and the largest answer of a model', async (t) => {
    const id = 'claude-opus-5.5'
    const efforts = ['low', 'medium', 'high', 'xhigh', 'max']
    t.match((await stand.call(`/v1/models/${id}`)).json, {
      context_length: 1_000_000,
      max_output_tokens: 128_000,
      supported_reasoning_efforts: efforts,
      description: /1M tokens in, 128k out · effort low, medium, high, xhigh, max · always thinks/
    })
    t.match((await stand.call(`/v1/models/${id}`, { headers: ANTHROPIC })).json, {
      max_input_tokens: 1_000_000,
      max_tokens: 128_000,
      capabilities: { image_input: { supported: true }, effort: { xhigh: { supported: true } } }
    })
    const { json } = await stand.call('/v1/models/gpt-5.6-sol')
    t.match(json, { description: /double price above 272k tokens/ })
  })

  t.test('names that Claude Code makes up itself are served', async (t) => {
    for (const model of [
      'claude-opus-5-5',
      'claude-sonnet-5-5',
      'claude-haiku-5-5',
      'claude-sonnet-5',
      'claude-3-5-haiku-20241022',
      'claude-of-the-future-9'
    ]) {
      const { status, json } = await stand.call(MESSAGES, { body: messages.ask('hi', { model }) })
      t.equal(status, 200, model)
      t.equal(json['model'], model)
      const found = await stand.call(`/v1/models/${model}`)
      t.equal(found.status, 200, `${model} can be looked up`)
      t.match(found.json, { id: model, owned_by: 'anthropic' })
    }
  })

  t.test('probes do no harm', async (t) => {
    for (const path of ['/', '/api/hello']) {
      for (const method of ['HEAD', 'GET']) {
        for (const headers of [{}, { 'x-api-key': 'wrong' }]) {
          const begunAt = performance.now()
          const { status, text, headers: got } = await stand.call(path, { method, headers })
          t.ok(status < 500 && (status < 300 || status === 404), `${method} ${path}: ${status}`)
          t.notOk('location' in got)
          if (method === 'HEAD') t.equal(text, '')
          t.ok(performance.now() - begunAt < 1000)
        }
      }
    }
    t.equal((await stand.call('/api/hello', { method: 'HEAD', headers: {} })).status, 200)
  })
}

function words(count: number) {
  return [{ role: 'user', content: 'word '.repeat(count) }]
}
