import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { changeKeys, keysPath, makeKey, makeKeyId } from '../../src/keys/key-store.ts'
import { startChat } from '../helper/chat-client.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { namedKey } from '../helper/named-key.ts'
import { stateFolder } from '../helper/state-folder.ts'
import { endFrame, eventFrame, textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const COST = 0.01
/** The last answers reserved as much as they cost: what is held for the next ones is of that size. */
const LOST_AT_MOST = 10 * COST

for (const killed of ['worker', 'gateway'] as const) {
  t.test(`a ${killed} that dies while its key is idle loses little`, async (t) => {
    const upstream = await CountingUpstream.start(t)
    upstream.onRequest = (request, response) => {
      if (request.url?.includes('generateAssistantResponse') !== true) {
        response.writeHead(404).end()
        return
      }
      response.write(textFrame('x'))
      const cost = eventFrame('meteringEvent', { unit: 'credit', usage: COST })
      response.end(Buffer.concat([endFrame, cost]))
    }
    const stateDir = stateFolder(t)
    const { text, sha256 } = makeKey()
    const key = namedKey({
      id: makeKeyId(),
      name: 'anna',
      hashes: [{ sha256, until: null }],
      credits: { limit: 50, period: 'total' }
    })
    await changeKeys(keysPath(stateDir), () => [key], new AbortController().signal)
    const start = async () => {
      const gateway = await startGateway({
        upstreamUrl: upstream.url.origin,
        env: { STATE_DIR: stateDir, WORKERS: '1' }
      })
      t.teardown(() => gateway.destroy())
      return gateway
    }
    const headers = { 'x-api-key': text }
    let gateway = await start()
    for (let n = 0; n < 5; n++) await startChat(gateway.url, 'hello', { headers }).answer
    await delay(8_000) // what the key does not need is given back within 2 s, later on a busy machine
    const [worker] = gateway.workerPids()
    if (worker === undefined) throw new Error('there is no worker')
    const from = gateway.lines.length
    if (killed === 'gateway') {
      gateway.child.kill('SIGKILL')
      process.kill(worker, 'SIGKILL')
      await gateway.exited
      gateway = await start()
    } else {
      process.kill(worker, 'SIGKILL')
      await gateway.logged(
        (line) => line['msg'] === 'worker changed state' && line['state'] === 'ready',
        from
      )
    }
    const answer = await fetch(`${gateway.url}/v1/usage`, { headers })
    const { used } = (await answer.json()) as { readonly used: number }
    t.comment(`${5 * COST} were metered, ${used} count as used`)
    t.ok(used <= 5 * COST + LOST_AT_MOST, `${used}`)
  })
}
