import t from 'tap'
import { runFleetChaos } from '../fleet/chaos/run-fleet-chaos.ts'
import { ENGINE_PROGRAMS, TEST_ENGINE, whyNoEngine } from '../helper/engine-process.ts'
import { isNightly } from '../helper/nightly.ts'

/** A few rounds, always the same; `npm run fleet:chaos` runs hundreds, and others. */
const ROUNDS = 5
const SEEDS = { 'valkey-server': 3001, 'redis-server': 4001 } as const

t.setTimeout(900_000) // real processes, on a machine that may be busy

for (const program of isNightly ? ENGINE_PROGRAMS : [TEST_ENGINE]) {
  t.test(`a fleet in trouble, with ${program}`, { skip: whyNoEngine(program) }, async (t) => {
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
