import { quantile } from '../../bench/statistics.ts'
import { isComplete, startChat } from '../../helper/chat-client.ts'
import type { FleetTeam } from '../../helper/fleet-team.ts'
import { ms, withTeam } from './with-team.ts'

const CALLS = 600
const AT_ONCE = 12
const PASSES = 3

/** Valkey goes and comes: nobody may notice. */
export async function engineDown(row: (text: string) => void): Promise<void> {
  await withTeam({ env: { FLEET_LEASE: '1800' } }, async (team) => {
    await calls(team) // warm
    for (let pass = 0; pass < PASSES; pass += 1) {
      const up = await calls(team)
      await team.engine.stop('SIGKILL')
      const down = await calls(team)
      await team.engine.start()
      await team.allServe()
      const [upP90, downP90] = [quantile(up.tookMs, 0.9), quantile(down.tookMs, 0.9)]
      const ratio = (downP90 / upP90).toFixed(2)
      row(
        `${CALLS} requests: ${down.failed} failed without Valkey, ${up.failed} with it; p90 ${ms(downP90)} and ${ms(upP90)}, ratio ${ratio}`
      )
    }
  })
}

async function calls(team: FleetTeam) {
  const names = ['a', 'b', 'c']
  const tookMs: number[] = []
  let failed = 0
  let next = 0
  const loop = async (): Promise<void> => {
    while (next < CALLS) {
      const { url } = team.get(names[next++ % names.length] ?? 'a')
      const began = performance.now()
      const answer = await startChat(url, 'sim:events=3 sim:gap=5').answer
      tookMs.push(performance.now() - began)
      if (!isComplete(answer)) failed += 1
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, loop))
  return { tookMs, failed }
}
