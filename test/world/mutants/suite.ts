import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { copyOf, judge, type JudgeOptions, testsFor } from '../../mutants/judge.ts'
import { type Mutant, MUTANTS } from './list.ts'
import { putIn } from './put-in.ts'

/**
 * `npm run simulate:mutants:suite`: puts each mistake of `list.ts` into a copy of the last commit, and asks the tests that may
 * notice it, without those of `test/world/`: does the suite find what the simulation finds? At most `--tests` files without gateways,
 * the nearest first, then `--integration` of those of the mistake's room that start gateways. A file notices a mistake if it fails twice with it and passes without it.
 * `--only` and `--part` are those of `mutants.ts`. `--record FILE` keeps what was found, so that a run that was ended goes on
 * where it was, also beside others. Linux only, for the CPU time.
 */
const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    part: { type: 'string', default: '1/1' },
    record: { type: 'string' },
    seconds: { type: 'string', default: '90' },
    tests: { type: 'string', default: '14' },
    integration: { type: 'string', default: '4' },
    through: { type: 'string', default: '' }
  }
})

interface Result {
  readonly name: string
  /** Test file that noticed the mistake first; null if none did. */
  readonly noticedBy: string | null
  readonly tried: readonly string[]
  /** Test files that failed with and without it. */
  readonly unclear: readonly string[]
  /** CPU time of all tests that were run for it. */
  readonly cpuS: number
}

/** Tests in `test/integration/` that a maintainer would run after a change of a room, by their names. */
const WITH_GATEWAYS: Readonly<Record<Mutant['room'], readonly string[]>> = {
  book: ['key-limits', 'credits', 'account-book', 'key-usage'],
  budget: ['shared-budget', 'dead-worker', 'pool-settings', 'crowded-door'],
  lease: ['shared-budget', 'crowded-door', 'pool-settings', 'dead-worker'],
  pool: ['pool-settings', 'tls-reuse', 'upstream-failures', 'idle-deaths'],
  retry: ['upstream-failures', 'pool-settings', 'chaos'],
  drain: ['rolling-restart', 'drain-delay', 'signals', 'sockets-over-restarts'],
  reload: ['pool-settings', 'signals', 'operations', 'rolling-restart'],
  reply: ['slow-reader', 'upstream-failures', 'official-sdks', 'agent-session'],
  turn: ['upstream-failures', 'slow-reader', 'cluster', 'chaos'],
  workers: ['dead-worker', 'rolling-restart', 'stopped-process', 'cluster'],
  'sign-in': ['state-links', 'gateway-login', 'login-on-start', 'secrets'],
  socket: ['sockets-over-restarts', 'responses-over-restarts', 'sockets-of-limited-keys'],
  fleet: ['fleet-lease', 'fleet', 'fleet-upstream', 'fleet-limits']
}

const TICKS_PER_S = 100

const options: JudgeOptions = {
  through: values.through.split(' ').filter((word) => word !== ''),
  secondsPerTest: Number(values.seconds),
  maxTests: Number(values.tests),
  maxIntegrationTests: 0
}
const project = join(import.meta.dirname, '../../..')
const folder = mkdtempSync(join(tmpdir(), 'world-suite-'))
process.once('SIGTERM', () => process.exit(1)) // and `exit` takes the copy away
process.once('SIGINT', () => process.exit(1))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
process.env['NODE_COMPILE_CACHE'] ??= join(folder, 'compiled') // of changed code, which goes with its copy

const whole = copyOf('HEAD', project, join(folder, 'copy'))
// Tests that put mistakes into the sources themselves fail when they find another one there.
const mutating = whole.importers.get('test/helper/mutant.ts') ?? []
const copy = {
  ...whole,
  tests: whole.tests.filter((test) => !test.startsWith('test/world/') && !mutating.includes(test))
}

const [first = 1, step = 1] = values.part.split('/').map(Number)
const chosen = MUTANTS.filter((_, index) => index % step === first - 1).filter(({ name, room }) =>
  `${room} ${name}`.includes(values.only)
)
console.log('| room | mistake | noticed by the suite | CPU s | files asked | unclear |')
console.log('| --- | --- | --- | --- | --- | --- |')
for (const mutant of chosen) {
  const { noticedBy, cpuS, tried, unclear } = readRecord().get(mutant.name) ?? (await ask(mutant))
  const by = noticedBy === null ? '**not found**' : shortName(noticedBy)
  const cells = [mutant.room, mutant.name, by, Math.round(cpuS), tried.length, unclear.length]
  console.log(`| ${cells.join(' | ')} |`)
}

async function ask(mutant: Mutant): Promise<Result> {
  const { name, room, path } = mutant
  const text = putIn(readFileSync(join(copy.root, path), 'utf8'), mutant)
  const withGateways = WITH_GATEWAYS[room]
    .slice(0, Number(values.integration))
    .map((one) => `test/integration/${one}.test.ts`)
    .filter((test) => copy.tests.includes(test))
  const tests = [...testsFor(copy, path, options), ...withGateways]
  const before = cpuSOfChildren()
  const { caughtBy, tried, unclear } = await judge(copy, { path, text, tests }, options)
  const cpuS = cpuSOfChildren() - before
  const result: Result = { name, noticedBy: caughtBy, tried, unclear, cpuS }
  if (values.record !== undefined) appendFileSync(values.record, `${JSON.stringify(result)}\n`)
  return result
}

function readRecord(): ReadonlyMap<string, Result> {
  if (values.record === undefined || !existsSync(values.record)) return new Map()
  const lines = readFileSync(values.record, 'utf8').trim().split('\n')
  const results = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Result)
  return new Map(results.map((result) => [result.name, result]))
}

/** CPU time of processes that have ended and were waited for, as Linux counts it (`man 5 proc_pid_stat`). */
function cpuSOfChildren(): number {
  const stat = readFileSync('/proc/self/stat', 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // from the third on
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_S
}

function shortName(test: string): string {
  return test.replace(/^test\//, '').replace(/\.test\.ts$/, '')
}
