import t from 'tap'
import { SocketPlaces } from '../../../src/control/workers/socket-places.ts'

t.test('places of all workers together are bounded', async (t) => {
  let max = 3
  const places = new SocketPlaces(() => max)
  t.ok(places.take('one', 1))
  t.ok(places.take('one', 2))
  t.ok(places.take('two', 1))
  t.notOk(places.take('two', 2))
  t.notOk(places.take('one', 3))

  places.note('one', 1)
  t.ok(places.take('two', 2), 'the place of one that has ended')
  t.notOk(places.take('one', 2))

  places.onLeft('two')
  t.ok(places.take('one', 2), 'the places of a worker that has died')
  max = 1
  t.notOk(places.take('three', 1), 'none is free where fewer are wanted')
  places.note('one', 0)
  t.ok(places.take('three', 1))
})
