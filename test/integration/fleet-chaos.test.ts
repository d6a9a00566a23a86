import t from 'tap'
import { runFleetChaos } from '../fleet/chaos/run-fleet-chaos.ts'
import { ENGINE_PROGRAMS, whyNoEngine } from '../helper/engine-process.ts'
import { skipByDay } from '../helper/nightly.ts'

/** A few rounds, always the same; `npm run fleet:chaos` runs hundreds, and others. */
const ROUNDS = 5
const SEEDS = { 'valkey-server': 3001, 'redis-server': 4001 } as const

t.setTimeout(900_000) // real processes, on a machine that may be busy

for (const program of ENGINE_PROGRAMS) {
  const skip = whyNoEngine(program) || skipByDay
  t.test(`a fleet in trouble, with ${program}`, { skip }, async (t) => {
    const ended = new AbortController()
    t.teardown(() => ended.abort(new Error('the test is over')))
    const { violations, rounds, calls } = await runFleetChaos({
      program,
      rounds: ROUNDS,
      seed: SEEDS[program],
      signal: ended.signal,
      tell: (line) => t.comment(line)
    })
    t.same(violations, [])
    t.equal(rounds, ROUNDS)
    t.ok(calls > ROUNDS, `${calls} calls`)
  })
}
