import t from 'tap'
import { CLOSING_MS, CUT_MS, FleetRig, MAX, until } from '../../helper/fleet-rig.ts'

t.setTimeout(60_000)

const SILENT = new Promise<void>(() => {})

/** Timers that keep this process alive. */
function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
}

t.test('a gateway asks to join only once its folder knows of it', async (t) => {
  const rig = new FleetRig(t)
  const a = rig.add('a')
  const disk = Promise.withResolvers<void>()
  a.folder.disk = () => disk.promise
  const started = a.start()
  await until(() => a.folder.told.length > 0)
  t.notOk(await a.isAsking(), 'not while the disk is slow')
  disk.resolve()
  await started
  t.equal(a.signIns, 1, 'its sign-in is shared by then')
  await until(() => a.problem === null)
  t.equal(rig.valkey.leaseOf('a'), MAX)
  t.same(rig.valkey.incsOf('a'), a.folder.memory.incs)
})

t.test('a full disk ends the start, and the gateway never joins', async (t) => {
  const a = new FleetRig(t).add('a')
  a.folder.disk = () => Promise.reject(new Error('the disk is full'))
  await t.rejects(a.start(), { message: 'the disk is full' })
  t.notOk(await a.isAsking())
  t.equal(a.signIns, 0)
})

t.test('a folder that another gateway has ends the start', async (t) => {
  const rig = new FleetRig(t)
  const a = rig.add('a')
  a.folder.isInUse = true
  await t.rejects(a.start(), { code: 'GW_CONFIG_INVALID', message: /^STATE_DIR is in use/ })
  t.equal(rig.valkey.connections, 0)
})

t.test('a gateway that ends while it starts does not join, and leaves no timer', async (t) => {
  const rig = new FleetRig(t)
  const a = rig.add('a')
  const before = timers()
  const disk = Promise.withResolvers<void>()
  a.folder.disk = () => disk.promise
  const started = a.start()
  await until(() => a.folder.told.length > 0)
  await a.drain()
  t.equal(rig.valkey.connections, 0)
  disk.resolve()
  await started
  t.notOk(await a.isAsking())
  t.equal(timers(), before)
})

t.test('a gateway that leaves gives back what is used only once that is gone', async (t) => {
  const rig = new FleetRig(t)
  const [a, b] = [rig.add('a'), rig.add('b')]
  const before = timers()
  await a.serve()
  await b.serve()
  t.same([rig.valkey.leaseOf('a'), rig.valkey.leaseOf('b')], [MAX, 0])
  a.worker.join()
  b.worker.join()
  await until(() => a.worker.lease === MAX)

  b.worker.report({ waiting: 4 })
  await until(() => a.worker.asked === 4)
  t.equal(rig.valkey.leaseOf('b'), 0, 'not what is only asked for')
  a.worker.report({ returned: 4 })
  await until(() => b.worker.lease === 4)
  t.same([rig.valkey.leaseOf('a'), rig.valkey.leaseOf('b')], [MAX - 4, 4])

  const end = Promise.withResolvers<void>()
  const drained = a.drain(() => end.promise)
  await until(() => a.worker.asked === MAX - 4)
  b.worker.report({ waiting: 2 })
  a.worker.report({ returned: 2 })
  await until(() => b.worker.lease === 6)
  t.equal(rig.valkey.leaseOf('a'), MAX - 6, 'what its last requests use')
  b.worker.report({ waiting: 4 })
  await b.isAsking()
  t.equal(rig.valkey.leaseOf('a'), MAX - 6)
  a.worker.end()
  end.resolve()
  await drained
  t.same(rig.valkey.incsOf('a'), [])
  await until(() => b.worker.lease === MAX)
  await b.drain(async () => {}) // its primary need not know which of them are gone
  t.same(rig.valkey.state?.members, {})
  t.equal(timers(), before)
})

t.test(
  'a gateway ends without an answer of Valkey, and tells its workers until then',
  async (t) => {
    const rig = new FleetRig(t)
    const a = rig.add('a')
    await a.serve()
    a.isCutOff = true
    const { length } = a.told
    await until(() => a.told.length > length + 1) // one may have come since, and nothing is new
    t.equal(a.problem, null)
    const began = performance.now()
    await a.drain()
    t.ok(performance.now() - began < 2_000, 'it does not wait as for one that answers')
    t.same(rig.valkey.incsOf('a').length, 1, 'nobody was told')
  }
)

