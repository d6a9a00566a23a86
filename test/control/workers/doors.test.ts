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

/** Answers after which a worker is not young any more. */
const YOUNG_ANSWERS = 100
const HOUR_MS = 3_600_000

function setUp({ isPacked = false } = {}) {
  const told: string[] = []
  let now = 0
  const doors = new Doors<string>(
    (member, isAccepting) => {
      told.push(`${member} ${isAccepting ? 'open' : 'closed'}`)
    },
    () => isPacked,
    () => now
  )
  /** It has answered so much that its code is compiled. */
  const readyAndWarm = (member: string): void => {
    doors.onReady(member)
    doors.onAnswers(member, YOUNG_ANSWERS)
  }
  const pass = (ms: number): void => void (now += ms)
  const since = (): string[] => told.splice(0)
  return { doors, since, readyAndWarm, pass }
}

/** Workers as slow as can be: each does what it is told, says so and is heard when it is its turn. */
class Cluster {
  isPacked = false
  readonly doors = new Doors<string>(
    (name, isAccepting) => {
      this.#workers.get(name)?.told.push(isAccepting)
    },
    () => this.isPacked
  )
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
    this.doors.onMessage(name, { type: 'clients.full', isFull })
  }

  get size(): number {
    return this.#workers.size
  }

  get listening(): number {
    return [...this.#workers.values()].filter(({ isListening }) => isListening).length
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
    if (said !== undefined)
      this.doors.onMessage(name, { type: 'clients.accepting', isAccepting: said })
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
    doors.onMessage('a', { type: 'clients.full', isFull: true })
    t.same(since(), ['a closed'])
    doors.onMessage('b', { type: 'clients.full', isFull: true })
    t.same(since(), [], 'all are full, but a is told nothing before it has closed')
    doors.onMessage('a', { type: 'clients.accepting', isAccepting: false })
    t.same(since(), ['a open'], 'each refuses what it gets')
    doors.onMessage('a', { type: 'clients.full', isFull: false })
    t.same(since(), [], 'a may not be open yet: the port would be closed')
    doors.onMessage('a', { type: 'clients.accepting', isAccepting: true })
    t.same(since(), ['b closed'])
    doors.onMessage('b', { type: 'clients.accepting', isAccepting: false })
    t.same(since(), [])
    doors.onMessage('b', { type: 'clients.full', isFull: false })
    t.same(since(), ['b open'])
    doors.onMessage('unknown', { type: 'clients.accepting', isAccepting: true })
    doors.onMessage('unknown', { type: 'clients.full', isFull: true })
    t.same(since(), [])
  })

  t.test('open when the only worker with room leaves', async (t) => {
    const { doors, since } = setUp()
    doors.onReady('a')
    doors.onReady('b')
    doors.onMessage('a', { type: 'clients.full', isFull: true })
    doors.onMessage('a', { type: 'clients.accepting', isAccepting: false })
    since()
    doors.onLeft('b')
    t.same(since(), ['a open'])
    doors.onMessage('a', { type: 'clients.accepting', isAccepting: true })
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

  t.test('packed, leave all clients to one worker until it is busy', async (t) => {
    const { doors, since, readyAndWarm } = setUp({ isPacked: true })
    const load = (member: string, value: number): void =>
      doors.onMessage(member, { type: 'clients.load', load: value, isCrowded: false })
    const accepting = (member: string, isAccepting: boolean): void =>
      doors.onMessage(member, { type: 'clients.accepting', isAccepting })
    readyAndWarm('a')
    readyAndWarm('b')
    t.same(since(), ['b closed'])
    accepting('b', false)
    load('a', 0.5)
    t.same(since(), [])
    load('a', 0.8)
    t.same(since(), ['b open'], 'a goes on until b is open')
    accepting('b', true)
    t.same(since(), ['a closed'], 'which has less to do')
    accepting('a', false)
    load('b', 0.8)
    t.same(since(), ['a open'], 'both are busy')
    accepting('a', true)
    load('b', 0.4)
    t.same(since(), ['a closed'])
    accepting('a', false)
    load('a', 0.2)
    t.same(since(), ['a open'], 'too much for one, and neither is busy')
    accepting('a', true)
    load('a', 0.1)
    t.same(since(), ['a closed'], 'it has less to move')
    accepting('a', false)
    doors.onLeft('b')
    t.same(since(), ['a open'])
  })

  t.test('packed, open for a crowd at once, and stay open while there is one', async (t) => {
    const { doors, since, readyAndWarm } = setUp({ isPacked: true })
    readyAndWarm('a')
    readyAndWarm('b')
    doors.onMessage('b', { type: 'clients.accepting', isAccepting: false })
    since()
    doors.onMessage('a', { type: 'clients.load', load: 0.1, isCrowded: true })
    t.same(since(), ['b open'])
    doors.onMessage('b', { type: 'clients.accepting', isAccepting: true })
    t.same(since(), [], 'both take some of it')
    doors.onMessage('a', { type: 'clients.load', load: 0.1, isCrowded: false })
    t.same(since(), ['b closed'])
  })

  t.test('packed, do not wait for a worker that is silent or full', async (t) => {
    const { doors, since, readyAndWarm } = setUp({ isPacked: true })
    readyAndWarm('a')
    readyAndWarm('b')
    doors.onMessage('b', { type: 'clients.accepting', isAccepting: false })
    since()
    doors.onSilence('a', true)
    t.same(since(), ['b open'])
    doors.onMessage('b', { type: 'clients.accepting', isAccepting: true })
    t.same(since(), ['a closed'], 'when it hears again')
    doors.onMessage('a', { type: 'clients.accepting', isAccepting: false })
    doors.onSilence('a', false)
    doors.onMessage('b', { type: 'clients.full', isFull: true })
    t.same(since(), ['a open'])
  })

  t.test('packed, are all open while a worker is young', async (t) => {
    const { doors, since, pass } = setUp({ isPacked: true })
    const closed = (member: string): void =>
      doors.onMessage(member, { type: 'clients.accepting', isAccepting: false })
    doors.onReady('a')
    doors.onReady('b')
    doors.onAnswers('a', 10 * YOUNG_ANSWERS)
    t.same(since(), [], 'b has its share to come')
    doors.onAnswers('b', YOUNG_ANSWERS - 1)
    t.same(since(), [])
    doors.onMessage('b', { type: 'clients.load', load: 1, isCrowded: false })
    t.same(since(), ['b closed'], 'but not before one that is busy or short of memory')
    closed('b')
    doors.onMessage('b', { type: 'clients.load', load: 0, isCrowded: false })
    t.same(since(), ['b open'])
    doors.onMessage('b', { type: 'clients.accepting', isAccepting: true })
    doors.onAnswers('b', 1)
    t.same(since(), ['b closed'], 'as many as it needs')
    closed('b')

    doors.onLeft('b')
    doors.onReady('b')
    t.same(since(), [], 'a new one is young again')
    pass(HOUR_MS - 1)
    doors.settle()
    t.same(since(), [])
    pass(1)
    doors.settle()
    t.same(since(), ['b closed'], 'for an hour at most, and two that are half idle cost more')
    closed('b')

    doors.onReady('c')
    t.same(since(), ['b open'])
    doors.onSilence('c', true)
    doors.onMessage('b', { type: 'clients.accepting', isAccepting: true })
    t.same(since(), ['c closed', 'b closed'], 'a silent one has its share later')
  })

  t.test(
    "packed, are one worker's behind their youth, also under the load that one takes",
    async (t) => {
      const { doors, since } = setUp({ isPacked: true })
      doors.onReady('a')
      doors.onReady('b')
      for (const [member, load] of [
        ['a', 0.35],
        ['b', 0.25]
      ] as const)
        doors.onMessage(member, { type: 'clients.load', load, isCrowded: false })
      doors.onAnswers('a', YOUNG_ANSWERS)
      t.same(since(), [])
      doors.onAnswers('b', YOUNG_ANSWERS)
      t.same(since(), ['b closed'])
    }
  )

  t.test('packed, are never all closed, and all but one come to rest closed', async () => {
    const load = record({
      type: constantFrom('load' as const),
      member,
      load: constantFrom(0, 0.2, 0.4, 0.8, 1),
      isCrowded: boolean()
    })
    const answers = record({ type: constantFrom('answers' as const), member })
    assert(
      property(
        array(oneof(FULLNESS, load, answers, MESSAGES, FATES), { maxLength: 80 }),
        (events) => {
          const cluster = new Cluster()
          cluster.isPacked = true
          for (const one of events) {
            if (one.type === 'full') cluster.full(one.member, one.isFull)
            else if (one.type === 'load') {
              cluster.doors.onMessage(one.member, {
                type: 'clients.load',
                load: one.load,
                isCrowded: one.isCrowded
              })
            } else if (one.type === 'answers') cluster.doors.onAnswers(one.member, YOUNG_ANSWERS)
            else cluster[one.type](one.member)
            if (one.type !== 'left' && !cluster.isReachable) return false
          }
          for (const name of ['a', 'b', 'c']) {
            cluster.full(name, false)
            cluster.doors.onAnswers(name, YOUNG_ANSWERS)
            cluster.doors.onMessage(name, { type: 'clients.load', load: 0, isCrowded: false })
          }
          cluster.settle()
          return cluster.listening === Math.min(1, cluster.size)
        }
      )
    )
  })
  t.end()
})
