import t from 'tap'
import { startGateway } from '../helper/gateway-process.ts'

t.setTimeout(300_000) // real processes, on a machine that may be busy

// kiro-protocol §9.10: signed reasoning goes back, and stays out once it was refused (A46).

interface Block {
  readonly type: string
  readonly signature?: string
}

const ask = (messages: readonly object[], stream = false) => ({
  model: 'claude-opus-5',
  max_tokens: 4000,
  thinking: { type: 'adaptive' },
  stream,
  messages
})

t.test('A46, C26. signed reasoning', async (t) => {
  const gateway = await startGateway({ env: { PROXY_API_KEY: 'k', WORKERS: '1' } })
  t.teardown(() => gateway.destroy())
  const post = (body: object) =>
    fetch(`${gateway.url}/v1/messages`, {
      method: 'POST',
      headers: { 'x-api-key': 'k', 'content-type': 'application/json' },
      body: JSON.stringify(body)
    })
  const strips = () =>
    gateway.lines.filter(({ msg }) => msg === 'reasoning of earlier answers left out').length

  const question = { role: 'user', content: 'What is it? sim:gap=0 sim:split-signature' }
  const first = await post(ask([question]))
  t.equal(first.status, 200)
  const { content } = (await first.json()) as { readonly content: readonly Block[] }
  t.match(content, [{ type: 'thinking', signature: /^[A-Za-z0-9+/]{86}==$/ }, { type: 'text' }])
  const history = [question, { role: 'assistant', content }]
  const next = { role: 'user', content: 'And then? sim:gap=0' }

  const good = await post(ask([...history, next]))
  t.equal(good.status, 200)
  t.notMatch(good.headers.get('x-kiro-gateway-repairs'), /reasoning-refused/)
  await good.text()
  t.equal(strips(), 0, 'the upstream takes it as it came')

  const forged = content.map((block) =>
    block.signature === undefined ? block : { ...block, signature: 'A'.repeat(88) }
  )
  for (const stream of [false, true]) {
    const answer = await post(ask([question, { role: 'assistant', content: forged }, next], stream))
    t.equal(answer.status, 200)
    t.match(answer.headers.get('x-kiro-gateway-repairs'), /reasoning-refused/)
    t.match(await answer.text(), /simulator/)
    t.equal(strips(), 1, 'refused once, then left out from the start')
  }
})
