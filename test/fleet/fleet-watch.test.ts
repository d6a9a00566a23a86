import t from 'tap'
import { FleetWatch } from '../../src/fleet/fleet-watch.ts'
import { fleetTimes, type Instant } from '../../src/shared/elapsed.ts'

const times = fleetTimes(10_000)

function at(ms: number): Instant {
  return { mono: ms, wall: ms, up: ms }
}

t.test('silenceMs()', async (t) => {
  t.test('is counted from the last new beat', async (t) => {
    const watch = new FleetWatch(times)
    watch.onHeard({ a: '1' }, at(0))
    watch.onHeard({ a: '1' }, at(times.contactMs))
    t.equal(watch.silenceMs('a', at(times.contactMs)), times.contactMs)
    watch.onHeard({ a: '2' }, at(times.contactMs + 1))
    t.equal(watch.silenceMs('a', at(times.contactMs + 3)), 2)
  })

  t.test('starts again after a time in which nothing was heard', async (t) => {
    const watch = new FleetWatch(times)
    watch.onHeard({ a: '1' }, at(0))
    watch.onHeard({ a: '1' }, at(times.contactMs + 1))
    t.equal(watch.silenceMs('a', at(times.contactMs + 1)), 0, 'a may have beaten meanwhile')
  })

  t.test('is nothing for a member that is unknown or has gone', async (t) => {
    const watch = new FleetWatch(times)
    watch.onHeard({ a: '1' }, at(0))
    watch.onHeard({}, at(1))
    t.equal(watch.silenceMs('a', at(2)), 0)
  })
})
