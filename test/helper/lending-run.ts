import { setTimeout as delay } from 'node:timers/promises'
import { Simulator } from '../strict-simulator/simulator.ts'
import { startGateway } from './gateway-process.ts'
import { PinnedClients, queuedMs } from './pinned-clients.ts'

export interface LendingRun {
  /** How long requests waited for a permit, in ms, where another worker had nearly all of them when they began to come. */
  readonly lent: readonly number[]
  /** The same with one worker that has all permits. */
  readonly own: readonly number[]
}

/** Permits beside the reserve of one. */
const STREAMS = 30
/** No two requests arrive at the same moment, so that none waits for the work of another. */
const GAP_MS = 8

/**
 * Lets all clients come to one worker and then to the other, in turns, so that permits and the idle connections behind
 * them move with them; then the same requests to a gateway with a single worker.
 */
export async function runLending(
  t: { teardown(close: () => unknown): void },
  rounds: number
): Promise<LendingRun> {
  const simulator = new Simulator()
  const { url: upstreamUrl } = await simulator.start()
  t.teardown(() => simulator.close())
  const start = async (WORKERS: string) => {
    const env = {
      WORKERS,
      WORKER_SPREAD: 'even',
      HTTP_MAX_CONNECTIONS: String(STREAMS + 1),
      LOG_LEVEL: 'info'
    }
    const gateway = await startGateway({ upstreamUrl, env })
    t.teardown(() => gateway.destroy())
    return gateway
  }
  const two = await start('2')
  const pids = two.workerPids()
  const sides = []
  for (const own of pids) {
    const others = pids.filter((pid) => pid !== own)
    sides.push(await PinnedClients.connect(t, two.url, { count: STREAMS, others }))
  }
  const one = await start('1')
  const alone = [await PinnedClients.connect(t, one.url, { count: STREAMS, others: [] })]
  await play(sides, 2) // until code is compiled
  await play(alone, 2)
  return { lent: await play(sides, rounds), own: await play(alone, rounds) }
}

async function play(sides: readonly PinnedClients[], rounds: number): Promise<readonly number[]> {
  const waited: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const clients = sides[round % sides.length]
    if (clients === undefined) throw new Error('there are no clients')
    const answers = []
    for (let i = 0; i < STREAMS; i += 1) {
      answers.push(clients.chat('sim:events=8 sim:gap=60'))
      await delay(GAP_MS)
    }
    waited.push(...(await Promise.all(answers)).map(queuedMs))
  }
  return waited
}
