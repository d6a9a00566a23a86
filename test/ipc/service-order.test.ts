import t from 'tap'
import { hasMoved, outranks, serviceOrder, type WaiterHead } from '../../src/ipc/service-order.ts'

const head = (key: string, at: number, served = 0): WaiterHead => ({ key, at, served })
const ranked = (key: string, at: number, turn = at) => ({ ...head(key, at), turn })

const order = (lines: Record<string, readonly WaiterHead[]>): string[] =>
  [...serviceOrder(new Map(Object.entries(lines)))].map(
    ({ member, head }) => `${member}:${head.at}`
  )

t.test('serviceOrder()', (t) => {
  t.test('with one key goes by arrival over all members', (t) => {
    const lines = { w1: [head('a', 1), head('a', 4)], w2: [head('a', 2), head('a', 3)] }
    t.same(order(lines), ['w1:1', 'w2:2', 'w2:3', 'w1:4'])
    t.end()
  })
  t.test('lets the keys take turns over all members', (t) => {
    const lines = { w1: [head('a', 1), head('a', 2), head('a', 3)], w2: [head('b', 9)] }
    t.same(order(lines), ['w1:1', 'w2:9', 'w1:2', 'w1:3'])
    t.end()
  })
  t.test('knows of a turn that one member has told', (t) => {
    const lines = { w1: [head('a', 1)], w2: [head('b', 5), head('a', 8, 7)] }
    t.same(order(lines), ['w2:5', 'w1:1', 'w2:8'])
    t.end()
  })
  t.end()
})

t.test('outranks()', (t) => {
  t.test('asks for a clear difference in age', (t) => {
    t.equal(outranks(ranked('a', 1000), head('a', 1050), 1060), false)
    t.equal(outranks(ranked('a', 1000), head('a', 1051), 1060), true)
    t.end()
  })
  t.test('clear in proportion to the wait', (t) => {
    t.equal(outranks(ranked('a', 0), head('a', 250), 1000), false)
    t.equal(outranks(ranked('a', 0), head('a', 251), 1000), true)
    t.end()
  })
  t.test('compares turns between keys, so that a backlog does not win by its age', (t) => {
    t.equal(outranks(ranked('greedy', 0, 900), head('b', 800), 1000), false)
    t.equal(outranks(ranked('b', 0), head('greedy', 0, 900), 1000), true)
    t.end()
  })
  t.end()
})

t.test('hasMoved() overlooks small changes', (t) => {
  t.equal(hasMoved([], []), false)
  t.equal(hasMoved([], [head('a', 1)]), true)
  t.equal(hasMoved([head('a', 1)], [head('a', 25)]), false)
  t.equal(hasMoved([head('a', 1)], [head('a', 26)]), true)
  t.equal(hasMoved([head('a', 1)], [head('b', 1)]), true)
  t.end()
})
