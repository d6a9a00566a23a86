import { parseArgs } from 'node:util'
import { hoursOfDays, type Load, type Recipe } from './reproduce.ts'
import { runElsewhere } from './run-elsewhere.ts'

/**
 * `npm run --silent simulate:digests > here.txt`: lives through short worlds and prints the digest of each world's log, one line a
 * world: the same on every machine and every minor version of Node, so `diff here.txt there.txt` prints nothing.
 * `--seeds 100` are the worlds from `--first 1` on, each under the next load: even, busy, days.
 */
const { values } = parseArgs({
  options: { first: { type: 'string', default: '1' }, seeds: { type: 'string', default: '100' } }
})

/** Virtual hours of each load. */
const LENGTHS: readonly (readonly [Load, number])[] = [
  ['even', 0.02],
  ['busy', 0.01],
  ['days', hoursOfDays(0.25)]
]

const first = Number(values.first)
for (let seed = first; seed < first + Number(values.seeds); seed += 1) {
  const recipe = recipeOf(seed)
  const { digest, verdict, errors, cpuS } = await runElsewhere(recipe)
  const violation = verdict?.violation ?? (verdict === null ? errors.trim() : '')
  console.log(`${seed} ${recipe.load} ${digest} ${violation}`.trimEnd())
  process.stderr.write(`seed ${seed}: ${cpuS.toFixed(1)} CPU s, Node ${process.version}\n`)
}

function recipeOf(seed: number): Recipe {
  const [load, hours] = LENGTHS[seed % LENGTHS.length] ?? ['even', 0.02]
  return { seed, hours, load, agents: null, faults: null, expected: null }
}
