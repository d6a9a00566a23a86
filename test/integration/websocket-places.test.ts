import t from 'tap'
import { FrameClient } from '../helper/frame-client.ts'
import { startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000)

const KEY = 'a-key-of-some-length'
const PLACES = 3

t.test('all WebSockets may be of one worker, and are as many as the setting says', async (t) => {
  const gateway = await startGateway({
    env: { PROXY_API_KEY: KEY, WORKERS: '2', WEBSOCKET_MAX_CONNECTIONS: String(PLACES) }
  })
  t.teardown(() => gateway.destroy())
  const { url } = gateway
  const open = (): Promise<FrameClient> => FrameClient.open(t, url, { key: KEY })
  const openSome = async (count: number): Promise<readonly FrameClient[]> => {
    const tried = await Promise.allSettled(Array.from({ length: count }, open))
    return tried.flatMap((one) => (one.status === 'fulfilled' ? one.value : []))
  }
  const clients = await openSome(PLACES + 5)
  t.equal(clients.length, PLACES)
  t.same(await openSome(4), [])

  clients[0]?.socket.close()
  let next: FrameClient | undefined
  while (next === undefined) [next] = await openSome(1) // once the primary has heard of it
  t.match((await next.ask({ input: 'hi' })).at(-1), { type: 'response.completed' })
  t.same(await openSome(4), [])
})
