import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { allHeard } from '../helper/all-heard.ts'
import { AlertReceiver, UNSENT } from '../helper/alert-receiver.ts'
import { startChat } from '../helper/chat-client.ts'
import { runCommandHere } from '../helper/command-here.ts'
import { GatewayProcess } from '../helper/gateway-process.ts'
import { isNightly } from '../helper/nightly.ts'
import { serverUrl } from '../helper/server-url.ts'
import { endFrame, eventFrame, textFrame } from '../helper/upstream-frames.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const OPERATOR = 'operators-own-key'

t.test(
  'a receiver of alerts hears of a limit, and one that is silent holds up no request',
  async (t) => {
    const receiver = await AlertReceiver.start(t, () => {})
    const url = await startUpstream(t)
    const gateway = new GatewayProcess({
      upstreamUrl: url,
      env: {
        STATE_DIR: 'state',
        PROXY_API_KEY: OPERATOR,
        HTTP_MAX_CONNECTIONS: '2',
        ALERT_WEBHOOK_URL: `${receiver.url}of-mine`
      }
    })
    t.teardown(() => gateway.destroy())
    await gateway.ready()
    const cwd = { cwd: gateway.folder, env: { STATE_DIR: 'state' } }
    const made = await runCommandHere(['key', 'add', 'anna', '--credits=2/total'], cwd)
    await known(gateway)
    const ask = () =>
      startChat(gateway.url, 'hi', { headers: { 'x-api-key': made.stdout.trim() } }).answer
    const statuses = [(await ask()).status, (await ask()).status]
    t.same(statuses, [200, 429])
    await receiver.count(1)
    t.match(receiver.received[0]?.json, {
      text: /^The key "anna" has used up its limit/,
      type: 'key-limit',
      key: 'anna',
      percent: 100
    })
    t.equal((await ask()).status, 429, 'at once, while the receiver has not answered')
    t.notMatch(gateway.lines.map((line) => JSON.stringify(line)).join(''), 'of-mine')
  }
)

t.test('a receiver of alerts hears of a limit that is lowered to what was used', async (t) => {
  const receiver = await AlertReceiver.start(t, (response) => void response.writeHead(204).end())
  const gateway = new GatewayProcess({
    upstreamUrl: await startUpstream(t),
    env: { STATE_DIR: 'state', PROXY_API_KEY: OPERATOR, ALERT_WEBHOOK_URL: receiver.url }
  })
  t.teardown(() => gateway.destroy())
  await gateway.ready()
  const cwd = { cwd: gateway.folder, env: { STATE_DIR: 'state' } }
  const made = await runCommandHere(['key', 'add', 'anna', '--credits=10/total'], cwd)
  const headers = { 'x-api-key': made.stdout.trim() }
  await known(gateway)
  t.equal((await startChat(gateway.url, 'hi', { headers }).answer).status, 200)
  await runCommandHere(['key', 'set', 'anna', '--credits=2.5/total'], cwd)
  await receiver.count(1)
  t.match(receiver.received[0]?.json, { key: 'anna', percent: 80, used: 2, limit: 2.5 })
})

/** Answers cost two credits each, so that one uses up the limit, whatever was set aside for it. */
async function startUpstream(t: Test): Promise<string> {
  const upstream = await CountingUpstream.start(t)
  const cost = eventFrame('meteringEvent', { unit: 'credit', usage: 2 })
  upstream.onRequest = (request, response) => {
    if (request.url?.includes('generateAssistantResponse') === true)
      response.end(Buffer.concat([textFrame('x'), endFrame, cost]))
    else response.writeHead(404).end()
  }
  return upstream.url.origin
}

/** Resolves when all workers know the key: they hear of it after the primary. */
async function known(gateway: GatewayProcess): Promise<void> {
  await gateway.logged((line) => line['msg'] === 'named keys reloaded')
  await allHeard(gateway, OPERATOR)
}

const SECRET = 'between-us'

/** What receivers do with a message, once they have read it. */
const RECEIVERS: Readonly<Record<string, (response: ServerResponse) => void>> = {
  'is slow': (response) => void setTimeout(() => response.writeHead(204).end(), 2_000),
  refuses: (response) => void response.writeHead(500).end('no'),
  'breaks off': (response) => void response.destroy(),
  'breaks off within its answer': (response) => {
    response.writeHead(200, { 'content-length': '1000' }).write('half')
    setTimeout(() => response.destroy(), 20)
  },
  'never stops answering': (response) => {
    const timer = setInterval(() => response.write('and so on '.repeat(1_000)), 5)
    response.on('error', () => {}).once('close', () => clearInterval(timer))
  }
}

/** AlertSender has tests of its own: by day, one receiver that keeps it waiting. */
const BY_DAY = ['never stops answering']

for (const [what, answer] of Object.entries(RECEIVERS)) {
  if (!isNightly && !BY_DAY.includes(what)) continue
  t.test(
    `a receiver of alerts that ${what} affects no request, and can check who tells it`,
    async (t) => {
      const receiver = await AlertReceiver.start(t, answer)
      await checkReceiver(t, receiver.url, async () => {
        await receiver.count(1)
        const [{ headers, body } = UNSENT] = receiver.received
        const signature = headers['x-kiro-gateway-signature']
        t.equal(signature, `sha256=${createHmac('sha256', SECRET).update(body).digest('hex')}`)
      })
    }
  )
}

t.test('a receiver of alerts that is gone affects no request', async (t) => {
  const server = createServer()
  const { href } = await serverUrl(server)
  server.close()
  await once(server, 'close')
  await checkReceiver(t, href, () => Promise.resolve())
})

/** Has a limit reached, which is told, and looks at requests of another key meanwhile. */
async function checkReceiver(
  t: Test,
  receiverUrl: string,
  told: () => Promise<void>
): Promise<void> {
  const url = await startUpstream(t)
  const gateway = new GatewayProcess({
    upstreamUrl: url,
    env: {
      STATE_DIR: 'state',
      PROXY_API_KEY: OPERATOR,
      HTTP_MAX_CONNECTIONS: '1',
      ALERT_WEBHOOK_URL: `${receiverUrl}of-mine`,
      ALERT_WEBHOOK_SECRET: SECRET
    }
  })
  t.teardown(() => gateway.destroy())
  await gateway.ready()
  const cwd = { cwd: gateway.folder, env: { STATE_DIR: 'state' } }
  const made = await runCommandHere(['key', 'add', 'anna', '--credits=2/total'], cwd)
  await known(gateway)
  const ask = (key: string) =>
    startChat(gateway.url, 'hi', { headers: { 'x-api-key': key } }).answer
  t.equal((await ask(made.stdout.trim())).status, 200)
  t.equal((await ask(made.stdout.trim())).status, 429)
  await told()
  for (let n = 0; n < 10; n++) t.equal((await ask(OPERATOR)).status, 200)
  const changes = gateway.lines.filter(({ msg }) => msg === 'worker changed state')
  const states = changes.map(({ state }) => state)
  t.same(states, ['starting', 'ready'], 'the worker has served all the while')
}
