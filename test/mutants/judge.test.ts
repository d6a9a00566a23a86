import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Copy, copyOf, judge } from './judge.ts'

t.setTimeout(300_000) // processes of their own, on a machine that may be busy

const options = { through: [], secondsPerTest: 300, maxTests: 9, maxIntegrationTests: 0 }
const EVEN = 'export const isEven = (n: number): boolean => n % 2 === 0\n'
const ODD = EVEN.replace('===', '!==')

/** Copy of a project with one source and three tests: one fails always, one at its first run, and one with the fault and at its first run without it. */
function copyOfSmallProject(folder: string): Copy {
  const project = join(folder, 'project')
  const git = ['-c', 'user.name=a', '-c', 'user.email=a@b.c', '-c', 'commit.gpgsign=false']
  for (const args of [
    ['init', '-q'],
    ['add', 'src', 'test'],
    ['commit', '-qm', 'all']
  ])
    execFileSync('git', [...git, ...args], { cwd: project })
  return copyOf('HEAD', project, join(folder, 'copy'))
}

const FILES = {
  src: { 'even.ts': EVEN },
  test: {
    helper: { 'unwritten-memory.ts': '' },
    'failing.test.ts': 'process.exit(1)',
    'unsteady.test.ts': `
      import { existsSync, writeFileSync } from 'node:fs'
      const isFirst = !existsSync('tried')
      writeFileSync('tried', '')
      process.exit(isFirst ? 1 : 0)`,
    'even.test.ts': `
      import { existsSync, writeFileSync } from 'node:fs'
      import { isEven } from '../src/even.ts'
      if (!isEven(2)) process.exit(1)
      const isFirst = !existsSync('tried alone')
      writeFileSync('tried alone', '')
      process.exit(isFirst ? 1 : 0)`
  },
  node_modules: { '.cache': { kept: '' }, 'a-module': { 'index.js': '' } }
}

t.test('judge()', async (t) => {
  t.test('believes a test that fails twice with the fault and passes without it', async (t) => {
    const copy = copyOfSmallProject(t.testdir({ project: FILES }))
    const tests = ['failing', 'unsteady', 'even'].map((name) => `test/${name}.test.ts`)
    const judgement = await judge(copy, { path: 'src/even.ts', text: ODD, tests }, options)
    const unclear = ['test/failing.test.ts']
    t.same(judgement, { caughtBy: 'test/even.test.ts', tried: tests, unclear })
    t.equal(readFileSync(join(copy.root, 'src/even.ts'), 'utf8'), EVEN, 'and puts the file back')
  })
})

t.test('copyOf() shares modules, and not what tests keep beside them', async (t) => {
  const { root } = copyOfSmallProject(t.testdir({ project: FILES }))
  t.ok(existsSync(join(root, 'node_modules/a-module/index.js')))
  t.notOk(existsSync(join(root, 'node_modules/.cache')))
})
