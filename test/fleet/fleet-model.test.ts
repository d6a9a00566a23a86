import t from 'tap'
import { FleetCore } from '../../src/fleet/fleet-core.ts'
import { FLEET_MUTANTS, mutateRules, WORLD_FAULTS } from './fleet-mutants.ts'
import { isNightly } from '../helper/nightly.ts'
import { playScenario, SCENARIO_NAMES } from './fleet-scenarios.ts'
import { walkFleet } from './walk-fleet.ts'

/** `npm run fleet:model` walks a hundred times as far, and finds all of the faults. */
const STEPS = isNightly ? 90_000 : 45_000
/** Faults that show within this many steps. */
const QUICK_STEPS = 30_000
/** By day the first two: the model of the rules as they are is walked all the same. */
const QUICK = [
  'a register of another process',
  'an empty register',
  'what was claimed is forgotten',
  'a claim does not add',
  'others take what a silent member has',
  'an era counts as watched too early',
  'another of our name that says nothing'
].slice(0, isNightly ? undefined : 2)

t.test('a fleet in which everything goes wrong', async (t) => {
  const { violation, walks } = walkFleet({ machines: { FleetCore }, seed: 1, steps: STEPS })
  t.equal(violation, null, `${walks} walks`)
})

t.test('is found wrong with a fault in its rules', async (t) => {
  for (const mutant of FLEET_MUTANTS) {
    const machines = await mutateRules(mutant) // each of them must still fit the source
    if (!QUICK.some((story) => mutant.story.startsWith(story))) continue
    const { violation } = walkFleet({ machines, seed: 1, steps: QUICK_STEPS })
    t.not(violation, null, mutant.story)
  }
})

t.test('is found wrong with a fault in what is around its rules', async (t) => {
  const fault = 'returns before sockets are gone'
  const { violation } = walkFleet({ machines: { FleetCore }, fault, seed: 1, steps: QUICK_STEPS })
  t.match(violation?.message, /^\d+ of \d+:/)
})

t.test('what a walk hardly ever comes upon', async (t) => {
  for (const name of SCENARIO_NAMES) {
    t.equal(playScenario(name, { machines: { FleetCore } }), null, name)
  }
  for (const mutant of FLEET_MUTANTS) {
    if (mutant.scenario === undefined) continue
    const machines = await mutateRules(mutant)
    t.not(playScenario(mutant.scenario, { machines }), null, mutant.story)
  }
  for (const { fault, scenario } of WORLD_FAULTS) {
    if (scenario === undefined) continue
    t.match(playScenario(scenario, { machines: { FleetCore }, fault }), /^\d+ of \d+|leased/, fault)
  }
})
