import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import coveredBy from './coverage-map.ts'
import { entries, filesOf, isAlone, nightlyFiles, type RoomName, testFiles } from './rooms.ts'

const RUN_ROOM = pathToFileURL(join(import.meta.dirname, 'run-room.ts')).href
const UNCOUNTED = pathToFileURL(join(import.meta.dirname, 'uncounted.ts')).href
const PROCESS_INFO = import.meta.resolve('@tapjs/processinfo/import')

t.test('npm test runs every test file once', (t) => {
  const rooms = entries().filter((path) => !path.endsWith('.test.ts'))
  const files = entries().filter((path) => !rooms.includes(path))
  for (const path of rooms)
    files.push(...filesOf(path.replace(/^test\/rooms\/(.*)\.ts$/, '$1') as RoomName))
  t.same(files.toSorted(), testFiles())
  t.end()
})

t.test('npm run nightly runs the files that have a longer form', (t) => {
  t.ok(nightlyFiles().includes('test/integration/soak.test.ts'))
  t.ok(nightlyFiles().includes('test/fleet/refresh-walk.test.ts'), 'of a room, too')
  t.ok(
    nightlyFiles().includes('test/frames/frame-headers.test.ts'),
    'and properties, with all cases'
  )
  t.notOk(nightlyFiles().includes('test/integration/signals.test.ts'))
  t.end()
})

t.test('what measures or changes its process is alone', (t) => {
  t.ok(isAlone('test/dialects/kept-plan.test.ts'), 'the heap')
  t.ok(isAlone('test/upstream/drop-socket.test.ts'), 'handles')
  t.ok(isAlone('test/config/load-process.test.ts'), 'the environment')
  t.ok(isAlone('test/observe/refusal-log.test.ts'), 'timers')
  t.ok(isAlone('test/integration/signals.test.ts'), 'gateways that are stopped')
  t.ok(isAlone('test/integration/doctor.test.ts'), 'commands that are counted')
  t.ok(isAlone('test/integration/tracing.test.ts'), 'what starts first')
  t.notOk(isAlone('test/integration/fleet-keys.test.ts'))
  t.notOk(isAlone('test/integration/rehearsal.test.ts'), 'gateways that are asked')
  t.notOk(isAlone('test/kiro/conversation/identifiers.test.ts'))
  t.end()
})

t.test('coverage is counted where it tells something', (t) => {
  t.same(coveredBy('test/integration/signals.test.ts'), ['nothing'], 'not of many gateways')
  t.equal(coveredBy('test/dialects/answer-cost.test.ts'), null, 'not of what measures')
  t.equal(coveredBy('test/integration/tracing.test.ts'), null, 'nor of what has to start first')
  t.equal(coveredBy('test/rooms/gateways-keys.ts'), null, 'nor of rooms of gateways')
  t.same(coveredBy('test/integration/doctor.test.ts'), [], 'of commands')
  t.same(coveredBy('test/rooms/control.ts'), [], 'of all that a room reaches')
  t.end()
})

t.test('npm test starts again where it has run before', (t) => {
  // Each file that matches is named in one variable of every process, which the system bounds at 128 KB.
  t.notMatch(readFileSync(join(import.meta.dirname, '../../.taprc'), 'utf8'), '.tap/')
  t.end()
})

t.test('without coverage, what a test starts has nothing of tap loaded', (t) => {
  const show = `import { execFileSync } from 'node:child_process'
    process.stdout.write(execFileSync(process.execPath, ['-p', 'process.env.NODE_OPTIONS'], { env: {} }))`
  const optionsWith = (coverage: string): string => {
    const env = {
      _TAPJS_PROCESSINFO_COVERAGE_: coverage,
      _TAPJS_PROCESSINFO_CWD_: t.testdirName
    }
    const args = [`--import=${PROCESS_INFO}`, `--import=${UNCOUNTED}`, '--input-type=module']
    return execFileSync(process.execPath, [...args, '-e', show], { env, encoding: 'utf8' })
  }
  t.match(optionsWith('1'), 'processinfo')
  t.equal(optionsWith('0').trim(), 'undefined')
  t.end()
})

t.test(
  'files of a room have their own time and teardowns, and what is wrong has a name',
  async (t) => {
    const wait = 'await new Promise((resolve) => setTimeout(resolve, 300))'
    const folder = t.testdir({
      'short.test.ts': `import t from 'tap'; t.setTimeout(20_000); t.teardown(() => console.log('# torn down')); t.pass()`,
      'broken.test.ts': `import t from 'tap'; t.pass('so far'); throw new Error('cannot start')`,
      'late.test.ts': `import t from 'tap'; t.setTimeout(100); t.test('waits', async (t) => { ${wait}; t.pass() })`,
      'long.test.ts': `import t from 'tap'; t.test('waits', async (t) => { ${wait}; t.pass('in time') })`,
      'room.ts': `import { runRoom } from '${RUN_ROOM}'
      const files = ['short', 'broken', 'late', 'long'].map((name) => import.meta.dirname + '/' + name + '.test.ts')
      await runRoom(files)`
    })
    const child = spawn(process.execPath, [resolve(folder, 'room.ts')])
    const output = await text(child.stdout)
    t.match(output, /^ok 1 - .*short\.test\.ts/m)
    t.match(output, /# torn down[^]*broken\.test\.ts/, 'at the end of its file')
    t.match(output, /^not ok 2 - .*broken\.test\.ts/m)
    t.match(output, /cannot start/)
    t.match(output, /^not ok 3 - .*late\.test\.ts/m)
    t.match(output, /^ok 4 - .*long\.test\.ts/m)
    t.not(child.exitCode, 0)
  }
)

t.test('a room may take longer than one file', async (t) => {
  const wait = 'await new Promise((resolve) => setTimeout(resolve, 700))'
  const file = `import t from 'tap'; t.setTimeout(20_000); t.test('waits', async (t) => { ${wait}; t.pass() })`
  const folder = t.testdir({
    'first.test.ts': file,
    'second.test.ts': file,
    'room.ts': `import { runRoom } from '${RUN_ROOM}'
      await runRoom(['first', 'second'].map((name) => import.meta.dirname + '/' + name + '.test.ts'))`
  })
  const child = spawn(process.execPath, [resolve(folder, 'room.ts')], { env: { TAP_TIMEOUT: '1' } })
  const output = await text(child.stdout)
  t.match(output, /^ok 2 - .*second\.test\.ts/m)
  t.notMatch(output, /^not ok/m)
})

t.test(
  'tap hands its processes no list of all test files, which would be too long in a deep folder',
  async (t) => {
    const long = Object.entries(process.env).filter(([, value = '']) => value.length > 32_768)
    t.same(
      long.map(([name]) => name),
      []
    )
  }
)
