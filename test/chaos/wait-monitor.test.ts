import t from 'tap'
import { WaitMonitor } from './wait-monitor.ts'

function longest(glances: readonly (readonly [number, number, number] | null)[]): number {
  const monitor = new WaitMonitor()
  for (const glance of glances) {
    if (glance === null) monitor.note(null)
    else monitor.note({ at: glance[0], waiting: glance[1], free: glance[2] })
  }
  return monitor.longestMs
}

t.test('WaitMonitor', async (t) => {
  t.equal(longest([]), 0)
  t.equal(longest([[0, 5, 1]]), 0, 'one glance shows no duration')
  t.equal(
    longest([
      [0, 5, 1],
      [200, 5, 1],
      [400, 1, 3],
      [600, 0, 3]
    ]),
    400
  )
  t.equal(
    longest([
      [0, 5, 0],
      [200, 5, -1],
      [400, 0, 9]
    ]),
    0,
    'nobody waits while something is free'
  )
  t.equal(
    longest([
      [0, 5, 1],
      [200, 5, 0],
      [400, 5, 1],
      [500, 5, 1]
    ]),
    100,
    'a gap ends it'
  )
  t.equal(longest([[0, 5, 1], null, [400, 5, 1]]), 0, 'what was not seen is not held against it')
  t.equal(
    longest([
      [0, 5, 1],
      [1001, 5, 1]
    ]),
    0,
    'nor what was not looked at'
  )
})