t.test('a gateway without contact closes, and goes on once Valkey answers in time', async (t) => {
  const rig = new FleetRig(t)
  const a = rig.add('a')
  await a.serve()
  a.worker.join()
  await until(() => a.worker.lease === MAX)
  const incs = rig.valkey.incsOf('a')
  a.isCutOff = true
  rig.pass(CLOSING_MS)
  await until(() => a.problem !== null)
  t.match(a.problem, 'lost contact')
  t.equal(a.budget.state().maxConnections, 0)
  a.isCutOff = false
  await until(() => a.problem === null)
  t.equal(a.budget.state().maxConnections, MAX)
  t.same(rig.valkey.incsOf('a'), incs)
})

t.test('a gateway that was cut joins as another once all it had is gone', async (t) => {
  const rig = new FleetRig(t)
  const a = rig.add('a')
  await a.serve()
  a.worker.join()
  await until(() => a.worker.lease === MAX)
  const [first = ''] = rig.valkey.incsOf('a')
  a.isCutOff = true
  rig.pass(CUT_MS)
  await until(() => a.problem !== null)
  a.isCutOff = false
  a.worker.report({ returned: MAX - 1 })
  const { length } = a.asked
  await until(() => a.asked.length > length + 1) // it knows the register by then
  await a.isAsking()
  t.same(rig.valkey.incsOf('a'), [first], 'while a connection is open')
  t.same(a.folder.memory.incs, [first])

  a.folder.disk = () => SILENT // it holds nothing back: only the memory of the fleet would need what it says
  a.worker.report({ returned: 1 })
  await until(() => a.problem === null)
  const [second = ''] = rig.valkey.incsOf('a')
  t.not(second, first)
  t.same(rig.valkey.state?.members[second]?.ended, [first])
  t.same(a.folder.told.at(-1)?.incs, [first, second])
  await until(() => a.worker.lease === MAX)
})

t.test('a fleet whose Valkey forgets waits for whom its gateways know', async (t) => {
  const rig = new FleetRig(t)
  const a = rig.add('a', { replicas: 2 })
  const b = rig.add('b', { replicas: 2 })
  await Promise.all([a.start(), b.start()])
  await until(() => a.problem === null && b.problem === null)
  const [incsOfA, incsOfB] = [rig.valkey.incsOf('a'), rig.valkey.incsOf('b')]
  rig.valkey.engine.flush()
  await until(() => rig.valkey.state?.phase === 'open')
  t.same([rig.valkey.incsOf('a'), rig.valkey.incsOf('b')], [incsOfA, incsOfB])

  for (const one of [a, b]) one.isCutOff = true // as if killed
  rig.valkey.engine.flush()
  const nextA = rig.add('a', { replicas: 2 })
  await nextA.start()
  await until(() => rig.valkey.state !== null)
  t.same(rig.valkey.state?.awaited, { [incsOfB[0] ?? '']: 'b' }, 'not its own, which has ended')
  await until(() => nextA.told.at(-1)?.problem?.includes('no sign of 1') === true)
  const nextB = rig.add('b', { replicas: 2 })
  await nextB.start()
  await until(() => nextA.problem === null && nextB.problem === null)
  t.same(nextB.folder.memory.incs, [...incsOfB, ...rig.valkey.incsOf('b')])
})

t.test('a gateway that cannot be a member says so', async (t) => {
  const rig = new FleetRig(t)
  const a = rig.add('a')
  a.isOutdated = true
  await a.start()
  await until(() => a.refusals.length > 0)
  t.match(a.refusals[0], { code: 'GW_CONFIG_INVALID', message: /newer version/ })
  t.same(rig.valkey.state, null)
})

t.test('one that serves goes on until its lease ends', async (t) => {
  const rig = new FleetRig(t)
  const a = rig.add('a')
  await a.serve()
  a.isOutdated = true
  rig.valkey.engine.flush() // so that it reads
  await until(() => a.text().includes('newer version'))
  t.equal(a.problem, null)
  t.same(a.refusals, [])
  rig.pass(CUT_MS)
  await until(() => a.refusals.length > 0)
})
