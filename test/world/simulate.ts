import { execFile, execFileSync } from 'node:child_process'
import { parseArgs, promisify } from 'node:util'
import { simulate, type SimulationResult } from './simulation.ts'

/**
 * Runs the gateway in a simulated world: `npm run simulate -- --seed 7 --hours 2`, and the same again if it fails;
 * `--log` prints all that happened. `--minutes 30` goes through fresh seeds, each in a process of its own, and stops at the first
 * that fails (docs/design/simulation.md).
 */
const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    hours: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    expected: { type: 'string' },
    log: { type: 'boolean', default: false }
  }
})

/** Longest line of the log that a failure prints. */
const MOST_CHARS = 400

if (values.minutes === undefined) await runOne(Number(values.seed ?? 1))
else await runMany(Number(values.minutes) * 60_000)

async function runOne(seed: number): Promise<void> {
  const cpuUsage = process.cpuUsage.bind(process) // the world has its own
  const expected = values.expected === undefined ? {} : { expected: Number(values.expected) }
  const write = values.log ? { write: print } : {}
  const result = await simulate({ seed, hours: Number(values.hours), ...expected, ...write })
  const { user, system } = cpuUsage()
  print(summaryOf(result, (user + system) / 1e6))
  if (result.violation !== null) tellFailure(result, result.violation)
  process.exit(result.violation === null ? 0 : 1)
}

function summaryOf(result: SimulationResult, cpuS: number): string {
  const { seed, virtualMs, requests, faults, events, ends, digest } = result
  const hours = virtualMs / 3_600_000
  const hoursPerHour = Math.round((hours / cpuS) * 3_600)
  const facts = { seed, hours: Number(hours.toFixed(3)), requests, faults, events, ends }
  return JSON.stringify({ ...facts, cpuS: Number(cpuS.toFixed(1)), hoursPerHour, digest })
}

function tellFailure({ seed, last }: SimulationResult, violation: Error): void {
  print(`\nVIOLATED: ${violation.message}`)
  print(`seed ${seed}, --hours ${values.hours}, commit ${commit()}, Node ${process.version}`)
  for (const [actor, lines] of last) {
    print(`\nlast events of ${actor}:`)
    for (const line of lines) print(line.slice(0, MOST_CHARS))
  }
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown' // outside a clone
  }
}

async function runMany(ms: number): Promise<void> {
  const run = promisify(execFile)
  const until = Date.now() + ms
  for (let seed = Number(values.seed ?? Date.now() % 1e9); Date.now() < until; seed += 1) {
    const args = [import.meta.filename, '--seed', String(seed), '--hours', values.hours]
    try {
      const { stdout } = await run(process.execPath, args)
      print(stdout.trimEnd())
    } catch (error) {
      print(String(Reflect.get(Object(error), 'stdout')))
      process.exit(1)
    }
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
