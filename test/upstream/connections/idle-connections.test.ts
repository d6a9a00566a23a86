import t from 'tap'
import type { Connection } from '../../../src/upstream/connections/connection.ts'
import { IdleConnections } from '../../../src/upstream/connections/idle-connections.ts'

const here = new URL('https://a.example/')
const there = new URL('https://b.example/')

/** As much of a connection as the list looks at. */
function idleSince(origin: URL, idleSince: number, isIdle = true): Connection {
  return { origin, idleSince, isIdle } as Connection
}

t.test('IdleConnections', (t) => {
  t.test('gives the newest of an origin and the oldest of all', async (t) => {
    const idle = new IdleConnections()
    const [a1, b2, a3, b4] = [
      idleSince(here, 1),
      idleSince(there, 2),
      idleSince(here, 3),
      idleSince(there, 4)
    ]
    for (const connection of [a1, b2, a3, b4]) idle.add(connection)
    t.same([idle.size, idle.oldestSince()], [4, 1])
    t.equal(idle.takeNewest(new URL('/path', here)), a3)
    t.equal(idle.takeOldest(), a1)
    t.equal(idle.takeNewest(here), null)
    t.same([idle.size, idle.oldestSince()], [2, 2])
    t.equal(idle.takeOldest(), b2)
    t.equal(idle.takeOldest(), b4)
    t.equal(idle.takeOldest(), null)
    t.same([idle.size, idle.oldestSince()], [0, null])
  })

  t.test('passes over those whose end has begun, and keeps them until they are gone', async (t) => {
    const idle = new IdleConnections()
    const [alive, ending] = [idleSince(here, 1), idleSince(here, 2, false)]
    idle.add(alive)
    idle.add(ending)
    t.equal(idle.takeNewest(here), alive)
    t.equal(idle.takeNewest(here), null)
    t.equal(idle.size, 1)
    idle.remove(ending)
    idle.remove(ending)
    idle.remove(alive)
    t.equal(idle.size, 0)
  })
  t.end()
})
