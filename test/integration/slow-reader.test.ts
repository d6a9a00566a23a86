import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { endFrame, eventFrame, textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

/** Together more than the kernel takes for a client that reads nothing; each is shown to the client with its search. */
const QUERIES = 24
const query = 'q'.repeat(300_000)

const searches = Array.from({ length: QUERIES }, (_, index) =>
  eventFrame('toolUseEvent', {
    toolUseId: `tooluse_${index}`,
    name: 'web_search',
    input: JSON.stringify({ query }),
    stop: true
  })
)

const finds = JSON.stringify({
  jsonrpc: '2.0',
  result: { content: [{ type: 'text', text: '{"results":[]}' }] }
})

/** A gateway whose model searches in its first round, and a client that has asked and reads nothing. */
async function setUp(t: Test, stallTimeout: string) {
  const seen = { rounds: 0, searches: 0 }
  const upstream = await CountingUpstream.start(t, (request, response) => {
    request.resume()
    if (request.url === '/mcp') {
      seen.searches += 1
      response.end(finds)
      return
    }
    if (request.method !== 'POST' || request.url !== '/generateAssistantResponse') {
      response.writeHead(404).end('{}') // models and usage
      return
    }
    seen.rounds += 1
    const isFirst = seen.rounds === 1
    response.end(Buffer.concat(isFirst ? [...searches, endFrame] : [textFrame('Done.'), endFrame]))
  })
  const gateway = await startGateway({
    upstreamUrl: upstream.url.href,
    env: {
      PROXY_API_KEY: 'good-key',
      CLIENT_STALL_TIMEOUT: stallTimeout,
      WORKERS: '1',
      MEMORY_LIMIT: '4G' // calls of 7 MB that wait for their searches are too much to hold in 512M
    }
  })
  t.teardown(() => gateway.destroy())
  const client = connect(Number(new URL(gateway.url).port), '127.0.0.1')
  t.teardown(() => client.destroy())
  await once(client, 'connect')
  ask(client)
  return { seen, gateway, client }
}

function ask(client: Socket): void {
  const body = JSON.stringify({
    model: 'claude-haiku-4.5',
    max_tokens: 10_000_000, // of them the queries take a part
    stream: true,
    messages: [{ role: 'user', content: 'Find out\nall of it.' }],
    tools: [{ type: 'web_search_20250305', name: 'web_search' }]
  })
  const head = `host: x\r\nx-api-key: good-key\r\nconnection: close\r\ncontent-length: ${body.length}`
  client.pause()
  client.write(`POST /v1/messages HTTP/1.1\r\n${head}\r\n\r\n${body}`)
}

t.test('a client that reads nothing between two rounds of its answer', async (t) => {
  t.test('is asked no second round for, and loses its stream in the end', async (t) => {
    const { seen, gateway } = await setUp(t, '2')
    const line = await gateway.logged((one) => one['code'] === 'GW_CLIENT_STALLED')
    t.equal(line['status'], 499)
    t.equal(seen.rounds, 1)
    t.ok(seen.searches > 0)
  })

  t.test('gets the whole of it once it reads', async (t) => {
    const { seen, client } = await setUp(t, '60')
    for (let before = -1; before < seen.searches || seen.searches === 0; await delay(500)) {
      before = seen.searches
    }
    t.equal(seen.rounds, 1, 'what could not be delivered was not asked for')
    const answer = await text(client)
    t.equal(answer.split('"type":"server_tool_use"').length - 1, QUERIES)
    t.match(answer, /Done\..*message_stop/s)
    t.equal(seen.rounds, 2)
  })
})
