import t from 'tap'
import { ToldMarks } from '../../../src/control/workers/told-marks.ts'
import type { ToWorker } from '../../../src/ipc/messages.ts'

class FakeChannel {
  readonly id: number
  readonly member: string
  isServing = true
  readonly marks: number[] = []

  constructor(id: number) {
    this.id = id
    this.member = `worker ${id}`
  }

  send(message: ToWorker): void {
    if (message.type === 'told.mark') this.marks.push(message.mark)
  }
}

const NEVER_MS = 600_000

t.test('settled()', async (t) => {
  const channels = [new FakeChannel(1), new FakeChannel(2)] as const
  const [one, two] = channels

  await t.test('resolves when all workers have confirmed', async (t) => {
    const marks = new ToldMarks(() => channels, NEVER_MS)
    let isSettled = false
    const settled = marks.settled().finally(() => {
      isSettled = true
    })
    marks.onMarked(one.member, 1)
    await new Promise(setImmediate)
    t.notOk(isSettled)
    marks.onMarked(two.member, 1)
    t.same(await settled, [])
    t.same([one.marks, two.marks], [[1], [1]])
  })

  await t.test('a later mark confirms an earlier one, never the reverse', async (t) => {
    const marks = new ToldMarks(() => [one], NEVER_MS)
    const [first, second] = [marks.settled(), marks.settled()]
    marks.onMarked(one.member, 1)
    t.same(await first, [])
    const third = marks.settled()
    marks.onMarked(one.member, 3)
    t.same([await second, await third], [[], []])
  })

  await t.test('a worker that has gone is not waited for', async (t) => {
    const marks = new ToldMarks(() => channels, NEVER_MS)
    const settled = marks.settled()
    marks.onMarked(one.member, 1)
    marks.onLeft(two.member)
    t.same(await settled, [])
  })

  await t.test('a worker that does not serve yet is not waited for', async (t) => {
    const starting = Object.assign(new FakeChannel(3), { isServing: false })
    t.same(await new ToldMarks(() => [starting], NEVER_MS).settled(), [])
    t.same(starting.marks, [])
  })

  await t.test('names the workers that do not answer', async (t) => {
    const marks = new ToldMarks(() => channels, 1)
    const settled = marks.settled()
    marks.onMarked(one.member, 1)
    t.same(await settled, [2])
  })
})
