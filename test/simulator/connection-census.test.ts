import { Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { ConnectionCensus } from '../strict-simulator/connection-census.ts'

t.test('ConnectionCensus', async (t) => {
  t.test('counts connections that are open, idle and used again', async (t) => {
    const census = new ConnectionCensus()
    const [a, b] = [new Socket(), new Socket()]
    census.accept(a)
    census.accept(b)
    await counted()
    census.begin(a, 'one')
    census.begin(b, 'one')
    t.match(census.stats(), { inFlight: 2, connections: { open: 2, idle: 0 } })
    census.end(a)
    census.begin(a, 'two')
    census.end(a)
    census.end(b)
    t.same(census.stats(), {
      connections: { open: 2, max: 2, idle: 2, maxIdle: 2, accepted: 2 },
      requests: { total: 3, byOperation: { one: 2, two: 1 } },
      requestsOnReusedConnections: 1,
      inFlight: 0,
      maxInFlight: 2,
      refreshes: 0
    })
  })

  t.test('forgets connections that close, idle or busy', async (t) => {
    const census = new ConnectionCensus()
    const [idle, busy] = [new Socket(), new Socket()]
    for (const socket of [idle, busy]) {
      census.accept(socket)
      census.begin(socket, 'x')
    }
    await counted()
    census.end(idle)
    idle.emit('close')
    busy.emit('close')
    census.end(busy)
    t.match(census.stats(), { inFlight: 0, connections: { open: 0, max: 2, idle: 0, maxIdle: 1 } })
  })

  t.test('does not count a connection whose close came before the accept of another', async (t) => {
    const census = new ConnectionCensus()
    const [old, next] = [new Socket(), new Socket()]
    census.accept(old)
    await counted()
    census.accept(next)
    void setImmediate().then(() => old.emit('close')) // later in the same turn
    await counted()
    t.match(census.stats().connections, { open: 1, max: 1 })
  })

  t.test('takes those who ask for statistics out of all counts', async (t) => {
    const census = new ConnectionCensus()
    const [first, asking, second] = [new Socket(), new Socket(), new Socket()]
    census.accept(first)
    census.accept(asking)
    census.accept(second)
    await counted()
    t.equal(census.stats().connections.max, 3)
    census.exclude(asking)
    t.match(census.stats().connections, { open: 2, max: 2, accepted: 2 })
    asking.emit('close')
    t.equal(census.stats().connections.open, 2)
  })

  t.test('keeps a maximum that was reached before they came', async (t) => {
    const census = new ConnectionCensus()
    const [a, b, asking] = [new Socket(), new Socket(), new Socket()]
    census.accept(a)
    census.accept(b)
    await counted()
    b.emit('close')
    census.accept(asking)
    await counted()
    census.exclude(asking)
    t.match(census.stats().connections, { open: 1, max: 2 })
  })

  t.test('starts anew on reset, from what is open then', async (t) => {
    const census = new ConnectionCensus()
    const [a, b] = [new Socket(), new Socket()]
    census.accept(a)
    census.begin(a, 'x')
    census.accept(b)
    b.emit('close')
    census.countRefresh()
    census.reset()
    t.match(census.stats(), {
      connections: { open: 1, max: 1, accepted: 0 },
      requests: { total: 0, byOperation: {} },
      inFlight: 1,
      maxInFlight: 1,
      refreshes: 0
    })
  })
})

/** Resolves when all connections so far have been counted for the maximum. */
async function counted(): Promise<void> {
  await setImmediate()
  await setImmediate()
  await setImmediate()
}
