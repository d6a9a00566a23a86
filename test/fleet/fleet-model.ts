import { parseArgs } from 'node:util'
import { FleetCore } from '../../src/fleet/fleet-core.ts'
import { playScenario, SCENARIO_NAMES, type ScenarioName } from './fleet-scenarios.ts'
import { FLEET_MUTANTS, mutateRules, WORLD_FAULTS } from './fleet-mutants.ts'
import { shrinkWalk, walkFleet, walkOnce } from './walk-fleet.ts'
import type { WorldOptions } from './world/world-terms.ts'

/*
 * `npm run fleet:model -- --steps 10000000 --seed 1`: walks at random through everything that may go wrong with a fleet, and
 * then looks for each fault that the rules must not have (`--mutants N`: in so many steps at most).
 *
 * `npm run fleet:model -- --replay SEED`: one walk again, with as few of its steps as show what is wrong, told in words.
 */

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '10000000' },
    seed: { type: 'string', default: '1' },
    mutants: { type: 'string', default: '10000000' },
    only: { type: 'string', default: '' },
    replay: { type: 'string' }
  }
})
let isFailed = false

if (values.replay === undefined) {
  await walk()
} else {
  await replay(Number(values.replay), values.only)
}
process.exitCode = isFailed ? 1 : 0

async function walk(): Promise<void> {
  const began = performance.now()
  const seed = Number(values.seed)
  const walked = walkFleet({ machines: { FleetCore }, seed, steps: Number(values.steps) })
  const { violation, steps, walks } = walked
  const perSecond = Math.round((steps / (performance.now() - began)) * 1e3)
  const result = violation?.message ?? 'no violation'
  say(`${steps} steps in ${walks} walks, ${perSecond} a second: ${result}`)
  if (violation !== null) {
    say(`seed ${violation.seed}: npm run fleet:model -- --replay ${violation.seed}`)
    isFailed = true
  }
  for (const name of SCENARIO_NAMES) {
    const message = playScenario(name, { machines: { FleetCore } })
    say(`${name}: ${message ?? 'no violation'}`)
    if (message !== null) isFailed = true
  }
  for (const { story, ...mutant } of FLEET_MUTANTS) {
    if (!story.includes(values.only)) continue
    const machines = await mutateRules({ story, ...mutant })
    look(story, { machines }, mutant)
  }
  for (const { fault, ...found } of WORLD_FAULTS) {
    if (fault.includes(values.only)) look(fault, { machines: { FleetCore }, fault }, found)
  }
}

/** Looks for a fault, first where it was found before. */
function look(
  story: string,
  options: WorldOptions,
  { seed = 1, scenario }: { readonly seed?: number; readonly scenario?: ScenarioName }
): void {
  if (scenario !== undefined) {
    const message = playScenario(scenario, options)
    if (message === null) isFailed = true
    say(`${story}: ${message?.split(':')[0] ?? 'NOT CAUGHT'}, by "${scenario}"`)
    return
  }
  const { violation, steps } = walkFleet({ ...options, seed, steps: Number(values.mutants) })
  if (violation === null) isFailed = true
  const what = violation?.message.split(':')[0] ?? 'NOT CAUGHT'
  say(`${story}: ${what}, after ${steps} steps, seed ${violation?.seed ?? '-'}`)
}

/** `story`: of the mutant or fault; none for the rules as they are. */
async function replay(seed: number, story: string): Promise<void> {
  const mutant = FLEET_MUTANTS.find((one) => story !== '' && one.story.includes(story))
  const { fault } = WORLD_FAULTS.find((one) => story !== '' && one.fault.includes(story)) ?? {}
  const machines = mutant === undefined ? { FleetCore } : await mutateRules(mutant)
  const options = { machines, fault }
  if (walkOnce(options, seed) === null) {
    say('no violation')
    return
  }
  const steps = shrinkWalk(options, seed)
  const lines: string[] = []
  const message = walkOnce({ ...options, tell: (line) => void lines.push(line) }, seed, steps)
  for (const line of lines) say(line)
  say(`${message}\n${steps.length} steps: ${steps.join(' ')}`)
  isFailed = true
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
