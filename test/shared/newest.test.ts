import t from 'tap'
import { addNewest, setNewest } from '../../src/shared/newest.ts'

t.test('a map keeps the newest, and a member that is set again is the newest', async (t) => {
  const map = new Map<string, number>()
  for (const [count, name] of ['a', 'b', 'a', 'c', 'd'].entries()) setNewest(map, 3, name, count)
  t.same(
    [...map],
    [
      ['a', 2],
      ['c', 3],
      ['d', 4]
    ]
  )
})

t.test('a set likewise', async (t) => {
  const set = new Set<string>()
  for (const name of ['a', 'b', 'a', 'c']) addNewest(set, 2, name)
  t.same([...set], ['a', 'c'])
})
