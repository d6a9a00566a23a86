import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { FakePrimary } from '../helper/fake-primary.ts'

/** A connection to a worker that stays open; `ask` gives the answer's head. */
async function openConnection(url: string) {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  await once(socket, 'connect')
  const ask = async (path: string): Promise<string> => {
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good-key\r\n\r\n`)
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    return chunk.toString()
  }
  return { socket, ask }
}

async function setUp(t: Test, DRAIN_TIMEOUT: string) {
  const upstream = await CountingUpstream.start(t)
  const primary = await FakePrimary.start(t, upstream.url, { env: { DRAIN_TIMEOUT } })
  return { upstream, primary, client: await openConnection(primary.url) }
}

t.test('a worker that retires', async (t) => {
  t.test('takes no new connection, and serves those that are open a last time', async (t) => {
    const { primary, client } = await setUp(t, '60')
    const other = await openConnection(primary.url)
    t.notMatch((await client.ask('/health')).toLowerCase(), '\r\nconnection: close')
    primary.tell({ type: 'worker.retire', patienceMs: 60_000 })
    primary.tell({ type: 'worker.retire', patienceMs: 60_000 })
    await t.rejects(fetch(`${primary.url}/health`))
    for (const { ask, socket } of [client, other]) {
      const closed = once(socket, 'close')
      const answer = await ask('/v1/models')
      t.match(answer, /^HTTP\/1\.1 200 /)
      t.match(answer.toLowerCase(), '\r\nconnection: close\r\n')
      await closed
    }
    await t.resolves(primary.worker.stopped)
  })

  t.test('closes connections on which nothing comes any more after DRAIN_TIMEOUT', async (t) => {
    const { primary, client } = await setUp(t, '0.05')
    primary.tell({ type: 'worker.retire', patienceMs: 60_000 })
    await once(client.socket, 'close')
    await t.resolves(primary.worker.stopped)
  })

  t.test('drains when it is told to meanwhile', async (t) => {
    const { primary, client } = await setUp(t, '60')
    primary.tell({ type: 'worker.retire', patienceMs: 60_000 })
    primary.tell({ type: 'worker.drain' })
    await once(client.socket, 'close')
    await t.resolves(primary.worker.stopped)
  })

  t.test('waits for streams for as long as it was told, and then tells them', async (t) => {
    const { upstream, primary } = await setUp(t, '0.01')
    const came = new Promise<void>((resolve) => {
      upstream.onRequest = () => resolve() // and never answers
    })
    const answer = fetch(`${primary.url}/v1/messages`, {
      method: 'POST',
      headers: { authorization: 'Bearer good-key', 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'claude-haiku-4.5',
        max_tokens: 10,
        messages: [{ role: 'user', content: 'hi' }]
      })
    })
    await came
    const began = performance.now()
    primary.tell({ type: 'worker.retire', patienceMs: 300 })
    t.equal((await answer).status, 503)
    t.ok(performance.now() - began > 300)
    await t.resolves(primary.worker.stopped)
  })
})
