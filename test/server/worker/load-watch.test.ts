import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { Arrivals, type InUse, LoadWatch } from '../../../src/server/worker/load-watch.ts'

function setUp() {
  const facts = {
    cpu: { used: 0, total: 100 },
    memory: { used: 0, total: 100 },
    isWaiting: false,
    together: 1
  }
  const told: number[] = []
  const crowds: boolean[] = []
  const watch = new LoadWatch({
    cpu: (): InUse => facts.cpu,
    memory: (): InUse => facts.memory,
    isWaiting: () => facts.isWaiting,
    arrivals: { arrived: () => facts.together },
    channel: {
      send: (message) => {
        if (message.type !== 'clients.load') return
        told.push(message.load)
        crowds.push(message.isCrowded)
      }
    }
  })
  const look = (used: number): readonly number[] => {
    facts.cpu.used = used
    watch.look()
    return told.splice(0)
  }
  return { watch, facts, look, since: () => told.splice(0), crowds }
}

t.test('the load of a worker', async (t) => {
  t.test('is the part of a CPU that its event loop takes, told where it changes', async (t) => {
    const { look } = setUp()
    t.same(look(5), [])
    t.same(look(30), [0.3])
    t.same(look(32), [])
    t.same(look(60), [0.6])
  })

  t.test('falls slowly, and at once to nothing when there are no clients', async (t) => {
    const { look, watch, since } = setUp()
    look(80)
    let looks = 0
    for (let load = 0.8; load > 0.4; looks++) load = look(0)[0] ?? load
    t.ok(looks >= 10 && looks <= 20, `${looks} looks`)
    watch.rest()
    t.same(since(), [0])
    watch.rest()
    t.same(since(), [])
  })

  t.test('is full where something is short', async (t) => {
    const { look, facts, watch } = setUp()
    facts.memory.used = 51
    t.same(look(0), [1])
    watch.rest()
    facts.memory.used = 50
    t.same(look(0), [0])
    facts.isWaiting = true
    t.same(look(0), [1])
  })

  t.test('is full at once where a client comes while something is short', async (t) => {
    const { watch, facts, since } = setUp()
    watch.arrived()
    t.same(since(), [], 'nothing is short')
    facts.memory.used = 51
    watch.arrived()
    watch.arrived()
    t.same(since(), [1], 'told once, and not at the next look only')
    watch.rest()
    since()
    facts.memory.used = 0
    facts.isWaiting = true
    watch.arrived()
    t.same(since(), [1])
  })

  t.test('tells of a crowd at once, and of its end', async (t) => {
    const { look, watch, crowds } = setUp()
    for (let i = 0; i < 31; i++) watch.arrived()
    t.same(crowds, [])
    watch.arrived()
    watch.arrived()
    t.same(crowds, [true])
    for (let i = 0; i < 20; i++) look(10)
    t.equal(crowds.at(-1), false)
  })

  t.test('takes those that come one look after the other for no crowd', async (t) => {
    const { look, watch, crowds } = setUp()
    for (let i = 0; i < 31; i++) watch.arrived()
    look(0)
    for (let i = 0; i < 31; i++) watch.arrived()
    t.same(crowds, [])
  })

  t.test('tells of few that have waited together', async (t) => {
    const { watch, facts, crowds } = setUp()
    facts.together = 3
    watch.arrived()
    t.same(crowds, [])
    facts.together = 4
    watch.arrived()
    t.same(crowds, [true])
    watch.rest()
    t.same(crowds, [true, false])
  })
})

t.test('arrivals are counted together until a turn without one', async (t) => {
  const arrivals = new Arrivals()
  t.same([arrivals.arrived(), arrivals.arrived()], [1, 2])
  while (arrivals.areWaiting) await nextTurn()
  t.equal(arrivals.arrived(), 1)
})
