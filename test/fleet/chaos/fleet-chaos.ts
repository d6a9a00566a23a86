import { parseArgs } from 'node:util'
import { type EngineProgram, ENGINE_PROGRAMS } from '../../helper/engine-process.ts'
import { runFleetChaos } from './run-fleet-chaos.ts'

/**
 * `npm run fleet:chaos -- --rounds 200 --seed 1 --engine redis-server`: three gateways, a Valkey and an upstream as real
 * processes, to which everything happens that may. Exits with 1 if anything was violated; `--seed N --rounds 1` has the round
 * again that was told with that seed.
 */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    engine: { type: 'string', default: 'valkey-server' }
  }
})
const program = ENGINE_PROGRAMS.find((name) => name === values.engine)
if (program === undefined) throw new Error(`--engine is ${ENGINE_PROGRAMS.join(' or ')}`)
process.exitCode = (await run(program)) ? 0 : 1

async function run(engine: EngineProgram): Promise<boolean> {
  const ended = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => ended.abort(new Error(`ended by ${name}`)))
  }
  const findings = await runFleetChaos({
    program: engine,
    rounds: Number(values.rounds),
    seed: Number(values.seed),
    signal: ended.signal,
    tell: (line) => void process.stdout.write(`${line}\n`)
  })
  return findings.violations.length === 0
}
