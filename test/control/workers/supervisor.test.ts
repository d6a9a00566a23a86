import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { type SlotChange, Supervisor } from '../../../src/control/workers/supervisor.ts'
import { FakeWorkers } from '../../helper/fake-workers.ts'

mock.timers.enable({ apis: ['setTimeout'] })
t.teardown(() => mock.timers.reset())

function setUp(_t: Test, slots = 2) {
  const workers = new FakeWorkers()
  const changes: SlotChange[] = []
  const supervisor = new Supervisor({
    slots,
    fork: workers.fork,
    onChange: (change) => void changes.push(change),
    backoff: { firstMs: 50, maxMs: 400 },
    settleMs: 1000,
    startTimeoutMs: 5000,
    retireTimeoutMs: () => 9000
  })
  return { workers, changes, supervisor }
}

/** Lets promises that are settled run on. */
const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('start()', async (t) => {
  const { supervisor, workers, changes } = setUp(t)
  supervisor.start()
  t.same(
    workers.all.map(({ id }) => id),
    [1, 2]
  )
  t.match(supervisor.states(), [
    { id: 1, pid: 1000, state: { name: 'starting' } },
    { id: 2, pid: 1001, state: { name: 'starting' } }
  ])
  workers.at(2).events.onReady()
  t.match(changes.at(-1), { id: 2, pid: 1001, state: { name: 'ready' }, reason: null })
})

t.test('a worker that dies', (t) => {
  t.test('is replaced in its slot after a short delay; the others are left alone', async (t) => {
    const { supervisor, workers, changes } = setUp(t)
    supervisor.start()
    for (const { events } of workers.all) events.onReady()
    workers.at(1).events.onExit('SIGKILL')
    t.match(changes.at(-1), {
      id: 1,
      pid: null,
      state: { name: 'backoff', delayMs: 50 },
      reason: 'SIGKILL'
    })
    mock.timers.tick(49)
    t.equal(workers.all.length, 2)
    mock.timers.tick(1)
    t.same(
      workers.all.map(({ id }) => id),
      [1, 2, 1]
    )
    t.match(supervisor.states(), [
      { pid: 1002, state: { name: 'starting' } },
      { pid: 1001, state: { name: 'ready' } }
    ])
    t.same(
      workers.all.flatMap(({ told }) => told),
      []
    )
  })

  t.test('again and again is replaced ever later, and reported as a crash loop', async (t) => {
    const { supervisor, workers } = setUp(t)
    supervisor.start()
    const loops: boolean[] = []
    for (const delayMs of [50, 100, 200, 400, 400]) {
      const before = workers.all.length
      workers.at(1).events.onExit('exit code 1')
      loops.push(supervisor.status(() => false).isCrashLooping)
      mock.timers.tick(delayMs - 1)
      t.equal(workers.all.length, before)
      mock.timers.tick(1)
      t.equal(workers.all.length, before + 1)
    }
    t.same(loops, [false, false, true, true, true])
  })

  t.test('after it had served for a while is like the first to die', async (t) => {
    const { supervisor, workers, changes } = setUp(t)
    supervisor.start()
    for (let deaths = 0; deaths < 3; deaths++) {
      workers.at(1).events.onExit('exit code 1')
      mock.timers.tick(400)
    }
    workers.at(1).events.onReady()
    mock.timers.tick(999)
    t.equal(supervisor.status(() => false).isCrashLooping, true)
    mock.timers.tick(1)
    t.equal(supervisor.status(() => false).isCrashLooping, false)
    workers.at(1).events.onExit('exit code 1')
    t.match(changes.at(-1), { state: { failures: 1, delayMs: 50 } })
  })

  t.test('before it has settled is not forgiven later', async (t) => {
    const { supervisor, workers, changes } = setUp(t)
    supervisor.start()
    workers.at(1).events.onExit('exit code 1')
    mock.timers.tick(50)
    workers.at(1).events.onReady()
    workers.at(1).events.onExit('exit code 1')
    mock.timers.tick(1000) // the timer that would have settled it must be gone: it would throw
    t.match(changes.at(-1), { state: { name: 'starting', failures: 2 } })
  })
  t.end()
})

