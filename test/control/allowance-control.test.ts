import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Share } from '../../src/admission/allowances.ts'
import { MICROS_PER_CREDIT as CREDIT } from '../../src/keys/key.ts'
import { namedKey, perDay, Team, type TeamWorker } from '../helper/allowance-team.ts'
import { MemoryBook } from '../helper/memory-book.ts'

/** Returns what came of so many requests at once, each of one credit. */
async function rush(workers: readonly TeamWorker[], count: number): Promise<readonly Share[]> {
  const outcomes = await Promise.allSettled(
    Array.from({ length: count }, async (_, i) => workers[i % workers.length]?.takeCredit())
  )
  return outcomes.flatMap((one) => (one.status === 'fulfilled' ? (one.value ?? []) : []))
}

async function quiet(): Promise<void> {
  for (let i = 0; i < 40; i += 1) await turn()
}

/** Ends requests at their worker, each for one credit. */
function endAll(worker: TeamWorker | undefined, shares: readonly Share[], cost = CREDIT): void {
  for (const share of shares) worker?.end(share, cost)
}

// Timers of the allowances keep no process alive.
const alive = setInterval(() => {}, 1_000)
t.teardown(() => clearInterval(alive))

const anna = namedKey('anna', { credits: perDay(10) })

t.test('AllowanceControl', (t) => {
  t.test('lets exactly ten of a hundred pass, and refuses the rest', async (t) => {
    for (const count of [1, 2, 4]) {
      const team = new Team([anna], count)
      const shares = await rush(team.workers, 100)
      t.equal(shares.length, 10, `${count} workers`)
      for (const share of shares) share.settle(CREDIT)
      await quiet()
      t.equal((await rush(team.workers, 4)).length, 0)
      t.match(team.allowances.creditsOf('anna'), { limit: 10 * CREDIT })
      await team.close()
      t.match(team.allowances.creditsOf('anna'), { used: 10 * CREDIT, reserved: 0 })
    }
  })

  t.test('leases what is wanted while the book answers something else', async (t) => {
    const team = new Team([], 1)
    team.run.turns = 30
    team.allowances.setKeys([anna])
    for (let i = 0; i < 10; i += 1) await turn() // it asks how the key stands
    const share = team.workers[0]?.takeCredit()
    t.not(await Promise.race([share, delay(2_000)]), undefined)
    await team.close()
  })

  t.test('leases what is in the book before a worker may use it', async (t) => {
    const team = new Team([anna], 1)
    const [worker] = team.workers
    const share = await worker?.takeCredit()
    const held = team.book.pages.get('anna')?.leases.get(team.run.name)?.held ?? 0
    t.ok(held >= CREDIT && held < 2.5 * CREDIT, `${held / CREDIT} credits for a request of one`)
    if (share !== undefined) worker?.end(share, CREDIT / 4)
    await quiet()
    t.match(team.allowances.creditsOf('anna'), { used: CREDIT / 4, reserved: 0 })
    t.equal(team.book.pages.get('anna')?.used, CREDIT / 4)
    await team.close()
    t.equal(team.book.pages.get('anna')?.leases.size, 0, 'and gives the rest back')
  })

  t.test(
    'takes all that a dead worker held for used, with a row for what no row has said',
    async (t) => {
      const team = new Team([anna], 2)
      const [first, second] = team.workers as [TeamWorker, TeamWorker]
      const held = await Promise.all([first.takeCredit(), first.takeCredit(), first.takeCredit()])
      endAll(first, held.slice(0, 1), CREDIT / 2)
      await quiet()
      team.kill(first)
      await quiet()
      const { used = 0, reserved } = team.allowances.creditsOf('anna') ?? {}
      const [lost] = team.lost
      t.equal(team.lost.length, 1)
      t.ok((lost?.credits ?? 0) >= 2 * CREDIT, 'what its requests had reserved')
      t.ok((lost?.credits ?? 0) <= 4 * CREDIT, 'and little more')
      t.equal(used, CREDIT / 2 + (lost?.credits ?? 0), 'the limit counts what the rows say')
      t.equal(team.book.pages.get('anna')?.used, used, 'and so does the book')
      t.equal(reserved, 0)
      const left = Math.floor((10 * CREDIT - used) / CREDIT)
      t.equal((await rush([second], 20)).length, left)
      await team.close()
    }
  )

  t.test('says nothing is lost with a worker that ends in order', async (t) => {
    const team = new Team([anna], 2)
    const [first] = team.workers as [TeamWorker]
    endAll(first, await rush([first], 3))
    first.allowances.giveBack()
    await quiet()
    team.kill(first)
    t.same(team.lost, [])
    t.match(team.allowances.creditsOf('anna'), { used: 3 * CREDIT, reserved: 0 })
    t.equal((await rush(team.workers, 20)).length, 7)
    await team.close()
  })

  t.test('is where it was after a restart, and never gives out again what was held', async (t) => {
    const book = new MemoryBook()
    const first = new Team([anna], 2, book)
    const [worker] = first.workers as [TeamWorker]
    endAll(worker, await rush([worker], 4))
    await quiet()
    await first.close()
    const second = new Team([anna], 2, book)
    await quiet()
    t.match(second.allowances.creditsOf('anna'), { used: 4 * CREDIT }, 'known without a request')
    t.equal((await rush(second.workers, 3)).length, 3)
    second.killAll()
    const third = new Team([anna], 2, book)
    await quiet()
    const { used = 0 } = third.allowances.creditsOf('anna') ?? {}
    t.ok(used >= 7 * CREDIT && used <= 10 * CREDIT, `${used / CREDIT} of 10 are used`)
    t.equal((await rush(third.workers, 20)).length, Math.floor(10 - used / CREDIT))
    await third.close()
  })

  t.test('shares a book with another gateway, and has what that does not need', async (t) => {
    const book = new MemoryBook()
    const [one, other] = [new Team([anna], 1, book), new Team([anna], 1, book)]
    const shares = await rush(one.workers, 3)
    endAll(one.workers[0], shares)
    await quiet()
    t.equal((await rush(other.workers, 20)).length, 7)
    t.equal((await rush(one.workers, 5)).length, 0)
    await one.close()
    t.match(one.allowances.creditsOf('anna'), { used: 3 * CREDIT })
    await other.close()
  })

  t.test('refuses nothing before another gateway can have noticed this one', async (t) => {
    const book = new MemoryBook()
    const one = new Team([anna], 1, book)
    one.run.isAware = false
    const share = await one.workers[0]?.take('anna/credits', 9 * CREDIT)
    const other = new Team([anna], 1, book)
    other.run.isNoticed = false
    const taken = other.workers[0]?.take('anna/credits', 5 * CREDIT)
    const early = await Promise.race([taken?.catch(() => 'refused'), delay(2_500, 'waits')])
    t.equal(early, 'waits')
    if (share !== undefined) one.workers[0]?.end(share, CREDIT)
    await quiet()
    one.run.isAware = true
    one.allowances.onBook()
    t.ok(await taken)
    await one.close()
    await other.close()
  })

  t.test('lets requests cost more than was reserved, and takes that from the rest', async (t) => {
    const team = new Team([anna], 2)
    const [first] = team.workers as [TeamWorker]
    endAll(first, await rush([first], 1), 8 * CREDIT)
    await quiet()
    t.match(team.allowances.creditsOf('anna'), { used: 8 * CREDIT })
    t.equal((await rush(team.workers, 20)).length, 2)
    await team.close()
  })

  t.test(
    'goes on for a minute with what workers hold when the book cannot be written',
    async (t) => {
      const team = new Team([anna], 1)
      const [worker] = team.workers as [TeamWorker]
      endAll(worker, await rush([worker], 2))
      await quiet()
      team.run.problem = { since: performance.now(), reason: 'the disk is full', isPassing: false }
      team.allowances.onBook()
      const small = await worker.take('anna/credits', CREDIT / 10)
      t.ok(small, 'it holds enough for that')
      const late = Date.now()
      await t.rejects(worker.take('anna/credits', 9 * CREDIT), 'and not for this')
      t.ok(Date.now() - late >= 4_000, 'which waits a while for the book')
      t.match(worker.allowances.statusOf('anna/credits'), { problem: 'unwritable' })
      team.run.problem = {
        since: performance.now() - 61_000,
        reason: 'the disk is full',
        isPassing: false
      }
      team.allowances.onBook()
      await quiet()
      await t.rejects(worker.take('anna/credits', 1), 'after a minute nothing is given')
      small.settle(0)
      team.run.problem = null
      team.allowances.onBook()
      await quiet()
      t.equal((await rush([worker], 20)).length, 8, 'and all goes on when it can be written again')
      await team.close()
    }
  )

  t.test(
    'lets nothing in where the book was damaged, until somebody says what was used',
    async (t) => {
      const book = new MemoryBook()
      book.isDamaged = true
      const team = new Team([anna, namedKey('ben')], 1, book)
      await quiet()
      t.equal((await rush(team.workers, 3)).length, 0)
      t.match(team.allowances.creditsOf('anna'), { problem: 'damaged' })
      team.allowances.setKeys([{ ...anna, reopened: { at: Date.now(), used: 4 * CREDIT } }])
      while ((team.allowances.creditsOf('anna')?.used ?? 0) === 0) await delay(10)
      t.equal((await rush(team.workers, 20)).length, 6)
      await team.close()
    }
  )

  t.test('lets in the first request of a key that was reopened while it was idle', async (t) => {
    const book = new MemoryBook()
    book.isDamaged = true
    const team = new Team([anna, namedKey('ben')], 1, book)
    await quiet()
    t.match(team.allowances.creditsOf('anna'), { problem: 'damaged' })
    team.allowances.setKeys([{ ...anna, reopened: { at: Date.now(), used: 4 * CREDIT } }])
    await quiet()
    t.match(team.allowances.creditsOf('anna'), { used: 4 * CREDIT, problem: undefined })
    t.equal((await rush(team.workers, 1)).length, 1)
    await team.close()
  })

  t.test('begins a new period in time, with all of the limit', async (t) => {
    const team = new Team([anna], 2)
    endAll(team.workers[0], await rush(team.workers.slice(0, 1), 10))
    await quiet()
    t.equal((await rush(team.workers, 1)).length, 0)
    team.now = Date.parse('2026-11-27T00:00:00Z')
    t.equal((await rush(team.workers, 30)).length, 10)
    team.now = Date.parse('2026-11-26T23:00:00Z')
    t.equal((await rush(team.workers, 30)).length, 0, 'the clock was set back')
    await team.close()
  })

  t.test(
    'knows the period of the book after a restart with a clock that was set back',
    async (t) => {
      const book = new MemoryBook()
      const first = new Team([anna], 1, book)
      endAll(first.workers[0], await rush(first.workers, 10))
      await quiet()
      await first.close()
      const second = new Team([anna], 1, book)
      second.now = Date.parse('2026-11-25T12:00:00Z')
      await quiet()
      t.equal((await rush(second.workers, 5)).length, 0)
      await second.close()
    }
  )

  t.test('obeys another limit at once', async (t) => {
    const team = new Team([anna], 2)
    for (const share of await rush(team.workers, 4)) share.settle(CREDIT)
    team.allowances.setKeys([namedKey('anna', { credits: perDay(3) })])
    await quiet()
    t.equal((await rush(team.workers, 5)).length, 0)
    team.allowances.setKeys([namedKey('anna', { credits: perDay(6) })])
    t.equal((await rush(team.workers, 5)).length, 2)
    team.allowances.setKeys([namedKey('anna')])
    t.equal((await rush(team.workers, 50)).length, 50)
    team.allowances.setKeys([])
    await quiet()
    t.equal((await rush(team.workers, 5)).length, 0, 'a key that is gone')
    await team.close()
  })

  t.test('counts requests by the minute, and streams while they run', async (t) => {
    const ben = namedKey('ben', { requestsPerMinute: 3, maxStreams: 2 })
    const team = new Team([ben], 2)
    const [first, second] = team.workers as [TeamWorker, TeamWorker]
    for (const worker of [first, second, first]) (await worker.take('ben/requests', 1)).settle(1)
    await t.rejects(second.take('ben/requests', 1))
    team.now += 60_000
    ;(await second.take('ben/requests', 1)).settle(1)

    const running = [await first.take('ben/streams', 1), await second.take('ben/streams', 1)]
    let isServed = false
    const third = second.take('ben/streams', 1).then((share) => {
      isServed = true
      return share
    })
    await quiet()
    t.equal(isServed, false)
    running[0]?.settle(0)
    await third
    team.kill(second)
    await Promise.all([first.take('ben/streams', 1), first.take('ben/streams', 1)])
    await team.close()
    t.equal(team.book.pages.size, 0, 'neither has to outlast the processes')
  })

  t.test('lets one request of unknown price go at a time, in all workers', async (t) => {
    const team = new Team([anna], 2)
    const [first, second] = team.workers as [TeamWorker, TeamWorker]
    const running = await first.take('anna/unpriced', 1)
    let isServed = false
    const next = second.take('anna/unpriced', 1).then(() => (isServed = true))
    await quiet()
    t.equal(isServed, false)
    running.settle(0)
    t.equal(await next, true)
    await team.close()
  })

  t.test(
    'refuses those who wait when the primary is silent, the client leaves or it drains',
    async (t) => {
      const team = new Team([anna], 0)
      const worker = team.join()
      team.workers.length = 0 // nobody hears it
      const silent = worker.takeCredit()
      worker.silence.abort(new Error('silent'))
      await t.rejects(silent, /silent/)
      await t.rejects(worker.takeCredit(), /silent/)
      const gone = new AbortController()
      const left = worker.take('ben/streams', 1, gone.signal)
      gone.abort()
      await t.rejects(left, { code: 'GW_CLIENT_CLOSED' })
      await t.rejects(worker.take('ben/streams', 1, gone.signal), { code: 'GW_CLIENT_CLOSED' })
      const waiting = worker.take('ben/streams', 1)
      t.equal(worker.allowances.waitingFor('ben/streams'), 1)
      t.equal(worker.allowances.waitingFor('anna/streams'), 0)
      worker.allowances.drain()
      await t.rejects(waiting, { code: 'GW_DRAINING' })
      await t.rejects(worker.take('ben/streams', 1), { code: 'GW_DRAINING' })
      await team.close()
    }
  )

  t.test('counts on where a key loses its limit, or is gone, for a while', async (t) => {
    const team = new Team([anna], 1)
    endAll(team.workers[0], await rush(team.workers, 4))
    await quiet()
    for (const keys of [[], [namedKey('anna')]]) {
      team.allowances.setKeys(keys)
      await quiet()
      team.allowances.setKeys([anna])
      await quiet()
    }
    t.equal((await rush(team.workers, 20)).length, 6)
    await team.close()
  })
  t.end()
})
