import { FleetCore } from '../../src/fleet/fleet-core.ts'
import { FLEET_MUTANTS, mutateFleet, WORLD_FAULTS } from './fleet-mutants.ts'
import { walkFleet } from './walk-fleet.ts'

/*
 * `npm run fleet:model [steps] [seed]`: walks at random through everything that may go wrong with a fleet, and then looks
 * for each fault that the rules must not have.
 */

const [steps = '10000000', seed = '1'] = process.argv.slice(2)
const MUTANT_STEPS = Number(process.argv[4] ?? 4_000_000)
let failed = 0

const { violation, ...walked } = walkFleet({
  machines: { FleetCore },
  seed: Number(seed),
  steps: Number(steps)
})
say(`${walked.steps} steps in ${walked.walks} walks: ${violation?.message ?? 'no violation'}`)
if (violation !== null) {
  say(`seed ${violation.seed}`)
  failed += 1
}
for (const mutant of FLEET_MUTANTS) {
  const machines = await mutateFleet(mutant)
  report(mutant.story, walkFleet({ machines, seed: 1, steps: MUTANT_STEPS }))
}
for (const fault of WORLD_FAULTS) {
  report(fault, walkFleet({ machines: { FleetCore }, fault, seed: 1, steps: MUTANT_STEPS }))
}
process.exitCode = failed === 0 ? 0 : 1

function report(story: string, { violation: found, steps: taken }: ReturnType<typeof walkFleet>) {
  if (found === null) failed += 1
  const what = found?.message.split(':')[0] ?? 'NOT CAUGHT'
  say(`${story}: ${what}, after ${taken} steps, seed ${found?.seed ?? '-'}`)
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
