import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { changeKeys, keysPath, makeKey, makeKeyId } from '../../src/keys/key-store.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { FrameClient } from '../helper/frame-client.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { namedKey } from '../helper/named-key.ts'
import { stateFolder } from '../helper/state-folder.ts'
import { endFrame, textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

/** More than fit into the memory for requests in 512 MB. */
const CLIENTS = 40

t.test('messages that wait for a stream of their key hold no memory of others', async (t) => {
  const stateDir = stateFolder(t)
  const { text: key, sha256 } = makeKey()
  const limited = namedKey({ id: makeKeyId(), hashes: [{ sha256, until: null }], maxStreams: 1 })
  await changeKeys(keysPath(stateDir), () => [limited], new AbortController().signal)
  const held: ServerResponse[] = []
  let isHeld = true
  const upstream = await CountingUpstream.start(t, (request, response) => {
    request.resume()
    response.write(textFrame('hello'))
    if (isHeld) held.push(response)
    else response.end(endFrame)
  })
  const gateway = await startGateway({
    upstreamUrl: upstream.url.origin,
    env: {
      WORKERS: '1',
      PROXY_API_KEY: 'good-key',
      STATE_DIR: stateDir,
      MEMORY_LIMIT: '512M',
      TRANSFORM_TIMEOUT: '60' // CPU time, which a busy machine makes longer
    }
  })
  t.teardown(() => gateway.destroy())
  const open = (): Promise<FrameClient> => FrameClient.open(t, gateway.url, { key })
  const first = await open()
  first.create({ input: 'hi' })
  while ((await first.next()).type !== 'response.output_text.delta');
  isHeld = false
  const others = await Promise.all(Array.from({ length: CLIENTS }, open))
  for (const other of others) other.create({ input: 'x'.repeat(1_000_000) })
  const [leaver, ...stayers] = others
  await delay(1_500)
  leaver?.socket.terminate() // the one that has memory
  const answer = await fetch(`${gateway.url}/v1/responses`, {
    method: 'POST',
    headers: { authorization: 'Bearer good-key' },
    body: JSON.stringify({ model: 'auto', input: 'y'.repeat(3_000_000) }),
    signal: AbortSignal.timeout(200_000)
  })
  t.equal(answer.status, 200)
  for (const response of held) response.end(endFrame)
  const answers = await Promise.all(stayers.map((client) => client.answer()))
  t.ok(answers.every((events) => events.at(-1)?.type === 'response.completed'))
})
