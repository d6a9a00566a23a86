import t from 'tap'
import { Lease, type Permit } from '../../src/admission/lease.ts'
import { type LeaseReport, type LeaseGrant, NO_GRANT } from '../../src/ipc/messages.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { ManualClock } from '../helper/manual-clock.ts'

interface Stand {
  readonly lease: Lease
  readonly clock: ManualClock
  readonly sent: LeaseReport[]
  readonly trims: { readonly max: number; readonly done: () => void }[]
  readonly idleLimits: number[]
  readonly missing: number[]
  readonly tell: (grant: Partial<LeaseGrant>) => void
  readonly ask: (options?: {
    readonly key?: string
    readonly signal?: AbortSignal
  }) => Promise<Permit>
}

function stand(options: { readonly poolTimeoutMs?: number | null } = {}): Stand {
  const clock = new ManualClock()
  const sent: LeaseReport[] = []
  const trims: Stand['trims'] = []
  const idleLimits: number[] = []
  const missing: number[] = []
  const lease = new Lease({
    send: (report) => sent.push(report),
    trimSockets: (max) => new Promise((resolve) => trims.push({ max, done: resolve })),
    onKeepAlive: (keepAlive) => idleLimits.push(keepAlive),
    onMissing: (permits) => missing.push(permits),
    poolTimeoutMs: options.poolTimeoutMs ?? null,
    maxWaiting: 3,
    clock
  })
  let grant: LeaseGrant = {
    ...NO_GRANT,
    maxWaiting: 3,
    budget: 10,
    elsewhere: { leased: 8, waiting: 5 }
  }
  const tell: Stand['tell'] = (news) => {
    grant = { ...grant, seq: grant.seq + 1, ...news }
    lease.onMessage(grant)
  }
  const ask: Stand['ask'] = ({ key = 'a', signal = new AbortController().signal } = {}) =>
    lease.acquire({ key, arrivedAt: clock.now() }, signal)
  return { lease, clock, sent, trims, idleLimits, missing, tell, ask }
}

