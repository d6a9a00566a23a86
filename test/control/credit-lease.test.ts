import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import {
  type AllowanceState,
  nextAllowance,
  openAllowance
} from '../../src/control/allowances/allowance-ledger.ts'
import { CreditLease } from '../../src/control/allowances/credit-lease.ts'
import type { PageAsk, PageNews } from '../../src/control/book/book-messages.ts'
import type { BookProblem } from '../../src/control/book/usage-book.ts'
import { noReport } from '../../src/ipc/allowance.ts'
import { periodAt } from '../../src/keys/period.ts'

const period = periodAt('day', null, Date.parse('2026-09-10T12:00:00Z'))

/** A lease of all of ten, of which another gateway wishes for four. */
function rig() {
  const asks: (PromiseWithResolvers<PageNews> & { readonly ask: PageAsk })[] = []
  const limit = { key: 'k_1', period, cap: 10, createdAt: 0, reopened: null }
  const facts = { name: 'k_1/credits', limit: 10, period: period.number, endsAt: null } as const
  const lease: CreditLease = new CreditLease({
    book: {
      ask: (ask) => {
        const one = { ask, ...Promise.withResolvers<PageNews>() }
        asks.push(one)
        return one.promise
      },
      problem: null,
      hasOthers: true,
      isNoticed: true
    },
    limit: () => limit,
    state: () => openAllowance({ ...facts, ...lease.away(10, 10) }),
    onChange: () => {},
    onNews: (news) => lease.onPage(news)
  })
  const page = (share: number, wishedElsewhere: number): PageNews => {
    const others = { heldElsewhere: 0, wishedElsewhere, isClosed: false }
    return { key: 'k_1', period, used: 0, share, settled: 0, ...others }
  }
  return { lease, asks, page }
}

t.test('what a gateway gives back is not handed out meanwhile', async (t) => {
  const { lease, asks, page } = rig()
  t.teardown(() => lease.close())
  lease.onPage(page(10, 4))
  lease.look()
  t.match(asks[0]?.ask, { release: 4 })
  t.equal(lease.away(10, 10).away, 4)
  lease.onPage(page(10, 4)) // of a batch from before it
  t.equal(lease.away(10, 10).away, 4, 'whatever the book has said before it')
  asks[0]?.resolve(page(6, 0))
  await turn()
  t.equal(lease.away(10, 10).away, 4)
})

t.test('what may have been given back is not handed out, and the book is asked', async (t) => {
  const { lease, asks, page } = rig()
  t.teardown(() => lease.close())
  lease.onPage(page(10, 4))
  lease.look()
  asks[0]?.reject(new Error('the thread has died'))
  await turn()
  t.equal(lease.away(10, 10).away, 4)
  lease.look()
  t.match(asks[1]?.ask, { release: 0, want: 0 })
  asks[1]?.resolve(page(10, 4)) // it was not written
  await turn()
  t.match(asks[2]?.ask, { release: 4 })
})

function idlePage(share: number): PageNews {
  const others = { heldElsewhere: 0, wishedElsewhere: 0, isClosed: false }
  return { key: 'k_1', period, used: 0, share, settled: 0, ...others }
}

/** A lease of 500 of a thousand, which one worker has given back; its requests take `usual`. */
function idleRig(usual: number, problem: BookProblem | null = null) {
  const asks: PageAsk[] = []
  const limit = { key: 'k_1', period, cap: 1_000, createdAt: 0, reopened: null }
  const facts = { name: 'k_1/credits', limit: 1_000, period: period.number, endsAt: null } as const
  let now = 0
  const lease: CreditLease = new CreditLease({
    book: {
      ask: (ask) => {
        asks.push(ask)
        return new Promise(() => {})
      },
      problem,
      hasOthers: false,
      isNoticed: true
    },
    limit: () => limit,
    state: (): AllowanceState => {
      const open = openAllowance({ ...facts, ...lease.away(1_000, 1_000) })
      const { state } = nextAllowance(open, { type: 'join', member: 'worker' })
      const report = { ...noReport('k_1/credits', period.number), seq: 1, usual, isLast: true }
      return nextAllowance(state, { type: 'report', member: 'worker', report }).state
    },
    onChange: () => {},
    onNews: (news) => lease.onPage(news),
    now: () => now
  })
  lease.onPage(idlePage(500))
  const pass = (ms: number): void => {
    now += ms
    lease.look()
  }
  return { lease, asks, pass }
}

t.test('what no worker has needed for a while goes back to the book', (t) => {
  const { lease, asks, pass } = idleRig(10)
  t.teardown(() => lease.close())
  pass(0)
  pass(300)
  t.same(asks, [], 'not at once: the next burst may need it')
  pass(200)
  t.match(asks, [{ want: 0, release: 490 }], 'all but what the next requests take')
  t.equal(lease.away(1_000, 1_000).away, 990)
  t.end()
})

t.test('twice the usual need stays with the gateway', (t) => {
  const { lease, asks, pass } = idleRig(250)
  t.teardown(() => lease.close())
  lease.onPage(idlePage(250))
  for (let i = 0; i < 50; i++) pass(100)
  t.same(asks, [])
  t.end()
})

t.test('a gateway keeps no more than an eighth of what is left', (t) => {
  const { lease, asks, pass } = idleRig(250)
  t.teardown(() => lease.close())
  for (let i = 0; i < 50; i++) pass(100)
  t.match(asks, [{ want: 0, release: 375 }])
  t.end()
})

t.test('a book that cannot be written is given nothing back', (t) => {
  const { lease, asks, pass } = idleRig(10, {
    since: 0,
    reason: 'the disk is full',
    isPassing: false
  })
  t.teardown(() => lease.close())
  for (let i = 0; i < 50; i++) pass(100)
  t.notOk(asks.some(({ release }) => release > 0))
  t.end()
})