t.test('drain()', (t) => {
  t.test('asks every worker once and resolves when the last has exited', async (t) => {
    const { supervisor, workers } = setUp(t, 3)
    supervisor.start()
    workers.at(1).events.onReady()
    workers.at(3).events.onExit('exit code 1')
    let isDrained = false
    const drained = supervisor.drain().then(() => (isDrained = true))
    void supervisor.drain()
    workers.at(2).events.onReady() // it had been starting
    t.same(
      workers.all.map(({ told }) => told),
      [['drain'], ['drain'], []]
    )
    workers.at(2).events.onExit('exit code 0')
    await turn()
    t.equal(isDrained, false)
    workers.at(1).events.onExit('exit code 0')
    await drained
    mock.timers.tick(60_000)
    t.equal(workers.all.length, 3, 'nobody is replaced any more')
    t.same(
      supervisor.states().map(({ state }) => state.name),
      ['stopped', 'stopped', 'stopped']
    )
  })
  t.end()
})

t.test('destroy()', (t) => {
  t.test('kills every worker and replaces none', async (t) => {
    const { supervisor, workers } = setUp(t, 3)
    supervisor.start()
    workers.at(1).events.onReady()
    workers.at(3).events.onExit('exit code 1')
    supervisor.destroy()
    t.ok(workers.at(1).told.includes('kill'))
    t.ok(workers.at(2).told.includes('kill'))
    workers.at(1).events.onExit('SIGKILL')
    workers.at(2).events.onExit('SIGKILL')
    mock.timers.tick(60_000)
    t.equal(workers.all.length, 3)
  })

  t.test('ends a drain that takes too long', async (t) => {
    const { supervisor, workers } = setUp(t, 1)
    supervisor.start()
    const drained = supervisor.drain()
    supervisor.destroy()
    t.same(workers.at(1).told, ['drain', 'kill'])
    workers.at(1).events.onExit('SIGKILL')
    await drained
  })
  t.end()
})

t.test('start() twice is a bug', async (t) => {
  const { supervisor, workers } = setUp(t)
  supervisor.start()
  t.throws(() => supervisor.start(), /"start" cannot happen/)
  t.equal(workers.all.length, 2)
})

/** Two workers that serve. */
function serving(t: Test) {
  const stand = setUp(t)
  stand.supervisor.start()
  for (const { events } of stand.workers.all) events.onReady()
  return stand
}

const names = (supervisor: Supervisor) => supervisor.states().map(({ state }) => state.name)

