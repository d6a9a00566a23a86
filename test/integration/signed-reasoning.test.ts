import t, { type Test } from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { startSimulator } from '../helper/run-simulator.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

// kiro-protocol §9.10: signed reasoning goes back, and stays out once it was refused.

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

/** A gateway whose requests for an answer that sent reasoning back and were refused are counted. */
async function start(t: Test, env: Readonly<Record<string, string>> = {}) {
  const gateway = await startGateway({ env: { PROXY_API_KEY: 'k', WORKERS: '1', ...env } })
  t.teardown(() => gateway.destroy())
  const post = (body: object) =>
    fetch(`${gateway.url}/v1/messages`, {
      method: 'POST',
      headers: { 'x-api-key': 'k', 'content-type': 'application/json' },
      body: JSON.stringify(body)
    })
  const strips = () =>
    gateway.lines.filter(({ msg }) => msg === 'reasoning of earlier answers left out').length
  return { gateway, post, strips }
}

t.test('signed reasoning outlives a restart, and goes to no other account twice', async (t) => {
  const simulator = new Simulator({ gapMs: 0 })
  const { url } = await simulator.start()
  t.teardown(() => simulator.close())
  const signedInAs = (account: string) =>
    start(t, { KIRO_API_URL: url, KIRO_API_KEY: `ksk_${account}_0123456789abcdef` })
  const calls = () => simulator.stats().requests.byOperation['generateAssistantResponse'] ?? 0

  const before = await signedInAs('one')
  const question = { role: 'user', content: 'What is it? sim:gap=0' }
  const first = await before.post(ask([question]))
  const { content } = (await first.json()) as { readonly content: readonly Block[] }
  t.match(content, [{ type: 'thinking', signature: /^[A-Za-z0-9+/]{86}==$/ }, { type: 'text' }])
  await before.gateway.stop()
  const next = ask([
    question,
    { role: 'assistant', content },
    { role: 'user', content: 'And then? sim:gap=0' }
  ])

  const restarted = await signedInAs('one')
  let asked = calls()
  const good = await restarted.post(next)
  t.equal(good.status, 200)
  await good.text()
  t.same([calls() - asked, restarted.strips()], [1, 0], 'it is taken as it came')

  const other = await signedInAs('two')
  for (const cost of [2, 1, 1]) {
    asked = calls()
    const answer = await other.post(next)
    t.equal(answer.status, 200)
    t.match(answer.headers.get('x-kiro-gateway-repairs'), /reasoning-refused/)
    await answer.text()
    t.equal(calls() - asked, cost, 'refused once')
  }
})

t.test('signed reasoning', async (t) => {
  const { url } = await startSimulator(t)
  const { post, strips } = await start(t, {
    KIRO_API_URL: url,
    KIRO_API_KEY: 'ksk_0123456789abcdef'
  })

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
