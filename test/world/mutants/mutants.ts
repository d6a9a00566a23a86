import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { drawCharacter } from '../character.ts'
import { characterOf } from '../loads.ts'
import type { Recipe } from '../reproduce.ts'
import { runElsewhere } from '../run-elsewhere.ts'
import { World } from '../world.ts'
import { type Mutant, MUTANTS } from './list.ts'
import { putIn } from './put-in.ts'

/**
 * `npm run simulate:mutants`: puts each mistake of `list.ts` into a copy of the project and lets seeds of busy worlds look for it,
 * up to `--minutes` of CPU time each. `--only WORD` takes those whose name or room has the word; `--part 1/2` takes
 * every second one from the first on.
 */
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    hours: { type: 'string', default: '0.03' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    part: { type: 'string', default: '1/1' }
  }
})

interface Found {
  readonly seed: number
  readonly violation: string
}

const project = join(import.meta.dirname, '../../..')
const root = mkdtempSync(join(tmpdir(), 'world-mutants-'))
process.once('SIGTERM', () => process.exit(1)) // and `exit` takes the copy away
process.once('SIGINT', () => process.exit(1))
process.once('exit', () => rmSync(root, { recursive: true, force: true }))
for (const part of ['src', 'test', 'workers', 'package.json', 'tsconfig.json'])
  cpSync(join(project, part), join(root, part), { recursive: true })
process.env['NODE_COMPILE_CACHE'] ??= join(root, 'compiled') // of changed code, which goes with its copy
symlinkSync(join(project, 'node_modules'), join(root, 'node_modules'))

const [first = 1, step = 1] = values.part.split('/').map(Number)
const chosen = MUTANTS.filter((_, index) => index % step === first - 1).filter(({ name, room }) =>
  `${room} ${name}`.includes(values.only)
)
console.log('| room | mistake | mended once in | found as | CPU s |')
console.log('| --- | --- | --- | --- | --- |')
for (const mutant of chosen) console.log(await rowOf(mutant))

async function rowOf(mutant: Mutant): Promise<string> {
  const file = join(root, mutant.path)
  const original = readFileSync(file, 'utf8')
  writeFileSync(file, putIn(original, mutant))
  try {
    const { found, cpuS } = await lookFor(mutant)
    const by = found === null ? '**not found**' : `${found.violation} (seed ${found.seed})`
    const { room, name, mended = '' } = mutant
    return `| ${room} | ${name} | ${mended} | ${by} | ${Math.round(cpuS)} |`
  } finally {
    writeFileSync(file, original)
  }
}

/** Whether a world has what it needs for the mistake to show. */
function isFit(seed: number, { needs = [], load = 'busy' }: Mutant): boolean {
  const { faults } = characterOf(seed, load, drawCharacter(new World(seed)))
  return needs.every((name) => faults.includes(name))
}

/** Goes through seeds, one after the other. */
async function lookFor(
  mutant: Mutant
): Promise<{ readonly found: Found | null; readonly cpuS: number }> {
  let cpuS = 0
  for (let seed = Number(values.seed); cpuS < Number(values.minutes) * 60; seed += 1) {
    if (!isFit(seed, mutant)) continue
    const recipe: Recipe = {
      seed,
      hours: mutant.hours ?? Number(values.hours),
      load: mutant.load ?? 'busy',
      agents: null,
      faults: null,
      expected: null
    }
    const elsewhere = await runElsewhere(recipe, { root })
    cpuS += elsewhere.cpuS
    const { verdict, text, errors } = elsewhere
    // Something is wrong with the machine or the mistake, which says nothing about the rules.
    if (verdict === null)
      throw new Error(`seed ${seed} gave no verdict: ${(text + errors).slice(-500)}`)
    const { violation } = verdict
    if (violation !== null) return { found: { seed, violation: violation.slice(0, 120) }, cpuS }
  }
  return { found: null, cpuS }
}
