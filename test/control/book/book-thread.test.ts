import { EventEmitter } from 'node:events'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { BookDatabase } from '../../../src/control/book/book-database.ts'
import type { PageAsk } from '../../../src/control/book/book-messages.ts'
import type { UsageBookOptions } from '../../../src/control/book/usage-book.ts'
import { usagePath } from '../../../src/control/book/usage-sums.ts'
import type { PlanLook } from '../../../src/control/plan/plan-record.ts'
import type { UsageRow } from '../../../src/ipc/usage-row.ts'
import { MICROS_PER_CREDIT as CREDIT } from '../../../src/keys/key.ts'
import { periodAt } from '../../../src/keys/period.ts'
import { SimThread } from '../../helper/shared-folder.ts'
import { openBook } from '../../helper/open-book.ts'
import { recordedLog } from '../../helper/recorded-log.ts'
import { scribble } from '../../helper/scribble.ts'
import { usageRow } from '../../helper/usage-row.ts'

const NOON = Date.parse('2026-09-10T12:00:00Z')
const MONTH = periodAt('month', null, NOON)
const LOOK: PlanLook = { at: NOON, plan: 'PRO', used: 0, limit: 1e9, resetsAt: null, others: {} }

function rig(t: Test) {
  const stateDir = t.testdir({})
  const path = usagePath(stateDir)
  const { log, text } = recordedLog()
  const alive = setInterval(() => {}, 1_000) // the book's own timers keep no process alive
  t.teardown(() => clearInterval(alive))
  const create = (timing: UsageBookOptions['timing'] = {}) => {
    const times = { writeMs: 1, retryMs: 20, ...timing }
    const book = openBook(stateDir, { log, now: () => NOON, timing: times })
    t.teardown(() => book.close())
    return book
  }
  const rows = (): number => {
    if (!existsSync(path)) return 0
    const db = new DatabaseSync(path, { readOnly: true })
    try {
      return Number(db.prepare('SELECT count(*) AS n FROM requests').get()?.['n'])
    } finally {
      db.close()
    }
  }
  return { create, path, text, rows }
}

