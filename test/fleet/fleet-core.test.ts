import t from 'tap'
import { FleetCore } from '../../src/fleet/fleet-core.ts'
import { fleetTimes, type Instant } from '../../src/shared/elapsed.ts'

const times = fleetTimes(1_800_000)

function at(ms: number): Instant {
  return { mono: ms, wall: ms, up: ms }
}

function newCore(): FleetCore {
  return new FleetCore({
    name: 'a',
    max: 10,
    replicas: 1,
    check: 'check',
    times,
    createInc: () => 'a.1',
    ended: [],
    known: {},
    isSole: false
  })
}

t.test('wakeAt() names no time at which there is nothing to ask', (t) => {
  t.test('while an answer is waited for', (t) => {
    const core = newCore()
    t.ok(core.next(at(0)))
    for (const ms of [1, times.beatMs + 1, 60_000]) {
      t.equal(core.next(at(ms)), null)
      t.ok(core.wakeAt(at(ms)) > ms, `after ${ms} ms`)
    }
    t.end()
  })
  t.test('after one that did not come', (t) => {
    const core = newCore()
    t.ok(core.next(at(0)))
    const late = times.beatMs + 5
    core.onUnknown(at(late))
    t.equal(core.next(at(late + 1)), null)
    const wakeAt = core.wakeAt(at(late + 1))
    t.equal(wakeAt, late + times.beatMs / 4)
    t.ok(core.next(at(wakeAt)))
    t.end()
  })
  t.end()
})
