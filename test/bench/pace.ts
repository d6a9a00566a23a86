import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { ArrivalUpstream, mostWithin } from '../helper/arrivals.ts'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { startGateway } from '../helper/gateway-process.ts'

/**
 * `npm run pace`: 300 requests at once of two client keys, 60 of which may go in a minute, through a gateway with two
 * workers to an upstream that notes when they arrive. Takes five minutes; `--requests` and `--per-minute` change that.
 * `--kill` has a worker killed every 40 s.
 */

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '300' },
    'per-minute': { type: 'string', default: '60' },
    kill: { type: 'boolean', default: false }
  }
})
const requests = Number(values.requests)
const perMinute = Number(values['per-minute'])
const KEYS = { a: 'the-first-key-0123', b: 'the-other-key-0123' } as const
const WINDOW_MS = 60_000
const KILL_MS = 40_000

const closers: (() => unknown)[] = []
const t = { teardown: (close: () => unknown) => void closers.push(close) }
const upstream = await ArrivalUpstream.start(t)
const gateway = await startGateway({
  isMeasured: true,
  upstreamUrl: upstream.url,
  env: {
    WORKERS: '2',
    PROXY_API_KEY: Object.values(KEYS).join(),
    UPSTREAM_MAX_REQUESTS_PER_MINUTE: String(perMinute)
  }
})
const killer = setInterval(() => {
  if (values.kill) process.kill(gateway.workerPids()[0] ?? 0, 'SIGKILL')
}, KILL_MS)

const startedAt = performance.now()
let lost = 0
const answers = Array.from({ length: requests }, async (_, index) => {
  const key = index % 3 === 0 ? 'b' : 'a'
  const headers = { authorization: `Bearer ${KEYS[key]}` }
  for (;;) {
    const answer = await startChat(gateway.url, `key-${key}`, { headers }).answer
    if (isComplete(answer)) return
    lost += 1 // its worker was killed
    await delay(100)
  }
})
const watch = setInterval(() => report('so far'), 10_000)
await Promise.all(answers)
clearInterval(killer)
clearInterval(watch)
report('in all')
const most = mostWithin(upstream.arrivals, WINDOW_MS)
await gateway.destroy()
for (const close of closers) close()
process.exitCode = most <= perMinute ? 0 : 1

function report(when: string): void {
  const { arrivals } = upstream
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
  const most = mostWithin(arrivals, WINDOW_MS)
  process.stdout.write(
    `${seconds} s: ${arrivals.length} requests ${when}, ${upstream.ofKey('a')} of key a and ${upstream.ofKey('b')} of key b, ` +
      `${most} of ${perMinute} at most in any minute, ${lost} lost with their worker\n`
  )
}
