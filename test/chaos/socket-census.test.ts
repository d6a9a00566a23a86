import t from 'tap'
import { SocketCensus } from './socket-census.ts'

t.test('SocketCensus', (t) => {
  t.test('counts from accept to end, whatever ends it, once', async (t) => {
    const census = new SocketCensus<string>()
    census.accept('a', 0)
    census.accept('b', 0)
    t.equal(census.open, 2)
    census.gone('a', 1)
    census.gone('a', 2)
    t.equal(census.open, 1)
    t.equal(census.accepted, 2)
    census.started('a') // late news of one that has gone
    census.finished('a', 3)
    t.equal(census.open, 1)
  })

  t.test('calls idle what has no request, and since when', async (t) => {
    const census = new SocketCensus<string>()
    census.accept('fresh', 0)
    census.accept('busy', 0)
    census.started('busy')
    census.accept('served', 0)
    census.started('served')
    census.finished('served', 60)
    t.same(census.idle(100, 0), ['fresh', 'served'])
    t.same(census.idle(100, 40), ['fresh', 'served'])
    t.same(census.idle(100, 41), ['fresh'])
  })

  t.test('tells first requests from those on a connection that was there', async (t) => {
    const census = new SocketCensus<string>()
    for (const id of ['a', 'b']) census.accept(id, 0)
    for (const id of ['a', 'b', 'a', 'a', 'gone']) census.started(id)
    t.equal(census.served, 4)
    t.equal(census.reused, 2)
  })

  t.test('stays busy until the last of its requests has ended', async (t) => {
    const census = new SocketCensus<string>()
    census.accept('a', 0)
    census.started('a')
    census.started('a')
    census.finished('a', 1)
    t.same(census.idle(500, 0), [])
    census.finished('a', 2)
    t.same(census.idle(500, 0), ['a'])
  })

  t.test('counts a connection as used for a moment after its use, or its end', async (t) => {
    const census = new SocketCensus<string>()
    for (const id of ['idle', 'closed', 'busy']) census.accept(id, 0)
    for (const id of ['idle', 'closed', 'busy']) census.started(id)
    census.finished('idle', 10)
    census.finished('closed', 10)
    census.gone('closed', 20)
    t.equal(census.recentlyUsed(109), 3)
    t.equal(census.recentlyUsed(110), 2)
    t.equal(census.recentlyUsed(120), 1)
  })
  t.end()
})
