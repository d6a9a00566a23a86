import { creditsOfSessions } from '../helper/session-credits.ts'

/**
 * `npm run credits`: what a session of Claude Code and one of Codex cost at the simulator, with requests that keep their
 * bytes in front and with requests that do not (docs/lab/benchmarks.md).
 */

const TURNS = 20

for (const { client, stable, unstable } of await creditsOfSessions(TURNS)) {
  const saved = Math.round((1 - stable / unstable) * 100)
  process.stdout.write(
    `${client}, ${TURNS} requests: ${stable.toFixed(2)} credits, ${unstable.toFixed(2)} without stable requests (−${saved} %)\n`
  )
}
