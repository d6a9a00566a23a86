import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { codeOf } from '../../src/shared/errors.ts'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { skipByDay } from '../helper/nightly.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

async function setUp(t: Test, env: Readonly<Record<string, string>> = {}) {
  const gateway = await startGateway({ env: { WORKERS: '2', LOG_LEVEL: 'info', ...env } })
  t.teardown(() => gateway.destroy())
  /** How many requests each worker has answered since it was asked last. */
  let seen = 0
  const served = async (requests: number): Promise<readonly number[]> => {
    const lines = () => gateway.lines.slice(seen).filter(({ msg }) => msg === 'request completed')
    while (lines().length < requests) await delay(10)
    const workers = lines().map(({ worker }) => worker)
    seen = gateway.lines.length
    return [1, 2].map((id) => workers.filter((worker) => worker === id).length)
  }
  return { gateway, served }
}

/** One after the other, so that no crowd comes. */
async function calmStreams(url: string, count: number) {
  const calls = []
  for (let i = 0; i < count; i++) {
    const call = startChat(url, 'sim:events=20 sim:gap=50')
    await call.firstBytes
    calls.push(call)
  }
  return calls
}

/** Workers that have given so few answers take clients together. */
const YOUNG_ANSWERS = 100

/**
 * Asks until both workers have given so many answers that one gets all new clients, and gives the one that does. Two rounds
 * of ten are then its alone, which happens by chance once in some thousand times.
 */
async function packedWorker(
  url: string,
  served: (requests: number) => Promise<readonly number[]>
): Promise<number> {
  const answers = [0, 0]
  while (Math.min(...answers) < YOUNG_ANSWERS) {
    const calls = Array.from({ length: 20 }, () => startChat(url, 'sim:events=1'))
    await Promise.all(calls.map(({ answer }) => answer))
    for (const [at, more] of (await served(20)).entries()) answers[at]! += more
  }
  for (;;) {
    for (let i = 0; i < 20; i++) await startChat(url, 'sim:events=1').answer
    const shares = await served(20)
    if (shares.includes(20)) return shares.indexOf(20) + 1
  }
}

t.test('young workers take clients together, also one by one', async (t) => {
  const { gateway, served } = await setUp(t)
  const answers = [0, 0]
  // Of two that wait for a connection the system wakes either: a few of them are too few to tell.
  for (let asked = 0; asked < YOUNG_ANSWERS && answers.includes(0); asked += 10) {
    for (let i = 0; i < 10; i++)
      t.ok(isComplete(await startChat(gateway.url, 'sim:events=1').answer))
    for (const [at, more] of (await served(10)).entries()) answers[at]! += more
  }
  t.notOk(answers.includes(0), `their shares: ${answers.join(' and ')}`)
})

t.test(
  'few streams are all one worker’s, and a burst is for both',
  { skip: skipByDay },
  async (t) => {
    const { gateway, served } = await setUp(t)
    await packedWorker(gateway.url, served)
    await oneOfTries(t, async () => {
      const calm = await calmStreams(gateway.url, 10)
      for (const { answer } of calm) t.ok(isComplete(await answer))
      const shares = await served(10)
      return { holds: shares.includes(0), about: `shares of few streams: ${shares.join(' and ')}` }
    })
    await oneOfTries(t, async () => {
      const burst = Array.from({ length: 300 }, () =>
        startChat(gateway.url, 'sim:events=20 sim:gap=50')
      )
      const answers = await Promise.all(burst.map(({ answer }) => answer))
      t.equal(answers.filter(isComplete).length, 300)
      const shares = await served(300)
      return {
        holds: Math.min(...shares) >= 60,
        about: `shares of the burst: ${shares.join(' and ')}`
      }
    })
  }
)

/** A machine that gives one worker no core for a moment may spoil some tries, but not all. */
async function oneOfTries(
  t: Test,
  act: () => Promise<{ readonly holds: boolean; readonly about: string }>
): Promise<void> {
  let last = await act()
  for (let tries = 1; !last.holds && tries < 8; tries++) {
    t.comment(last.about)
    last = await act()
  }
  t.ok(last.holds, last.about)
}

t.test('with WORKER_SPREAD=even both take what comes', { skip: skipByDay }, async (t) => {
  const { gateway, served } = await setUp(t, { WORKER_SPREAD: 'even' })
  await oneOfTries(t, async () => {
    const calls = Array.from({ length: 60 }, () => startChat(gateway.url, 'sim:events=2').answer)
    t.equal((await Promise.all(calls)).filter(isComplete).length, 60)
    const shares = await served(60)
    return { holds: !shares.includes(0), about: `shares: ${shares.join(' and ')}` }
  })
})

t.test('the other serves at once when the worker that has all clients is killed', async (t) => {
  const { gateway, served } = await setUp(t)
  const id = await packedWorker(gateway.url, served)
  const packed = gateway.lines.find(({ workerId, state }) => workerId === id && state === 'ready')
  const calm = await calmStreams(gateway.url, 5)
  process.kill(Number(packed?.['workerPid']), 'SIGKILL')
  const later = Array.from({ length: 10 }, () => startChat(gateway.url, 'sim:events=3'))
  const errors: string[] = []
  for (const { request } of later) request.on('error', (error) => errors.push(codeOf(error)))
  const cut = await Promise.all(calm.map(({ answer }) => answer))
  t.equal(cut.filter(({ isCut }) => isCut).length, 5, 'its streams are cut')
  await Promise.all(later.map(({ answer }) => answer))
  t.notOk(errors.includes('ECONNREFUSED'), `none is refused: ${errors.join()}`)
  t.ok(isComplete(await startChat(gateway.url, 'sim:events=3').answer))
})
