import { writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import t, { type Test } from 'tap'
import { skipByDay } from '../helper/nightly.ts'
import { fuzzFile, propertyFiles, runFuzz } from './run-fuzz.ts'

t.setTimeout(300_000) // processes, on a machine that may be busy

const root = join(import.meta.dirname, '../..')
const HELPER = join(root, 'test/helper/fast-check.ts')

/** A test file with these lines in it, by its path from the root. */
function fileOf(t: Test, lines: string): string {
  const path = join(t.testdir({}), 'one.test.ts')
  writeFileSync(
    path,
    `import * as fc from '${HELPER}'\nimport '${join(root, 'node_modules/tap/dist/esm/main.js')}'\n${lines}\n`
  )
  return relative(root, path)
}

const limits = { sliceMs: 200, endsAt: Number.MAX_SAFE_INTEGER, hangsAfterMs: 60_000 }

t.test('propertyFiles()', async (t) => {
  const files = propertyFiles()
  t.ok(files.includes('test/kiro/json-schema-properties.test.ts'), 'who uses the helper itself')
  t.ok(files.includes('test/dialects/request-properties.test.ts'), 'who uses it through another')
  t.notOk(files.includes('test/layers.test.ts'))
})

t.test('a property that holds', { skip: skipByDay }, async (t) => {
  const file = fileOf(t, `fc.assert(fc.property(fc.nat(), (n) => n >= 0))`)
  const { failure, properties, cases } = await fuzzFile({ file, seed: 7, ...limits })
  t.same([failure, properties], [null, 1])
  t.ok(cases > 100, `is tried for as long as it may, ${cases} times`)
})

t.test('a property that fails', { skip: skipByDay }, async (t) => {
  const file = fileOf(
    t,
    `fc.assert(fc.property(fc.nat(), () => {}))
     await fc.assert(fc.asyncProperty(fc.nat(), async (n) => n < 1000))`
  )
  const lines: string[] = []
  const failures = await runFuzz({
    files: [file],
    minutes: 0.1,
    jobs: 1,
    seed: 11,
    report: (line) => lines.push(line)
  })
  t.ok(failures > 0)
  const report = lines.join('\n')
  t.match(report, /Counterexample: \[1000\]/, 'is told')
  const found = /--seed (\d+) --property 2 --path ([\d:]+)/.exec(report)
  t.not(found, null, 'with what replays it')
  const [, seed, path] = found ?? []
  const replay = { property: 2, path: path ?? '' }
  const again = await fuzzFile({ file, seed: Number(seed), replay, ...limits })
  t.match(again.output, /Counterexample: \[1000\]/, 'and it can be had again')
  t.match(again.failure, `property 2, path ${path}`)
})

t.test('a file that hangs or fails outside of its properties', { skip: skipByDay }, async (t) => {
  const waits = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)' // for ever, without a CPU
  const hangs = `fc.assert(fc.property(fc.nat(), () => { ${waits} }))`
  const hung = await fuzzFile({ file: fileOf(t, hangs), seed: 3, ...limits, hangsAfterMs: 10_000 })
  t.match(hung.failure, /seed 3, hung or killed by SIGKILL, last begun property 1/)
  const exits = await fuzzFile({ file: fileOf(t, `process.exitCode = 3`), seed: 3, ...limits })
  t.match(exits.failure, /exit code 3/)
  t.match(exits.failure, /^replay: npm run fuzz -- --replay .*one\.test\.ts --seed 3$/m)
})
