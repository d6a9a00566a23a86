import t from 'tap'
import { LeaseCore } from '../../../src/admission/lease-core.ts'
import { nextLedger, openLedger } from '../../../src/control/budget/ledger.ts'
import { type Member, SimulatedCluster } from '../../helper/simulated-cluster.ts'

/** Two workers with a budget of 160: 4 are the reserve's, 78 each of theirs. */
class TwoWorkers {
  readonly cluster = new SimulatedCluster(
    { LeaseCore, nextLedger, openLedger },
    {
      workers: 2,
      maxConnections: 160,
      maxKeepalive: 160,
      maxWaiting: 1000,
      maxRequestsPerMinute: null
    }
  )
  readonly one: Member
  readonly other: Member
  messages = 0
  /** Requests that had no permit at once. */
  waits = 0

  constructor() {
    this.settle()
    const [one, other] = [...this.cluster.members.values()].filter(({ slot }) => slot !== 'control')
    if (one === undefined || other === undefined) throw new Error('there are two')
    this.one = one
    this.other = other
  }

  acquire(member: Member, count = 1): void {
    for (let i = 0; i < count; i++) {
      this.cluster.acquire(member, 'key')
      if (member.waiting.length > 0) this.waits += 1
      this.cluster.now += 5
      this.settle()
      this.cluster.send(member, 'plain')
    }
  }

  release(member: Member, count = 1): void {
    for (let i = 0; i < count; i++) {
      this.cluster.release(member)
      this.settle()
    }
  }

  settle(): void {
    for (let isBusy = true; isBusy; ) {
      isBusy = false
      for (const member of this.cluster.members.values()) {
        while (member.sockets.closing > 0) member.sockets.closeOne(0)
        if (this.cluster.report(member)) {
          this.messages += 1
          isBusy = true
        }
        while (this.cluster.deliverReport(member, 0)) isBusy = true
        while (this.cluster.deliverGrant(member, 0)) {
          this.messages += 1
          isBusy = true
        }
      }
    }
  }
}

t.test('permits of another worker are there before they are needed', async (t) => {
  const workers = new TwoWorkers()
  workers.acquire(workers.one, 150)
  t.equal(workers.waits, 0, 'no request has waited')
  t.ok(workers.other.core.size >= 2, 'and the other is not left without')
  t.ok(workers.messages <= 60, `${workers.messages} messages for 72 permits`)
  workers.acquire(workers.one, 6)
  t.equal(workers.one.core.held, 156, 'the last ones come when they are asked for')
  t.ok(workers.waits <= 2)
})

t.test('a worker that had none left has some again before it needs them', async (t) => {
  const workers = new TwoWorkers()
  workers.acquire(workers.one, 156)
  workers.release(workers.one, 100)
  workers.waits = 0
  workers.acquire(workers.other, 60)
  t.ok(workers.waits <= 1, `${workers.waits} have waited`)
})

t.test('a worker that needs its own keeps some of them', async (t) => {
  const workers = new TwoWorkers()
  workers.acquire(workers.other, 60)
  workers.acquire(workers.one, 86)
  const { size, held } = workers.other.core
  t.ok(size - held >= 8, `${size - held} idle`)
  workers.waits = 0
  workers.acquire(workers.other, 8)
  t.equal(workers.waits, 0)
})

t.test('two workers that both want more do not hand the same permits to and fro', async (t) => {
  const workers = new TwoWorkers()
  workers.acquire(workers.one, 76)
  workers.acquire(workers.other, 74)
  workers.messages = 0
  for (let round = 0; round < 200; round++) {
    const member = round % 2 === 0 ? workers.one : workers.other
    workers.release(member)
    workers.acquire(member)
  }
  t.ok(workers.messages <= 60, `${workers.messages} messages for 200 requests`)
})

t.test('with plenty of permits nothing is asked for', async (t) => {
  const workers = new TwoWorkers()
  workers.messages = 0
  for (let round = 0; round < 10; round++) {
    workers.acquire(workers.one, 60)
    workers.release(workers.one, 60)
  }
  t.equal(workers.messages, 0)
})

t.test('a worker that leaves asks for nothing', async (t) => {
  const workers = new TwoWorkers()
  workers.acquire(workers.one, 70)
  workers.cluster.retire(workers.one)
  workers.settle()
  t.equal(workers.one.core.size, 70)
  workers.release(workers.one)
  t.equal(workers.one.core.size, 69)
})
