import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { argumentsOf, hoursOfDays, numbersIn, type Recipe } from './reproduce.ts'
import { runElsewhere } from './run-elsewhere.ts'
import { shrink, type Verdict } from './shrink.ts'
import { simulate, type SimulationResult } from './simulation.ts'
import type { World } from './world.ts'

/**
 * Runs the gateway in a simulated world: `npm run simulate -- --seed 7 --hours 2`, and the same again if it fails;
 * `--log` prints all that happened. `--minutes 30` goes through fresh seeds, each in a process of its own, and stops at the first
 * that fails. `--days 7` is a week of a team instead, with nights and a weekend; `--busy` has too
 * few connections for its clients. A world that fails is made smaller for up to a minute, unless `--whole` or `--log` (docs/design/failing-seed.md).
 */
const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    hours: { type: 'string', default: '1' },
    days: { type: 'string' },
    busy: { type: 'boolean', default: false },
    minutes: { type: 'string' },
    agents: { type: 'string' },
    faults: { type: 'string' },
    expected: { type: 'string' },
    log: { type: 'boolean', default: false },
    whole: { type: 'boolean', default: false }
  }
})

/** Longest line of the log that a failure prints. */
const MOST_CHARS = 400
const HOUR_MS = 3_600_000
/** Between two lines that say how far a world is. */
const PROGRESS_MS = 5_000
/** For making a failing world smaller. */
const SHRINK_MS = 55_000

const now = performance.now.bind(performance) // the world has its own, and so below
const everyMs = setInterval
const cpuUsage = process.cpuUsage.bind(process)
const firstSeed = Number(values.seed ?? (values.minutes === undefined ? 1 : Date.now() % 1e9))
if (values.minutes !== undefined) await runMany(Number(values.minutes) * 60_000)
else if (values.log || values.whole) await runHere(recipeOf(firstSeed))
else await runOne(recipeOf(firstSeed))

function recipeOf(seed: number): Recipe {
  const { hours, days, busy, agents, faults, expected } = values
  return {
    seed,
    hours: days === undefined ? Number(hours) : hoursOfDays(Number(days)),
    load: days !== undefined ? 'days' : busy ? 'busy' : 'even',
    agents: numbersIn(agents),
    faults: numbersIn(faults),
    expected: expected === undefined ? null : Number(expected)
  }
}

async function runHere(recipe: Recipe): Promise<void> {
  const result = await simulate(recipe, values.log ? print : null, tellProgress)
  const { user, system } = cpuUsage()
  print(summaryOf(result, (user + system) / 1e6))
  if (result.violation !== null) tellFailure(recipe, result, result.violation)
  process.exit(result.violation === null ? 0 : 1)
}

/** Says on stderr how far a world is, from its first moment on. */
function tellProgress(world: World): void {
  const begunAt = now()
  const tellNow = (): void => {
    const [hours, s] = [(world.now / HOUR_MS).toFixed(2), Math.round((now() - begunAt) / 1e3)]
    tell(`seed ${world.seed}: ${hours} virtual hours, ${world.events} events, ${s} s\n`)
  }
  tellNow()
  everyMs(tellNow, PROGRESS_MS).unref()
}

function summaryOf(result: SimulationResult, cpuS: number): string {
  const { seed, virtualMs, begunAt, requests, events, ends, digest, agents, happened } = result
  const hours = virtualMs / 3_600_000
  const hoursPerHour = Math.round((hours / cpuS) * 3_600)
  const verdict: Verdict = {
    violation: result.violation?.message.split('\n')[0] ?? null,
    at: Math.ceil(virtualMs - begunAt),
    agents,
    faults: happened
  }
  const facts = { seed, hours: Number(hours.toFixed(3)), requests, events, ends }
  const cost = { cpuS: Number(cpuS.toFixed(1)), hoursPerHour }
  return JSON.stringify({ ...facts, ...cost, digest, ...verdict })
}

function tellFailure(recipe: Recipe, { last }: SimulationResult, violation: Error): void {
  print(`\nVIOLATED: ${violation.message}`)
  const [option, length] = argumentsOf(recipe).slice(2)
  print(`seed ${recipe.seed}, ${option} ${length}, commit ${commit()}, Node ${process.version}`)
  print(`again: ${commandOf(recipe)}`)
  for (const [actor, lines] of last) {
    print(`\nlast events of ${actor}:`)
    for (const line of lines) print(line.slice(0, MOST_CHARS))
  }
}

function commandOf(recipe: Recipe): string {
  return `npm run simulate -- ${argumentsOf(recipe).join(' ')}`
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown' // outside a clone
  }
}

/** Ends with the first world that fails. */
async function runMany(ms: number): Promise<void> {
  const until = now() + ms
  for (let seed = firstSeed; now() < until; seed += 1) await runOne(recipeOf(seed))
}

/** If the world fails, makes it smaller and ends. */
async function runOne(recipe: Recipe): Promise<void> {
  const { text, errors, verdict } = await runElsewhere(recipe, { onProgress: tell })
  print(text.trimEnd())
  if (verdict === null) print(errors)
  if (verdict?.violation === null) return
  if (verdict !== null) await tellSmaller(recipe, verdict)
  process.exit(1)
}

async function tellSmaller(recipe: Recipe, verdict: Verdict): Promise<void> {
  const until = now() + SHRINK_MS
  print('\nlooking for a smaller world that fails in the same way …')
  const smallest = await shrink(recipe, verdict, {
    run: async (smaller) => {
      const leftMs = until - now()
      return leftMs <= 0 ? null : (await runElsewhere(smaller, { timeoutMs: leftMs })).verdict
    },
    onSmaller: () => {}
  })
  print(`smallest that fails in the same way: ${commandOf(smallest)}`)
}

function tell(text: string): void {
  process.stderr.write(text)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
