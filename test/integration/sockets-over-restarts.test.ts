import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { FrameClient, responseIdOf } from '../helper/frame-client.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { endFrame, textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

/** Two workers with a client each; their answers end when `end()` is called. */
async function setUp(t: Test) {
  const held: ServerResponse[] = []
  const upstream = await CountingUpstream.start(t, (request: IncomingMessage, response) => {
    request.resume()
    if (request.url?.includes('generateAssistantResponse') !== true) {
      response.writeHead(404).end()
      return
    }
    response.write(textFrame('hello'))
    held.push(response)
  })
  const gateway = await startGateway({
    upstreamUrl: upstream.url.origin,
    env: {
      WORKERS: '2',
      DRAIN_TIMEOUT: '60',
      PROXY_API_KEY: 'good-key',
      WORKER_STALL_TIMEOUT: 'none' // one is stopped for as long as the test needs
    }
  })
  t.teardown(() => gateway.destroy())
  const open = (): Promise<FrameClient> => FrameClient.open(t, gateway.url)
  const end = (): void => {
    for (const response of held.splice(0)) response.end(endFrame)
  }
  const ask = async (client: FrameClient, previous_response_id: string | null) => {
    client.create({ input: 'hi', previous_response_id })
    while (held.length === 0) await delay(5)
    end()
    return client.answer()
  }
  return { gateway, open, end, ask }
}

/** Resolves with the first words of an answer. */
async function begin(client: FrameClient): Promise<void> {
  client.create({ input: 'hi', store: false })
  while ((await client.next()).type !== 'response.output_text.delta');
}

t.test('SIGUSR2 lets answers end, and clients go on at the next workers', async (t) => {
  const { gateway, open, end, ask } = await setUp(t)
  const idle = await open()
  const busy = await open()
  await begin(busy)
  gateway.child.kill('SIGUSR2')
  await gateway.logged(({ msg, state }) => msg === 'worker changed state' && state === 'starting')
  end()
  const answer = await busy.answer()
  t.match(answer.at(-1), { type: 'response.completed' })
  // One worker after the other.
  t.match(await Promise.all([busy.closed, idle.closed]), [{ code: 1012 }, { code: 1012 }])
  const next = await open()
  next.create({ input: 'hi', previous_response_id: responseIdOf(answer) })
  t.match(await next.answer(), [{ error: { code: 'previous_response_not_found' } }])
  const first = await ask(next, null)
  t.match((await ask(next, responseIdOf(first))).at(-1), { type: 'response.completed' })
})
