import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { changeKeys, keysPath, makeKey, makeKeyId } from '../../src/keys/key-store.ts'
import { startChat } from '../helper/chat-client.ts'
import { runKiroGateway } from '../helper/cli-process.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { namedKey } from '../helper/named-key.ts'
import { endFrame, eventFrame, textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const OPERATOR = 'operators-own-key'
/** So much an answer costs: three of them are no round number of anything. */
const COST = 0.123457

t.test(
  'usage, metrics, /v1/usage and the limit tell the same to the last digit, after workers were killed',
  async (t) => {
    let metered = 0
    const upstream = await CountingUpstream.start(t)
    upstream.onRequest = (request, response) => {
      if (request.url?.includes('generateAssistantResponse') !== true) {
        response.writeHead(404).end()
        return
      }
      response.write(textFrame('x'))
      setTimeout(() => {
        if (response.destroyed) return
        metered++
        const cost = eventFrame('meteringEvent', { unit: 'credit', usage: COST })
        response.end(Buffer.concat([endFrame, cost]))
      }, 20)
    }
    const stateDir = t.testdir({})
    const { text: key, sha256 } = makeKey()
    const anna = namedKey({
      id: makeKeyId(),
      hashes: [{ sha256, until: null }],
      credits: { limit: 1_000, period: 'total' }
    })
    await changeKeys(keysPath(stateDir), () => [anna], new AbortController().signal)
    const gateway = await startGateway({
      upstreamUrl: upstream.url.origin,
      env: { STATE_DIR: stateDir, PROXY_API_KEY: OPERATOR, WORKERS: '2' }
    })
    t.teardown(() => gateway.destroy())

    let inFlight = 0
    let lostAtMost = 0
    let isOver = false
    const client = async (): Promise<void> => {
      while (!isOver) {
        inFlight++
        await startChat(gateway.url, 'hi', { headers: { 'x-api-key': key } }).answer.catch(() => {})
        inFlight--
      }
    }
    const clients = Array.from({ length: 8 }, client)
    for (let round = 0; round < 3; round++) {
      await delay(300)
      const [pid] = gateway.workerPids()
      if (pid === undefined) throw new Error('there is no worker')
      const from = gateway.lines.length
      lostAtMost += inFlight
      process.kill(pid, 'SIGKILL')
      await gateway.logged(
        (line) => line['msg'] === 'worker changed state' && line['state'] === 'ready',
        from
      )
    }
    await delay(300)
    isOver = true
    await Promise.all(clients)

    const get = async (path: string, sent: string): Promise<string> => {
      const response = await fetch(gateway.url + path, { headers: { 'x-api-key': sent } })
      return response.text()
    }
    const told = async () => {
      const lines = (await get('/metrics', OPERATOR)).split('\n')
      const line = lines.find((one) => one.startsWith('kiro_gateway_key_credits_total{key="anna"}'))
      const own = JSON.parse(await get('/v1/usage', key))
      const { code, stdout } = await runKiroGateway(['usage', '--json'], {
        cwd: stateDir,
        env: { STATE_DIR: stateDir }
      })
      const row =
        code === 0 ? JSON.parse(stdout).rows.find((one: { key: string }) => one.key === 'anna') : {}
      return {
        metrics: Number(line?.split(' ').at(-1)),
        limit: own.used,
        reserved: own.reserved,
        recorded: own.today?.credits,
        command: row?.credits
      }
    }
    let last = await told()
    for (let n = 0; n < 20 && (last.command !== last.limit || last.recorded !== last.limit); n++) {
      await delay(200)
      last = await told()
    }
    t.comment(`${metered} metered, at most ${lostAtMost} lost`, last)
    t.ok(metered > 20)
    t.equal(last.reserved, 0)
    t.same(last, {
      metrics: last.limit,
      limit: last.limit,
      reserved: 0,
      recorded: last.limit,
      command: last.limit
    })
    // What was under way when its worker died may count as more than it cost, at the estimate, but never as less.
    const sum = Math.round(metered * COST * 1e6) / 1e6
    t.ok(last.limit >= sum, `${last.limit} of ${sum}`)
    t.ok(last.limit <= sum + lostAtMost, `${last.limit} of ${sum} and ${lostAtMost} estimates`)
  }
)
