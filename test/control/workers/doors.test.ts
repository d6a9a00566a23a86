import t from 'tap'
import { Doors } from '../../../src/control/workers/doors.ts'
import {
  array,
  assert,
  boolean,
  constantFrom,
  oneof,
  property,
  record
} from '../../helper/fast-check.ts'

function setUp() {
  const told: string[] = []
  const doors = new Doors<string>((member, isAccepting) => {
    told.push(`${member} ${isAccepting ? 'open' : 'closed'}`)
  })
  const since = (): string[] => told.splice(0)
  return { doors, since }
}

t.test('Doors', (t) => {
  t.test('close before a worker that is full, as long as another has room', async (t) => {
    const { doors, since } = setUp()
    doors.onReady('a')
    doors.onReady('b')
    t.same(since(), [])
    doors.onFull('a', true)
    t.same(since(), ['a closed'])
    doors.onFull('b', true)
    t.same(since(), ['a open'], 'all are full: each refuses what it gets')
    doors.onFull('a', false)
    t.same(since(), [], 'a may not be open yet: the port would be closed')
    doors.onFull('b', false)
    t.same(since(), [])
    doors.onFull('a', true)
    t.same(since(), ['a closed'])
  })

  t.test('open when the only worker with room leaves', async (t) => {
    const { doors, since } = setUp()
    doors.onReady('a')
    doors.onReady('b')
    doors.onFull('a', true)
    since()
    doors.onLeft('b')
    t.same(since(), ['a open'])
    doors.onReady('c')
    t.same(since(), ['a closed'])
    doors.onFull('unknown', true)
    t.same(since(), [])
  })

  t.test('are never all closed, and none is closed before a worker with room', async () => {
    const member = constantFrom('a', 'b', 'c')
    const event = oneof(
      record({ type: constantFrom('ready' as const), member }),
      record({ type: constantFrom('left' as const), member }),
      record({ type: constantFrom('full' as const), member, isFull: boolean() })
    )
    assert(
      property(array(event, { maxLength: 40 }), (events) => {
        const closed = new Set<string>()
        const serving = new Map<string, boolean>()
        const doors = new Doors<string>((one, isAccepting) => {
          if (isAccepting) closed.delete(one)
          else closed.add(one)
        })
        return events.every((one) => {
          switch (one.type) {
            case 'ready':
              if (serving.has(one.member)) break
              serving.set(one.member, false)
              closed.delete(one.member)
              doors.onReady(one.member)
              break
            case 'left':
              serving.delete(one.member)
              closed.delete(one.member)
              doors.onLeft(one.member)
              break
            case 'full':
              if (serving.has(one.member)) serving.set(one.member, one.isFull)
              doors.onFull(one.member, one.isFull)
              break
          }
          const areAllFull = [...serving.values()].every((isFull) => isFull)
          return [...serving].every(
            ([name, isFull]) => closed.has(name) === (isFull && !areAllFull)
          )
        })
      })
    )
  })
  t.end()
})
