import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { startChat } from '../helper/chat-client.ts'
import { runKiroGateway } from '../helper/cli-process.ts'
import { GatewayProcess } from '../helper/gateway-process.ts'
import { startSimulator } from '../helper/run-simulator.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

t.test(
  'a receiver of alerts hears of a limit, and one that is silent holds up no request',
  async (t) => {
    const bodies: string[] = []
    const receiver = createServer((request) => {
      request.setEncoding('utf8').on('data', (text: string) => void bodies.push(text))
    })
    await once(receiver.listen(0, '127.0.0.1'), 'listening')
    t.teardown(() => {
      receiver.closeAllConnections()
      receiver.close()
    })
    const { url } = await startSimulator(t)
    const gateway = new GatewayProcess({
      upstreamUrl: url,
      env: {
        STATE_DIR: 'state',
        HTTP_MAX_CONNECTIONS: '2',
        ALERT_WEBHOOK_URL: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/of-mine`
      }
    })
    t.teardown(() => gateway.destroy())
    await gateway.ready()
    const cwd = { cwd: gateway.folder, env: { STATE_DIR: 'state' } }
    const made = await runKiroGateway(['key', 'add', 'anna', '--credits=0.001/total'], cwd)
    await gateway.logged((line) => line['msg'] === 'named keys read again')
    const ask = () =>
      startChat(gateway.url, 'hi', { headers: { 'x-api-key': made.stdout.trim() } }).answer
    const statuses = [(await ask()).status, (await ask()).status]
    t.ok(statuses.includes(429), String(statuses))
    while (bodies.length === 0) await delay(5)
    t.match(JSON.parse(bodies[0] ?? ''), {
      text: /^The key "anna" has used up its limit/,
      type: 'key-limit',
      key: 'anna',
      percent: 100
    })
    t.equal((await ask()).status, 429, 'at once, while the receiver has not answered')
    t.notMatch(gateway.lines.map((line) => JSON.stringify(line)).join(''), 'of-mine')
  }
)
