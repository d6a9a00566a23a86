import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { openAllowance } from '../../src/control/allowances/allowance-ledger.ts'
import { CreditLease } from '../../src/control/allowances/credit-lease.ts'
import type { PageAsk, PageNews } from '../../src/control/book/book-messages.ts'
import { periodAt } from '../../src/keys/period.ts'

const period = periodAt('day', null, Date.parse('2026-09-10T12:00:00Z'))

/** A lease of all of ten, of which another gateway wishes for four. */
function rig() {
  const asks: (PromiseWithResolvers<PageNews> & { readonly ask: PageAsk })[] = []
  const terms = { key: 'k_1', period, cap: 10, createdAt: 0, reopened: null }
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
    terms: () => terms,
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
