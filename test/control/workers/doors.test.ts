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

/** Workers as slow as can be: each does what it is told, says so and is heard when it is its turn. */
class Cluster {
  readonly doors = new Doors<string>((name, isAccepting) => {
    this.#workers.get(name)?.told.push(isAccepting)
  })
  readonly #workers = new Map<
    string,
    { isListening: boolean; isFull: boolean; told: boolean[]; said: boolean[] }
  >()

  get isReachable(): boolean {
    const workers = [...this.#workers.values()]
    return workers.length === 0 || workers.some(({ isListening }) => isListening)
  }

  /** Those that are full have left it to those with room, if there are any. */
  get isSettled(): boolean {
    const workers = [...this.#workers.values()]
    const areAllFull = workers.every(({ isFull }) => isFull)
    return workers.every(({ isListening, isFull }) => isListening === (areAllFull || !isFull))
  }

  ready(name: string): void {
    if (this.#workers.has(name)) return
    this.#workers.set(name, { isListening: true, isFull: false, told: [], said: [] })
    this.doors.onReady(name)
  }

  /** It has died, or its successor listens. */
  left(name: string): void {
    if (this.#workers.delete(name)) this.doors.onLeft(name)
  }

  full(name: string, isFull: boolean): void {
    const worker = this.#workers.get(name)
    if (worker !== undefined) worker.isFull = isFull
    this.doors.onFull(name, isFull)
  }

  hears(name: string): void {
    const worker = this.#workers.get(name)
    const told = worker?.told.shift()
    if (worker === undefined || told === undefined) return
    worker.isListening = told
    worker.said.push(told)
  }

  isHeard(name: string): void {
    const said = this.#workers.get(name)?.said.shift()
    if (said !== undefined) this.doors.onTold(name, said)
  }

  settle(): void {
    for (let round = 0; round < 10; round++) {
      for (const name of this.#workers.keys()) {
        this.hears(name)
        this.isHeard(name)
      }
    }
  }
}

const member = constantFrom('a', 'b', 'c')
const FULLNESS = record({ type: constantFrom('full' as const), member, isFull: boolean() })
const MESSAGES = record({ type: constantFrom('hears' as const, 'isHeard' as const), member })
const FATES = record({ type: constantFrom('ready' as const, 'left' as const), member })

t.test('Doors', (t) => {
  t.test('close before a worker that is full, as long as another has room', async (t) => {
    const { doors, since } = setUp()
    doors.onReady('a')
    doors.onReady('b')
    t.same(since(), [])
    doors.onFull('a', true)
    t.same(since(), ['a closed'])
    doors.onFull('b', true)
    t.same(since(), [], 'all are full, but a is told nothing before it has closed')
    doors.onTold('a', false)
    t.same(since(), ['a open'], 'each refuses what it gets')
    doors.onFull('a', false)
    t.same(since(), [], 'a may not be open yet: the port would be closed')
    doors.onTold('a', true)
    t.same(since(), ['b closed'])
    doors.onTold('b', false)
    t.same(since(), [])
    doors.onFull('b', false)
    t.same(since(), ['b open'])
    doors.onTold('unknown', true)
    doors.onFull('unknown', true)
    t.same(since(), [])
  })

  t.test('open when the only worker with room leaves', async (t) => {
    const { doors, since } = setUp()
    doors.onReady('a')
    doors.onReady('b')
    doors.onFull('a', true)
    doors.onTold('a', false)
    since()
    doors.onLeft('b')
    t.same(since(), ['a open'])
    doors.onTold('a', true)
    doors.onReady('c')
    t.same(since(), ['a closed'])
  })

  t.test('are never all closed, however long messages are on their way', async () => {
    assert(
      property(array(oneof(FULLNESS, MESSAGES, MESSAGES), { maxLength: 60 }), (events) => {
        const cluster = new Cluster()
        for (const name of ['a', 'b', 'c']) cluster.ready(name)
        return events.every((one) => {
          if (one.type === 'full') cluster.full(one.member, one.isFull)
          else cluster[one.type](one.member)
          return cluster.isReachable
        })
      })
    )
  })

  t.test(
    'come to rest with a door closed before each that is full while another has room',
    async () => {
      assert(
        property(array(oneof(FULLNESS, MESSAGES, FATES), { maxLength: 60 }), (events) => {
          const cluster = new Cluster()
          for (const one of events) {
            if (one.type === 'full') cluster.full(one.member, one.isFull)
            else cluster[one.type](one.member)
          }
          cluster.settle()
          return cluster.isSettled && cluster.isReachable
        })
      )
    }
  )
  t.end()
})