/** Lets promise reactions run. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending')
  return (await Promise.race([promise, settle().then(() => pending)])) === pending
}

t.test('acquire()', (t) => {
  t.test('gives what is at hand without a message to the primary', async (t) => {
    const { lease, clock, sent, tell, ask } = stand()
    tell({ granted: 2 })
    const permits = [await ask(), await ask()]
    t.match(lease.state(), { budget: 10, size: 2, held: 2, waiting: 0 })
    for (const permit of permits) permit.release()
    clock.turn()
    t.match(lease.state(), { held: 0 })
    t.same(sent, [])
  })
  t.test('asks once for all who began to wait in one turn of the loop', async (t) => {
    const { clock, sent, tell, ask } = stand()
    const waiting = [ask(), ask()]
    clock.turn()
    t.match(sent, [
      { type: 'lease.report', seq: 1, waiting: 2, heads: [{ key: 'a' }, { key: 'a' }] }
    ])
    tell({ granted: 2 })
    t.equal((await Promise.all(waiting)).length, 2)
  })
  t.test('serves in order of arrival', async (t) => {
    const { tell, ask } = stand()
    tell({ granted: 1 })
    const first = await ask()
    const order: string[] = []
    const second = ask().then((permit) => (order.push('second'), permit))
    const third = ask().then((permit) => (order.push('third'), permit))
    first.release()
    ;(await second).release()
    await third
    t.same(order, ['second', 'third'])
  })
  t.test('tells how many permits are missing that only those in use can give', async (t) => {
    const { lease, clock, missing, tell, ask } = stand()
    tell({ granted: 2 })
    const permits = [await ask(), await ask()]
    t.same([missing, lease.missing], [[], 0], 'none waiting')
    const waiting = [ask(), ask()]
    t.same([missing.at(-1), lease.missing], [2, 2])
    tell({ wanted: 1 })
    t.equal(lease.missing, 3, 'and one that waits in another worker')
    lease.pause(1000)
    t.equal(lease.missing, 0, 'in a pause a permit is of no use')
    clock.advance(2000)
    for (const permit of permits) permit.release()
    for (const one of waiting) void one.then((permit) => permit.release())
    await settle()
    t.equal(lease.missing, 0)
  })
  t.test('forgets a waiter whose client left', async (t) => {
    const { lease, clock, sent, ask } = stand()
    const client = new AbortController()
    const gone = ask({ signal: client.signal })
    clock.turn()
    client.abort()
    await t.rejects(gone, { code: 'GW_CLIENT_CLOSED' })
    clock.turn()
    t.equal(lease.state().waiting, 0)
    t.match(sent, [{ waiting: 1 }, { waiting: 0 }])
  })
  t.test('refuses a client that has left already', async (t) => {
    const { tell, ask } = stand()
    tell({ granted: 1 })
    await t.rejects(ask({ signal: AbortSignal.abort() }), { code: 'GW_CLIENT_CLOSED' })
  })
  t.test('a permit released twice counts once', async (t) => {
    const { lease, tell, ask } = stand()
    tell({ granted: 2 })
    const [one] = [await ask(), await ask()]
    one.release()
    one.release()
    t.equal(lease.state().held, 1)
  })
  t.end()
})

t.test('a full queue', (t) => {
  t.test('refuses at the limit, saying what is in use and what to change', async (t) => {
    const { lease, tell, ask } = stand()
    tell({ granted: 1 })
    await ask()
    const waiting = [ask(), ask()]
    t.equal(lease.isFull('a'), false)
    waiting.push(ask())
    t.equal(lease.isFull('a'), true)
    await t.rejects(ask(), {
      code: 'GW_QUEUE_FULL',
      message: /9 of 10 connections in use, 8 requests waiting .*HTTP_POOL_MAX_WAITING/,
      retryAfterS: 5
    })
    lease.drain()
    await Promise.allSettled(waiting)
  })
  t.test('makes room for another key at the cost of the greedy one', async (t) => {
    const { lease, tell, ask } = stand()
    tell({ granted: 1 })
    const running = await ask()
    const greedy = [ask(), ask(), ask()]
    t.equal(lease.isFull('b'), false)
    const modest = ask({ key: 'b' })
    await t.rejects(greedy[2] as Promise<Permit>, { code: 'GW_QUEUE_FULL' })
    running.release()
    ;(await (greedy[0] as Promise<Permit>)).release()
    t.equal(await isPending(modest), false)
    lease.drain()
    await Promise.allSettled(greedy)
  })
  t.test('refuses the youngest when the primary lowers the bound', async (t) => {
    const { tell, ask } = stand()
    const [first, second] = [ask(), ask()]
    tell({ maxWaiting: 1 })
    await t.rejects(second, { code: 'GW_QUEUE_FULL' })
    t.equal(await isPending(first), true)
  })
  t.end()
})

t.test('HTTP_POOL_TIMEOUT', (t) => {
  t.test(
    'is counted from the arrival and ends in a PoolTimeout that explains itself',
    async (t) => {
      const { lease, clock, tell } = stand({ poolTimeoutMs: 5000 })
      tell({ granted: 0 })
      const { signal } = new AbortController()
      const late = lease.acquire({ key: 'a', arrivedAt: clock.now() - 4000 }, signal)
      clock.advance(999)
      t.equal(await isPending(late), true)
      clock.advance(1)
      await t.rejects(late, {
        name: 'PoolTimeout',
        code: 'GW_POOL_TIMEOUT',
        message: /HTTP_POOL_TIMEOUT=5s: 8 of 10 connections in use, 6 requests waiting, waited 5s\./
      })
      t.equal(clock.timers, 0)
    }
  )
  for (const poolTimeoutMs of [0, 1]) {
    t.test(`of ${poolTimeoutMs} ms refuses nobody whom another worker can lend to`, async (t) => {
      const { clock, tell, ask } = stand({ poolTimeoutMs })
      tell({ granted: 0 })
      const lucky = ask()
      const waiting = ask()
      clock.advance(20)
      tell({ granted: 1 })
      t.ok(await lucky)
      clock.advance(79)
      t.equal(await isPending(waiting), true)
      clock.advance(1)
      await t.rejects(waiting, {
        code: 'GW_POOL_TIMEOUT',
        message: new RegExp(`HTTP_POOL_TIMEOUT=${poolTimeoutMs / 1000}s: .* waited 0.1s`)
      })
      t.equal(clock.timers, 0)
    })
  }
  t.test('needs one timer for any number of waiters', async (t) => {
    const { clock, ask } = stand({ poolTimeoutMs: 5000 })
    const first = ask()
    clock.advance(10)
    const second = ask()
    t.equal(clock.timers, 1)
    clock.advance(4990)
    await t.rejects(first, { code: 'GW_POOL_TIMEOUT' })
    t.equal(clock.timers, 1)
    clock.advance(10)
    await t.rejects(second, { code: 'GW_POOL_TIMEOUT' })
  })
  t.test('a new value holds for those who wait already', async (t) => {
    const { lease, clock, ask } = stand()
    const waiting = ask()
    clock.advance(60_000)
    lease.setLimits({ poolTimeoutMs: 1000 })
    await t.rejects(waiting, { code: 'GW_POOL_TIMEOUT' })
  })
  t.test('does not touch who finds a permit at hand, however late', async (t) => {
    const { lease, clock, tell } = stand({ poolTimeoutMs: 1000 })
    tell({ granted: 1 })
    const { signal } = new AbortController()
    t.ok(await lease.acquire({ key: 'a', arrivedAt: clock.now() - 9000 }, signal))
  })
  t.test('retry-after follows the rate at which permits come free', async (t) => {
    const { clock, tell, ask } = stand({ poolTimeoutMs: 1000 })
    tell({ granted: 1 })
    for (let i = 0; i < 30; i += 1) {
      clock.advance(500)
      ;(await ask()).release()
    }
    await ask()
    const overdue = ask()
    clock.advance(1000)
    await t.rejects(overdue, { code: 'GW_POOL_TIMEOUT', retryAfterS: 2 })
  })
  t.end()
})

const pace = (granted: number, ...turns: string[]) => ({ pace: { limit: 60, granted, turns } })

t.test('a pace', (t) => {
  t.test('lets requests wait for starts, and counts what is sent', async (t) => {
    const { lease, clock, sent, tell, ask } = stand()
    tell({ granted: 3, ...pace(0) })
    clock.turn()
    const waiting = [ask(), ask()]
    clock.turn()
    t.match(lease.state(), { held: 0, waiting: 2, gated: 2 })
    t.match(sent.at(-1), { waiting: 0, gated: 2, heads: [{}, {}], pace: { granted: 0, ready: 2 } })
    tell(pace(1, 'a'))
    const permit = await waiting[0]
    t.match(lease.state(), { held: 1, waiting: 1 })
    permit?.sent()
    clock.turn()
    t.match(sent.at(-1), {
      gated: 1,
      pace: { granted: 1, used: 1, returned: 0, extra: 0, ready: 1 }
    })
    permit?.sent()
    clock.turn()
    t.match(sent.at(-1), { pace: { used: 1, extra: 1 } }, 'sent once more')
    const before = sent.length
    permit?.release()
    clock.turn()
    t.equal(sent.length, before, 'nothing new')
  })

  t.test('is what requests wait for while there are permits', async (t) => {
    const { lease, tell, ask } = stand()
    t.equal(lease.isPacing, false, 'without a pace')
    tell({ granted: 1, ...pace(0) })
    t.equal(lease.isPacing, true)
    const waiting = ask()
    tell(pace(1, 'a'))
    const permit = await waiting
    t.equal(lease.isPacing, false, 'all are in use')
    permit.release()
    t.equal(lease.isPacing, true)
  })
  t.test('serves the key whose turn the primary says it is', async (t) => {
    const { tell, ask } = stand()
    tell({ granted: 3, ...pace(0) })
    const waiting = [ask({ key: 'a' }), ask({ key: 'a' }), ask({ key: 'b' })]
    tell(pace(1, 'b'))
    t.ok(await waiting[2])
    t.same(await Promise.all(waiting.slice(0, 2).map(isPending)), [true, true])
    tell(pace(3, 'b', 'b', 'b')) // of which two are new, and nobody of b waits any more
    t.equal((await Promise.all(waiting)).length, 3)
  })
  t.test('gives back what nobody needs, and what was not sent goes to the next', async (t) => {
    const { clock, sent, tell, ask } = stand()
    tell({ granted: 3, ...pace(0) })
    const first = ask()
    const second = ask()
    tell(pace(1, 'a'))
    const unsent = await first
    unsent.release()
    const other = await second
    tell(pace(2, 'a', 'a'))
    other.release()
    clock.turn()
    t.match(sent.at(-1), { gated: 0, pace: { granted: 2, used: 0, returned: 2, ready: 0 } })
  })
  t.test('of none again lets everybody go, and costs no message', async (t) => {
    const { clock, sent, tell, ask } = stand()
    tell({ granted: 3, ...pace(0) })
    const waiting = ask()
    tell({ pace: null })
    t.ok(await waiting)
    clock.turn()
    const before = sent.length
    const permit = await ask()
    permit.sent()
    permit.release()
    clock.turn()
    t.equal(sent.length, before)
  })
  t.test('is named by the error of who waited too long for it', async (t) => {
    const { clock, tell, ask } = stand({ poolTimeoutMs: 5000 })
    tell({ granted: 3, ...pace(0) })
    const waiting = ask()
    clock.advance(5000)
    await t.rejects(waiting, {
      code: 'GW_POOL_TIMEOUT',
      detail: 'pace',
      retryAfterS: 7,
      message:
        /^PoolTimeout: the request rate limit let no request start within HTTP_POOL_TIMEOUT=5s: at most 60 requests a minute, 6 requests waiting, waited 5s\. Raise UPSTREAM_MAX_REQUESTS_PER_MINUTE /
    })
    const many = [ask(), ask(), ask()]
    const { signal } = new AbortController()
    void Promise.allSettled(many)
    await t.rejects(ask({ signal }), {
      code: 'GW_QUEUE_FULL',
      message: /are already waiting for the request rate limit: at most 60 requests a minute/
    })
  })
  t.end()
})

t.test('refuseWaiting() ends all waits, and nothing else', async (t) => {
  const { lease, clock, sent, tell, ask } = stand({ poolTimeoutMs: 1000 })
  tell({ granted: 1 })
  const permit = await ask()
  const error = new GatewayError('GW_UPSTREAM_QUOTA')
  const gone = new AbortController()
  const waits = [ask(), ask({ key: 'b', signal: gone.signal })]
  clock.turn()
  t.match(sent.at(-1), { waiting: 2 })
  const other = ask({ key: 'c' })
  lease.refuseWaiting(error, (key) => key !== 'c')
  for (const wait of waits) await t.rejects(wait, error)
  t.ok(await isPending(other))
  lease.refuseWaiting(error, (key) => key === 'c')
  await t.rejects(other, error)
  gone.abort()
  clock.turn()
  t.match(sent.at(-1), { waiting: 0, heads: [] })
  const next = ask()
  t.ok(await isPending(next))
  permit.release()
  t.match(await next, {})
  clock.advance(2000)
  t.match(lease.state(), { held: 1, waiting: 0 })
})

t.test('pause()', (t) => {
  t.test('holds everybody, who then go one after the other', async (t) => {
    const { lease, clock, tell, ask } = stand()
    tell({ granted: 3 })
    const early = await ask()
    lease.pause(1000)
    early.release()
    const waiting = [ask(), ask(), ask()]
    clock.advance(1000)
    t.match(lease.state(), { held: 0, waiting: 3, gated: 3 })
    const held: number[] = []
    for (let i = 0; i < 26; i += 1) {
      clock.advance(10)
      held.push(lease.state().held)
    }
    t.same([...new Set(held)], [0, 1, 2, 3].slice(held[0]), 'one by one')
    t.equal((await Promise.all(waiting)).length, 3)
    t.equal(clock.timers, 0)
  })
  t.test('is counted for as long as it is on', async (t) => {
    const { lease, clock, tell, ask } = stand()
    tell({ granted: 1 })
    t.equal(lease.pausedMs, 0)
    clock.advance(500)
    lease.pause(1000)
    clock.advance(400)
    t.equal(lease.pausedMs, 400)
    for (let step = 0; step < 200; step += 1) clock.advance(10)
    t.ok(lease.pausedMs >= 1000 && lease.pausedMs <= 1260, `${lease.pausedMs} ms`)
    t.ok(await ask())
    const before = lease.pausedMs
    clock.advance(1_000)
    t.equal(lease.pausedMs, before)
  })
  t.test('is not shortened by another', async (t) => {
    const { lease, clock, tell, ask } = stand()
    tell({ granted: 1 })
    lease.pause(1000)
    lease.pause(100)
    const waiting = ask()
    clock.advance(900)
    t.equal(await isPending(waiting), true)
    lease.pause(1000)
    clock.advance(900)
    t.equal(await isPending(waiting), true)
    clock.advance(400)
    t.ok(await waiting)
  })
  t.test('is named by the error of who waited too long for its end', async (t) => {
    const { lease, clock, tell, ask } = stand({ poolTimeoutMs: 500 })
    tell({ granted: 1 })
    lease.pause(1000)
    const waiting = ask()
    clock.advance(500)
    await t.rejects(waiting, {
      code: 'GW_POOL_TIMEOUT',
      detail: 'pause',
      message: /the pause requested by the upstream did not end within HTTP_POOL_TIMEOUT=0.5s/
    })
  })
  t.end()
})

t.test('giving permits back', (t) => {
  t.test('lowers the size first, closes the sockets, and only then reports', async (t) => {
    const { lease, clock, sent, trims, tell } = stand()
    tell({ granted: 5 })
    tell({ granted: 5, wanted: 2, asked: 2, heads: [] })
    t.equal(lease.state().size, 3)
    t.match(trims, [{ max: 3 }])
    clock.turn()
    t.match(sent.at(-1), { returned: 0, spare: 5, seen: 2 })
    trims[0]?.done()
    await settle()
    clock.turn()
    t.match(sent.at(-1), { returned: 2, spare: 3 })
  })
  t.test('lets a clearly older waiter elsewhere go first', async (t) => {
    const { lease, clock, trims, tell, ask } = stand()
    tell({ granted: 1 })
    const permit = await ask()
    const own = ask()
    const at = clock.now() - 100
    const heads = [{ key: 'a', at, served: 0, turn: at }]
    tell({ wanted: 1, asked: 2, heads })
    permit.release()
    t.equal(await isPending(own), true)
    t.match(trims, [{ max: 0 }])
    lease.drain()
    await t.rejects(own, { code: 'GW_DRAINING' })
  })
  t.test('keeps to its own waiter while the difference is small', async (t) => {
    const { clock, trims, tell, ask } = stand()
    tell({ granted: 1 })
    const permit = await ask()
    const own = ask()
    const at = clock.now() - 15
    tell({ wanted: 1, asked: 2, heads: [{ key: 'a', at, served: 0, turn: at }] })
    permit.release()
    t.ok(await own)
    t.same(trims, [])
  })
  t.test('after a shrink the budget goes before any waiter', async (t) => {
    const { lease, trims, tell, ask } = stand()
    tell({ granted: 2 })
    const permits = [await ask(), await ask()] as const
    const own = ask()
    tell({ owed: 1 })
    t.equal(lease.state().held, 2, 'nothing is cut')
    permits[0].release()
    t.match(trims, [{ max: 1 }])
    permits[1].release()
    t.ok(await own)
  })
  t.test('tells the pool when fewer connections may idle', async (t) => {
    const { idleLimits, tell } = stand()
    tell({ keepAlive: 5 })
    tell({ keepAlive: 3 })
    t.same(idleLimits, [3])
  })
  t.end()
})

t.test('lifecycle', (t) => {
  t.test('drain() refuses who waits and who comes', async (t) => {
    const { lease, clock, sent, ask } = stand()
    const waiting = ask()
    lease.drain()
    await t.rejects(waiting, { code: 'GW_DRAINING' })
    await t.rejects(ask(), { code: 'GW_DRAINING' })
    clock.turn()
    t.match(sent, [{ draining: true, waiting: 0 }])
  })
  t.end()
})
