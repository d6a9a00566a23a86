import t from 'tap'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { Simulator } from '../strict-simulator/simulator.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

t.test('workers of a gateway that has started rehearse, and nothing counts it', async (t) => {
  const simulator = new Simulator()
  t.teardown(() => simulator.close())
  const { url } = await simulator.start()
  const env = { WORKERS: '2', LOG_LEVEL: 'debug' }
  const gateway = await startGateway({ upstreamUrl: url, env })
  t.teardown(() => gateway.destroy())
  for (const worker of [1, 2]) {
    const { answers } = await gateway.logged(
      (line) => line['msg'] === 'rehearsed' && line['worker'] === worker
    )
    t.equal(answers, 6)
  }
  t.same(await requestsOf(gateway), [])
  t.same(
    gateway.lines.filter(({ msg }) => String(msg).startsWith('request ')),
    []
  )
  t.ok(isComplete(await startChat(gateway.url, 'Say hello.').answer))
  const requests = await requestsOf(gateway)
  t.equal(requests.length, 1)
  t.match(requests[0], / 1$/)
  for (const worker of [1, 2]) {
    await gateway.logged(
      (line) => line['msg'] === 'memory of the start returned' && line['worker'] === worker
    )
  }
  t.ok(isComplete(await startChat(gateway.url, 'Say hello.').answer), 'and they serve')
  t.equal(await gateway.stop(), 0)
})

/** Lines of the metrics that count requests of clients. */
async function requestsOf({ url }: GatewayProcess): Promise<readonly string[]> {
  const response = await fetch(`${url}/metrics`)
  const text = await response.text()
  return text.split('\n').filter((line) => line.startsWith('kiro_gateway_requests_total{'))
}