t.test('replace()', (t) => {
  t.test('lets the old worker serve until the new one does, and then leave', async (t) => {
    const { supervisor, workers } = serving(t)
    const [old] = workers.all
    let outcome = ''
    void supervisor.replace(1).then(({ name }) => (outcome = name))
    t.equal(workers.all.length, 3)
    t.same(old?.told, [])
    t.match(supervisor.states()[0], { pid: 1000, state: { name: 'replacing' } })
    workers.at(1).events.onReady()
    t.same(old?.told, ['retire'])
    t.match(supervisor.states()[0], { pid: 1002, state: { name: 'ready' } })
    t.same(supervisor.leavingPids(), [1000])
    await turn()
    t.equal(outcome, '', 'the old one still has clients')
    old?.events.onExit('exit code 0')
    await turn()
    t.equal(outcome, 'replaced')
    t.same(supervisor.leavingPids(), [])
    t.equal(workers.all.length, 3, 'nobody follows who left')
  })

  t.test('keeps the old worker when the new one dies before it serves', async (t) => {
    const { supervisor, workers, changes } = serving(t)
    const outcome = supervisor.replace(1)
    workers.at(1).events.onExit('exit code 1')
    t.same(await outcome, { name: 'failed', reason: 'exit code 1' })
    t.match(changes.at(-1), { pid: 1000, state: { name: 'ready' }, reason: 'exit code 1' })
    t.same(workers.all[0]?.told, [])
    mock.timers.tick(60_000)
    t.equal(workers.all.length, 3)
  })

  t.test('gives up on a new worker that does not come to serve', async (t) => {
    const { supervisor, workers } = serving(t)
    const outcome = supervisor.replace(1)
    mock.timers.tick(4999)
    t.same(workers.at(1).told, [])
    mock.timers.tick(1)
    t.same(workers.at(1).told, ['kill'])
    workers.at(1).events.onExit('SIGKILL')
    t.match(await outcome, { name: 'failed' })
    t.same(names(supervisor), ['ready', 'ready'])
  })

  t.test('takes the new worker at once when the old one dies meanwhile', async (t) => {
    const { supervisor, workers } = serving(t)
    const outcome = supervisor.replace(1)
    workers.all[0]?.events.onExit('SIGKILL')
    t.match(supervisor.states()[0], { pid: 1002, state: { name: 'starting', failures: 1 } })
    workers.at(1).events.onReady()
    t.same(await outcome, { name: 'replaced' })
    t.equal(workers.all.length, 3)
  })

  t.test('fails when both die, and the slot is filled as ever', async (t) => {
    const { supervisor, workers } = serving(t)
    const outcome = supervisor.replace(1)
    workers.all[0]?.events.onExit('SIGKILL')
    workers.at(1).events.onExit('exit code 1')
    t.same(await outcome, { name: 'failed', reason: 'exit code 1' })
    mock.timers.tick(400)
    workers.at(1).events.onReady()
    t.same(names(supervisor), ['ready', 'ready'])
  })

  t.test('fails when the new worker dies while the old one leaves', async (t) => {
    const { supervisor, workers } = serving(t)
    const outcome = supervisor.replace(1)
    workers.at(1).events.onReady()
    workers.at(1).events.onExit('SIGSEGV')
    t.same(await outcome, { name: 'failed', reason: 'SIGSEGV' })
    const again = supervisor.replace(1)
    t.same(await again, { name: 'replaced' }, 'a new one is about to start anyway')
    mock.timers.tick(50)
    workers.at(1).events.onReady()
    let isOver = false
    void supervisor.replace(1).then(() => (isOver = true))
    workers.all[0]?.events.onExit('exit code 0') // of an earlier replacement
    await turn()
    t.equal(isOver, false)
  })

  t.test('kills a worker that does not leave in time', async (t) => {
    const { supervisor, workers } = serving(t)
    const outcome = supervisor.replace(1)
    workers.at(1).events.onReady()
    mock.timers.tick(8999)
    t.same(workers.all[0]?.told, ['retire'])
    mock.timers.tick(1)
    t.same(workers.all[0]?.told, ['retire', 'kill'])
    workers.all[0]?.events.onExit('SIGKILL')
    t.same(await outcome, { name: 'replaced' })
  })

  t.test('is one replacement, however often it is asked for', async (t) => {
    const { supervisor, workers } = serving(t)
    const both = [supervisor.replace(1), supervisor.replace(1)]
    t.equal(workers.all.length, 3)
    workers.at(1).events.onReady()
    workers.all[0]?.events.onExit('exit code 0')
    t.same(await Promise.all(both), [{ name: 'replaced' }, { name: 'replaced' }])
  })

  t.test('is cut short by a drain, which waits for all three', async (t) => {
    const { supervisor, workers } = serving(t)
    const outcome = supervisor.replace(1)
    let isDrained = false
    const drained = supervisor.drain().then(() => (isDrained = true))
    t.same(await outcome, { name: 'drained' })
    t.same(
      workers.all.map(({ told }) => told),
      [['drain'], ['drain'], ['drain']]
    )
    workers.at(1).events.onReady() // it was about to
    workers.all[0]?.events.onExit('exit code 0')
    workers.all[1]?.events.onExit('exit code 0')
    await turn()
    t.equal(isDrained, false)
    workers.all[2]?.events.onExit('exit code 0')
    await drained
    t.same(await supervisor.replace(1), { name: 'drained' })
  })

  t.test('leaves nobody out of a drain or an end', async (t) => {
    const { supervisor, workers } = serving(t)
    void supervisor.replace(1)
    workers.at(1).events.onReady()
    const drained = supervisor.drain()
    t.same(workers.all[0]?.told, ['retire', 'drain'])
    supervisor.destroy()
    t.equal(workers.all[0]?.told.at(-1), 'kill')
    for (const { events } of workers.all) events.onExit('SIGKILL')
    await drained
  })

  t.test('knows its slots', async (t) => {
    t.throws(() => serving(t).supervisor.replace(3), /no slot 3/)
  })
  t.end()
})