/** Collects the threads that are started from now on. */
function threadsFrom(t: Test): readonly Worker[] {
  const threads: Worker[] = []
  const onWorker = (worker: Worker): unknown => threads.push(worker)
  process.on('worker', onWorker)
  t.teardown(() => process.off('worker', onWorker))
  return threads
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function askFor(want: number): PageAsk {
  const limit = { key: 'k_1', period: MONTH, cap: 10 * CREDIT }
  return { ...limit, want, release: 0, createdAt: 0, reopened: null }
}

function charged(credits: number): UsageRow {
  return usageRow({ credits, charges: [{ period: MONTH.number, credits }] })
}

/** Has a thread hang, and not in the disk: it looks through a list of 268 million, which nothing interrupts. */
function hang(thread: Worker | undefined): void {
  const nothing = { rows: [], sums: [], charges: [], prices: [], audit: [] }
  const asks = Array.from({ length: 0 })
  asks.length = 2 ** 28
  const batch = { ...nothing, seq: -1, now: NOON, isKept: true, names: [['k_9', 'x']], asks }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  thread?.postMessage({ type: 'commit', id: -1, ask: batch })
}

t.setTimeout(300_000)

t.test('starts its thread anew when that has ended, and says so', async (t) => {
  const { create, text, rows } = rig(t)
  const recorder = create()
  const threads = threadsFrom(t)
  await recorder.ask(askFor(4 * CREDIT))
  await threads[0]?.terminate() // while nothing is to be written
  t.match(text(), /thread of the account book has ended; it starts anew/)
  recorder.record([charged(CREDIT)])
  while (rows() !== 1) await sleep(5)
  await recorder.flush()
  t.equal(threads.length, 2)
  threads[1]?.emit('error', new Error('out of memory')) // it exits later
  const asked = recorder.ask(askFor(6 * CREDIT))
  while (threads.length < 3) await sleep(0)
  threads[1]?.emit('exit', 1)
  t.match(await asked, { share: 10 * CREDIT }, 'the next one is not disturbed')
})

t.test('says that another gateway has locked the book, and blames no disk', async (t) => {
  for (const isThere of [false, true]) {
    const { create, path, text } = rig(t)
    const lock = `${path}.damaged.lock`
    const held = { owner: 'x', place: 'elsewhere', pid: 1, expiresAt: '2100-01-01T00:00:00Z' }
    if (isThere) writeFileSync(path, '') // damaged
    writeFileSync(lock, JSON.stringify(held))
    const book = create({ stallMs: 4_000 })
    const asked = book.ask(askFor(CREDIT))
    while (book.problem === null) await sleep(5)
    t.match(book.problem, { isPassing: true, reason: /another gateway .* after 30 s/ })
    await book.start() // which waits no longer than for a disk
    t.match(book.problem, { isPassing: true })
    t.notMatch(text(), /is the disk full/)
    rmSync(lock)
    await asked
    while (book.problem !== null) await sleep(5)
  }
})

t.test('ends a thread that does not answer, and starts another one', async (t) => {
  const { create, text, rows } = rig(t)
  const threads = threadsFrom(t)
  const book = create({ stallMs: 50, hangMs: 3_000 })
  await book.ask(askFor(4 * CREDIT))
  hang(threads[0])
  book.record([charged(CREDIT)])
  while (book.problem === null) await sleep(5)
  const asked = book.ask(askFor(6 * CREDIT)) // waits meanwhile
  while (rows() !== 1) await sleep(5)
  t.match(text(), /thread of the account book does not answer and is ended/)
  while (book.problem !== null) await sleep(5)
  t.match(await asked, { used: CREDIT, share: 10 * CREDIT })
  t.ok(threads.length >= 2, 'more where a start takes as long, on a busy machine')
})

t.test('sets a book aside when a look at the account finds it damaged', async (t) => {
  for (const harm of ['scribbled', 'gone'] as const) {
    const { create, path, text } = rig(t)
    const recorder = create()
    await recorder.ask(askFor(CREDIT))
    await recorder.look('a', LOOK)
    await recorder.close()
    if (harm === 'scribbled') scribble(path, 'plans')
    else new DatabaseSync(path, { timeout: 20_000 }).exec('DROP TABLE plans')
    const next = create()
    await next.start()
    if (harm === 'scribbled') t.equal(await next.look('a', LOOK), null)
    while (!text().includes('moved away')) await sleep(5)
    while (next.problem !== null) await sleep(5)
    t.match(await next.ask(askFor(CREDIT)), { share: 0, isClosed: true }, harm)
    t.match(await next.look('a', LOOK), { record: {} }, harm)
  }
})

/** A book whose threads do what the test says. */
function simulated(t: Test, path = t.testdir({}), times: UsageBookOptions['timing'] = {}) {
  const threads: SimThread[] = []
  const { log, text } = recordedLog()
  const startThread = (): SimThread => {
    const thread = new SimThread(BookDatabase, 'place', () => {})
    threads.push(thread)
    return thread
  }
  const timing = { writeMs: 1, retryMs: 5, ...times }
  const book = openBook(path, { log, now: () => NOON, timing, startThread })
  const work = async (fate: Parameters<SimThread['work']>[0]): Promise<void> => {
    while (threads.at(-1)?.isBusy !== true) await sleep(1)
    await threads.at(-1)?.work(fate)
  }
  const closed = async (ended = book.close()): Promise<void> => {
    let isClosed = false
    void ended.then(() => (isClosed = true))
    while (!isClosed) {
      await threads.at(-1)?.work('done')
      await sleep(1)
    }
  }
  return { book, threads, work, closed, text, path: usagePath(path) }
}

t.test('frees no credits at its end whose use it could not write', async (t) => {
  for (const fate of ['full', 'dies before', 'full twice'] as const) {
    const { book, work, closed, path } = simulated(t)
    const first = book.ask(askFor(4 * CREDIT))
    await work('done')
    await work('done')
    await first
    book.record([charged(CREDIT)])
    const ended = book.close()
    if (fate === 'full twice') await work('full')
    await work(fate === 'full twice' ? 'full' : fate)
    await closed(ended)
    const db = new DatabaseSync(path, { timeout: 20_000 })
    const page = String(db.prepare('SELECT page FROM pages').get()?.['page'])
    db.close()
    const used = fate === 'full twice' ? /"used":0,.*"held":4000000/ : /"used":1000000,"leases":{}/
    t.match(page, used, fate)
  }
})

t.test('does not blame the disk for the start of its thread', async (t) => {
  const thread = Object.assign(new EventEmitter(), {
    postMessage: () => {},
    ref: () => {},
    unref: () => {},
    terminate: async () => 0
  })
  const timing = { writeMs: 1, stallMs: 20, closeMs: 20 }
  const book = openBook(t.testdir({}), { timing, startThread: () => thread })
  const started = book.start()
  book.record([charged(CREDIT)])
  await sleep(200)
  t.equal(book.problem, null)
  thread.emit('message', { type: 'started' })
  await started
  t.match(book.problem, { reason: 'the disk does not respond' })
  await book.close()
})

t.test('gives a file of an earlier version the time that its new form takes', async (t) => {
  let ended = 0
  const asked: { readonly id: number; readonly type: string }[] = []
  const thread = Object.assign(new EventEmitter(), {
    postMessage: (message: { readonly id: number; readonly type: string }) => asked.push(message),
    ref: () => {},
    unref: () => {},
    terminate: async () => (ended += 1)
  })
  const timing = { writeMs: 1, stallMs: 20, hangMs: 60, upgradeMs: 60_000, closeMs: 20 }
  const book = openBook(t.testdir({}), { timing, startThread: () => thread })
  const started = book.start()
  thread.emit('message', { type: 'started' })
  thread.emit('message', { type: 'waiting', reason: 'upgrading' })
  await started
  t.match(book.problem, { isPassing: true, reason: /form of this version/ })
  await sleep(200)
  t.equal(ended, 0, 'ended, it would begin from the start, again and again')
  t.same(
    asked.map(({ type }) => type),
    ['open']
  )
  await book.close()
})

t.test('says once that its thread ends, however often it is started', async (t) => {
  const { log, text } = recordedLog()
  let starts = 0
  const startThread = () => {
    starts += 1
    const thread = Object.assign(new EventEmitter(), {
      postMessage: () => setImmediate(() => thread.emit('error', new Error('out of memory'))),
      ref: () => {},
      unref: () => {},
      terminate: async () => (thread.emit('exit', 1) ? 1 : 0)
    })
    return thread
  }
  const book = openBook(t.testdir({}), { log, timing: { writeMs: 1, retryMs: 5 }, startThread })
  book.record([charged(CREDIT)])
  while (starts < 6) await sleep(5)
  t.equal(text().split('thread of the account book has ended').length, 2)
  await book.close()
})

t.test('holds up no start longer than a disk that responds would', async (t) => {
  const { book, work, closed } = simulated(t, t.testdir({}), { stallMs: 20 })
  const asked = book.ask(askFor(CREDIT))
  const started = book.start()
  await work('done') // it is opened, and then the disk stands still
  await started
  t.match(book.problem, { reason: 'the disk does not respond' })
  await work('done')
  t.match(await asked, { share: CREDIT })
  t.equal(book.problem, null)
  await closed()
})

t.test('opens the book in the same thread until that succeeds', async (t) => {
  const { book, threads, work, closed } = simulated(t)
  const asked = book.ask(askFor(CREDIT))
  await Promise.all([t.rejects(asked, /full/), work('full')])
  for (let n = 0; n < 5; n++) {
    book.record([charged(CREDIT)])
    await work('full')
  }
  await work('done')
  await work('done')
  while (book.problem !== null) await sleep(1)
  t.equal(threads.length, 1)
  await closed()
})

t.test('is not open to limits while its thread dies at each batch', async (t) => {
  const { book, work, text } = simulated(t)
  book.record([charged(CREDIT)])
  await work('done')
  await work('dies before')
  while (book.problem === null) await sleep(1)
  const { since } = book.problem
  for (let n = 0; n < 3; n++) {
    await work('done') // it is opened
    await work('dies before')
  }
  t.match(book.problem, { since }, 'it goes on')
  t.notMatch(text(), /recorded again/)
  await work('done')
  await work('done')
  while (book.problem !== null) await sleep(1)
  const closed = book.close()
  await work('done')
  await closed
})

t.test('knows the names of keys in the file that replaces a damaged one', async (t) => {
  const { book, work, closed, path } = simulated(t)
  book.setKeys([{ id: 'k_1', name: 'anna' }])
  book.record([charged(CREDIT)])
  await work('done')
  await work('done')
  book.record([charged(CREDIT)])
  await work('dies after')
  writeFileSync(path, 'no database')
  await work('done')
  await work('done')
  book.record([charged(CREDIT)])
  await closed()
  const db = new DatabaseSync(path, { timeout: 20_000 })
  t.match(db.prepare('SELECT id, name FROM keys').all(), [{ id: 'k_1', name: 'anna' }])
  db.close()
})

t.test('remembers the newest of many gateways that fell silent, and no more', async (t) => {
  const first = simulated(t)
  first.book.record([charged(CREDIT)])
  await first.work('done')
  await first.work('done')
  await first.closed()
  const { path } = first
  const db = new DatabaseSync(path, { timeout: 20_000 })
  const insert = db.prepare('INSERT INTO runs VALUES (?, ?, ?, 0, NULL)')
  const mark = JSON.stringify({ place: 'elsewhere', pid: 1, start: '1' })
  db.exec('BEGIN')
  for (let n = 0; n < 1_000; n++) insert.run(`run ${n}`, mark, NOON - 200_000 - n)
  db.exec('COMMIT')
  const { book, work, closed } = simulated(t, dirname(path))
  book.record([charged(CREDIT)])
  await work('done')
  await work('done')
  await closed()
  const runs = db.prepare('SELECT id FROM runs ORDER BY seen_at DESC').all()
  db.close()
  t.equal(runs.length, 100)
  t.match(runs, [{ id: 'run 0' }, { id: 'run 1' }])
})

t.test(
  'writes nothing twice when its thread dies, and the next one cannot open the book',
  async (t) => {
    const threads: SimThread[] = []
    const startThread = (): SimThread => {
      const thread = new SimThread(BookDatabase, 'place', () => {})
      threads.push(thread)
      return thread
    }
    const times = { writeMs: 1, retryMs: 5 }
    const options = { now: () => NOON, timing: times, startThread }
    const book = openBook(t.testdir({}), options)
    const work = async (fate: Parameters<SimThread['work']>[0]): Promise<void> => {
      while (threads.at(-1)?.isBusy !== true) await sleep(1)
      await threads.at(-1)?.work(fate)
    }
    const first = book.ask(askFor(4 * CREDIT))
    await work('done')
    await work('done')
    await first
    book.record([charged(CREDIT)])
    await work('dies after')
    await work('full') // to open it
    await work('done')
    await work('done')
    const news = book.ask(askFor(0))
    await work('done')
    t.match(await news, { used: CREDIT, share: 4 * CREDIT })
    const closed = book.close()
    await work('done')
    await closed
  }
)
