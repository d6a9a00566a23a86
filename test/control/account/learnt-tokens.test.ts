import {
  chownSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { LearntTokens } from '../../../src/control/account/learnt-tokens.ts'
import { newGauge } from '../../../src/kiro/tokens/token-gauge.ts'
import type { LearntGauges } from '../../../src/kiro/tokens/token-gauge.ts'
import { OwnDisk } from '../../helper/own-disk.ts'

const FILE = 'token-counts.json'
const LESSON = { groups: [7_000, 2_500, 500, 0, 0, 0, 0, 0], measured: 13_000, within: 10 }

function setUp(t: Test, stateDir = t.testdir()) {
  const signedIn = { as: 'one' as string | null }
  const told: LearntGauges[] = []
  const tokens = new LearntTokens({
    stateDir,
    account: () => signedIn.as,
    tell: (learnt) => void told.push(learnt),
    saveMs: 10_000
  })
  t.teardown(() => tokens.close())
  return { tokens, told, signedIn, stateDir, file: join(stateDir, FILE) }
}

const modelsOf = (tokens: LearntTokens): readonly string[] =>
  tokens.all().gauges.map(({ model }) => model)

t.test('what was learnt is there after a restart, in a private file of numbers', async (t) => {
  const { tokens, stateDir, file } = setUp(t)
  tokens.learn({ model: 'm', ...LESSON })
  await tokens.close()
  t.equal(statSync(file).mode & 0o777, 0o600)
  const { tokens: again, told } = setUp(t, stateDir)
  await again.start()
  t.same(again.all(), tokens.all())
  t.same(told, [again.all()], 'the workers are told')
})

t.test('no account learns of another', async (t) => {
  const { tokens, told, signedIn } = setUp(t)
  tokens.learn({ model: 'm', ...LESSON })
  signedIn.as = 'two'
  tokens.onSignIn()
  t.same(told.at(-1), { gauges: [], isAll: true }, 'workers forget')
  tokens.learn({ model: 'n', ...LESSON })
  t.same(modelsOf(tokens), ['n'])
  signedIn.as = 'one'
  tokens.onSignIn()
  t.same(modelsOf(tokens), ['m'])
  for (const account of ['three', 'four', 'five']) {
    signedIn.as = account
    tokens.learn({ model: 'o', ...LESSON })
  }
  signedIn.as = 'two'
  t.same(modelsOf(tokens), [], 'only the newest four are kept')
})

t.test('a lesson that cannot be tells nobody anything', async (t) => {
  const { tokens, told } = setUp(t)
  for (const measured of [Number.NaN, Infinity, -1, 0, 1e12]) {
    tokens.learn({ model: 'm', ...LESSON, measured })
    tokens.learn({ model: 'm', ...LESSON, groups: [measured], measured: 1_000 })
  }
  t.same([told, tokens.errors()], [[], []])
})

t.test('takes over what others know better, and nothing else', async (t) => {
  const { tokens } = setUp(t)
  tokens.learn({ model: 'm', ...LESSON })
  const own = tokens.all().gauges
  tokens.adopt([newGauge('m'), { ...newGauge('n'), lessons: 3 }])
  t.same(tokens.all().gauges.slice(0, 1), own)
  t.same(modelsOf(tokens), ['m', 'n'])
  tokens.adopt([{ ...newGauge('m'), lessons: 9 }])
  t.match(
    tokens.all().gauges.find(({ model }) => model === 'm'),
    { lessons: 9 }
  )
})

t.test('a damaged file is learnt again', async (t) => {
  const good = { ...newGauge('m'), lessons: 3 }
  const wild = { ...good, model: 'w', factors: good.factors.map(() => 1e6) }
  for (const [text, models] of [
    ['', []],
    ['{"format":1', []],
    [JSON.stringify({ format: 2, accounts: { one: [good] } }), []],
    [JSON.stringify({ format: 1, accounts: { one: 'none' } }), []],
    [JSON.stringify({ format: 1, accounts: { one: [null, {}, { ...good, spread: [] }] } }), []],
    [
      JSON.stringify({ format: 1, accounts: { one: [wild, good], __proto__x: [good] } }),
      ['w', 'm']
    ],
    ['x'.repeat(2 ** 20 + 1), []]
  ] as const) {
    const { tokens, file } = setUp(t)
    writeFileSync(file, text)
    await tokens.start()
    t.same(modelsOf(tokens), models, text.slice(0, 60))
    t.ok(tokens.all().gauges.every(({ factors }) => Math.max(...factors) <= 20))
    tokens.learn({ model: 'm', ...LESSON })
    await tokens.close()
    t.match(JSON.parse(readFileSync(file, 'utf8')), { format: 1 }, 'and written again')
  }
})

t.test(
  'a full disk keeps what it has, and takes the rest once there is room',
  {
    skip: OwnDisk.whyNot('tmpfs')
  },
  async (t) => {
    const disk = OwnDisk.mount(t, 'tmpfs', 1)
    const { tokens, file } = setUp(t, disk.folder)
    tokens.learn({ model: 'm', ...LESSON })
    await tokens.close()
    const before = readFileSync(file, 'utf8')
    disk.fill()
    tokens.learn({ model: 'n', ...LESSON })
    await tokens.close()
    t.equal(readFileSync(file, 'utf8'), before)
    t.same(
      readdirSync(disk.folder).filter((name) => name.endsWith('.tmp')),
      [],
      'no draft takes the last room'
    )
    t.same(modelsOf(tokens), ['m', 'n'], 'the gateway counts on')
    disk.makeRoom()
    tokens.learn({ model: 'o', ...LESSON })
    await tokens.close()
    const { tokens: again } = setUp(t, disk.folder)
    await again.start()
    t.same(modelsOf(again), ['m', 'n', 'o'])
  }
)

t.test('a torn file is learnt again, whatever its length', async (t) => {
  const { tokens, stateDir, file } = setUp(t)
  tokens.learn({ model: 'm', ...LESSON })
  await tokens.close()
  const whole = readFileSync(file)
  for (const length of [1, whole.length >> 1, whole.length - 2]) {
    writeFileSync(file, whole)
    truncateSync(file, length)
    const { tokens: again } = setUp(t, stateDir)
    await again.start()
    t.same(modelsOf(again), [], `${length} bytes`)
    again.learn({ model: 'n', ...LESSON })
    await again.close()
    t.match(JSON.parse(readFileSync(file, 'utf8')), { accounts: { one: [{ model: 'n' }] } })
  }
})

t.test(
  'a file of another owner is read, and becomes a private one of our own',
  {
    skip: process.getuid?.() === 0 ? false : 'only root can make a file of another owner'
  },
  async (t) => {
    const { tokens, stateDir, file } = setUp(t)
    tokens.learn({ model: 'm', ...LESSON })
    await tokens.close()
    chownSync(file, 65_534, 65_534)
    const { tokens: again } = setUp(t, stateDir)
    await again.start()
    t.same(again.all(), tokens.all())
    again.learn({ model: 'n', ...LESSON })
    await again.close()
    const { uid, mode } = statSync(file)
    t.same([uid, mode & 0o777], [0, 0o600])
  }
)
