import { parseArgs } from 'node:util'
import { fuzzFile, propertyFiles, runFuzz } from './run-fuzz.ts'

/**
 * `npm run fuzz -- --minutes 10 [--jobs 2] [--seed 1] [FILE…]`: all properties of all test files, or of these, on
 * fresh seeds until the time is over. Exits with 1 if any failed, and says how to replay it:
 * `npm run fuzz -- --replay FILE --seed 1 --property 3 --path 210:8`.
 */

const { values, positionals } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    jobs: { type: 'string', default: '2' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    replay: { type: 'string' },
    property: { type: 'string' },
    path: { type: 'string' }
  },
  allowPositionals: true
})
const ended = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => ended.abort(new Error(`ended by ${name}`)))
}

process.exitCode = (await (values.replay === undefined ? fuzz() : replay(values.replay))) ? 0 : 1

async function fuzz(): Promise<boolean> {
  const files = positionals.length > 0 ? positionals : propertyFiles()
  say(`${files.length} files for ${values.minutes} minutes, seed ${values.seed}`)
  const failures = await runFuzz({
    files,
    minutes: Number(values.minutes),
    jobs: Number(values.jobs),
    seed: Number(values.seed),
    report: say,
    signal: ended.signal
  })
  say(failures === 0 ? 'no property failed' : `${failures} failed`)
  return failures === 0
}

/** One property under what a failure was reported with; without a path the whole file under that seed. */
async function replay(file: string): Promise<boolean> {
  const { property, path } = values
  const { output, failure } = await fuzzFile({
    file,
    seed: Number(values.seed),
    ...(property !== undefined && path !== undefined
      ? { replay: { property: Number(property), path } }
      : {}),
    sliceMs: 5000,
    endsAt: Number.MAX_SAFE_INTEGER,
    hangsAfterMs: 600_000,
    signal: ended.signal
  })
  say(failure === null ? 'no failure' : `${output}\nFAILED ${failure}`)
  return failure === null
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
