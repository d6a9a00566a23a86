import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

/** Heavier than the upstream takes: each of these characters weighs 8. */
const WIDE = '请把解析器改成保留剩余的部分。'.repeat(800)

const turns = Array.from({ length: 18 }, (_, index) => [
  { role: 'user', content: `turn ${index} secret-word ${WIDE}` },
  { role: 'assistant', content: `answer ${index}` }
]).flat()

const body = {
  model: 'claude-haiku-4.5',
  max_tokens: 500,
  messages: [...turns, { role: 'user', content: 'And now? sim:gap=0' }]
}

const post = (url: string, path: string, json: unknown) =>
  fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'x-api-key': 'k', 'content-type': 'application/json' },
    body: JSON.stringify(json)
  })

t.test('a conversation that is too long', async (t) => {
  const debugDir = t.testdir({})
  const env = { PROXY_API_KEY: 'k', DEBUG_MODE: 'errors', DEBUG_DIR: debugDir }

  t.test('is told to the client, and the outline of the request is kept', async (t) => {
    const gateway = await startGateway({ env })
    t.teardown(() => gateway.destroy())
    const messages = await post(gateway.url, '/v1/messages', body)
    t.equal(messages.status, 400)
    t.match(await messages.json(), { error: { message: /^prompt is too long: / } })
    const chat = await post(gateway.url, '/v1/chat/completions', body)
    t.match(await chat.json(), { error: { code: 'context_length_exceeded' } })
    let names = readdirSync(debugDir)
    while (names.length < 2) {
      await setTimeout(20) // files are written behind the answers
      names = readdirSync(debugDir)
    }
    const file = readFileSync(join(debugDir, names[0] ?? ''), 'utf8')
    t.match(JSON.parse(file), {
      code: 'GW_CONTEXT_OVERFLOW',
      request: { conversationState: { chatTriggerType: 'MANUAL' } }
    })
    t.notMatch(file, /secret-word|请把/)
  })

  t.test('is trimmed and asked again where the operator wants that', async (t) => {
    const gateway = await startGateway({ env: { ...env, AUTO_TRIM_PAYLOAD: 'true', WORKERS: '1' } })
    t.teardown(() => gateway.destroy())
    const count = await post(gateway.url, '/v1/messages/count_tokens', body)
    for (const stream of [false, true]) {
      const answer = await post(gateway.url, '/v1/messages', { ...body, stream })
      t.equal(answer.status, 200)
      t.match(answer.headers.get('x-kiro-gateway-repairs'), /history-trimmed/)
      t.match(await answer.text(), /simulator/)
    }
    const recount = await post(gateway.url, '/v1/messages/count_tokens', body)
    t.same(await recount.json(), await count.json(), 'what was trimmed teaches nothing')
  })
})

t.test('an improper request says which rules it is near to break', async (t) => {
  const gateway = await startGateway({ env: { PROXY_API_KEY: 'k' } })
  t.teardown(() => gateway.destroy())
  const answer = await post(gateway.url, '/v1/chat/completions', {
    model: 'claude-haiku-4.5',
    messages: [{ role: 'user', content: `${'x'.repeat(450_000)} sim:improper` }]
  })
  t.equal(answer.status, 400)
  t.match(await answer.json(), { error: { message: /Improperly formed request.*turn-length/ } })
})
