import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { startChat } from '../../helper/chat-client.ts'
import type { FleetTeam } from '../../helper/fleet-team.ts'
import { withTeam } from './with-team.ts'

const SECONDS = 20
const REPLICAS = 3
/** Enough that no request waits for a connection, on a machine that is busy as well: who waits asks the others. */
const MAX = 600

/** What the gateways ask of Valkey, idle and at work. */
export async function engineCommands(row: (text: string) => void): Promise<void> {
  await withTeam({ max: MAX, env: { FLEET_LEASE: '1800' } }, async (team) => {
    const engine = new Redis(team.engine.url)
    await delay(3_000) // what follows the start is over
    for (const rate of [0, 200, 0, 200]) {
      const before = await commands(engine)
      const began = performance.now()
      const answered = await load(team, rate)
      const seconds = (performance.now() - began) / 1e3
      const each = ((await commands(engine)) - before - 1) / seconds / REPLICAS
      const reached = Math.round(answered / seconds)
      row(`${each.toFixed(2)} commands a second for each replica at ${reached} requests a second`)
    }
    engine.disconnect()
  })
}

/** At so many a second, evenly over all. */
async function load(team: FleetTeam, rate: number): Promise<number> {
  const names = ['a', 'b', 'c']
  const answers: Promise<unknown>[] = []
  const began = performance.now()
  while (performance.now() - began < SECONDS * 1e3) {
    const due = ((performance.now() - began) / 1e3) * rate
    for (; answers.length < due; ) {
      const { url } = team.get(names[answers.length % names.length] ?? 'a')
      answers.push(startChat(url, 'sim:events=1 sim:gap=1').answer)
    }
    await delay(5)
  }
  await Promise.all(answers)
  return answers.length
}

/** All that clients have sent so far: what scripts call is not counted. */
async function commands(engine: Redis): Promise<number> {
  const text = await engine.info('commandstats')
  const sent = ['eval', 'evalsha', 'ping', 'wait', 'subscribe', 'info']
  let sum = 0
  for (const [, name = '', calls] of text.matchAll(/cmdstat_(\w+):calls=(\d+)/g)) {
    if (name !== 'info' && sent.includes(name)) sum += Number(calls)
  }
  return sum
}
