import t from 'tap'
import { creditsOfSessions } from '../helper/session-credits.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

t.test(
  'a session of 20 requests costs a fraction while its requests keep their bytes in front',
  async (t) => {
    const credits = await creditsOfSessions(20)
    t.same(
      credits.map(({ client }) => client),
      ['Claude Code', 'Codex']
    )
    // The price of what is cached: about half for Claude models, a tenth for GPT models.
    const most: Readonly<Record<string, number>> = { 'Claude Code': 0.75, Codex: 0.35 }
    for (const { client, stable, unstable } of credits) {
      t.ok(
        stable > 0 && stable < unstable * (most[client] ?? 0),
        `${client}: ${stable} of ${unstable}`
      )
    }
  }
)
