import { statSync } from 'node:fs'
import { join } from 'node:path'
import OpenAI from 'openai'
import t from 'tap'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { startSimulator } from '../helper/run-simulator.ts'

t.setTimeout(600_000)

const KEY = 'the-key-of-the-operator'
const model = 'claude-haiku-4.5'

t.test('a restart ends no conversation that was stored or compacted', async (t) => {
  const { url: upstreamUrl } = await startSimulator(t)
  const state = t.testdir()
  const start = async (): Promise<{ gateway: GatewayProcess; client: OpenAI }> => {
    const env = { PROXY_API_KEY: KEY, STATE_DIR: state }
    const gateway = await startGateway({ upstreamUrl, env })
    t.teardown(() => gateway.destroy())
    return { gateway, client: new OpenAI({ apiKey: KEY, baseURL: `${gateway.url}/v1` }) }
  }
  const before = await start()
  const stored = await before.client.responses.create({ model, input: 'one' })
  const compacted = await before.client.responses.compact({ model, input: 'sum this up' })
  t.match(compacted.usage, { credits_used: Number }, 'its credits are told')
  t.equal(statSync(join(state, 'compaction.key')).mode & 0o777, 0o600)
  await before.gateway.destroy()

  const { client } = await start()
  t.same(await client.responses.retrieve(stored.id), stored)
  const goneOn = await client.responses.create({
    model,
    input: 'two',
    previous_response_id: stored.id
  })
  t.equal(goneOn.status, 'completed')
  const input = [...compacted.output, { role: 'user', content: 'three' }]
  const after = await client.responses.create({
    model,
    input: input as OpenAI.Responses.ResponseInput
  })
  t.equal(after.status, 'completed')
})
