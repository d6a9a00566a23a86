import { execFile } from 'node:child_process'
import fs, {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync
} from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { BookDatabase } from '../../../src/control/book/book-database.ts'
import type { BookBatch, PageAsk, PageNews } from '../../../src/control/book/book-messages.ts'
import { usagePath } from '../../../src/control/book/usage-sums.ts'
import { MICROS_PER_CREDIT as CREDIT } from '../../../src/keys/key.ts'
import { periodAt } from '../../../src/keys/period.ts'
import { markOf } from '../../../src/shared/process-mark.ts'
import { SOURCE_PROGRAM } from '../../helper/program.ts'
import { scribble } from '../../helper/scribble.ts'

const NOON = Date.parse('2026-09-10T12:00:00Z')
const TODAY = periodAt('day', null, NOON)
const TOMORROW = periodAt('day', TODAY, NOON + 86_400_000)

const ASK: PageAsk = {
  key: 'k_1',
  period: TODAY,
  cap: 10 * CREDIT,
  want: 0,
  release: 0,
  createdAt: 0,
  reopened: null
}

t.setTimeout(300_000)

function openingOf(path: string, id: string) {
  const run = { id, mark: markOf(process.pid) }
  return { path, now: NOON, run, isKept: true, periods: [], damagedFile: null }
}

function batchOf(seq: number, ask: Partial<PageAsk>): BookBatch {
  const nothing = {
    rows: [],
    sums: [],
    names: [],
    charges: [],
    prices: [],
    audit: [],
    pruneBefore: 0
  }
  return { ...nothing, seq, now: NOON, isKept: true, asks: [{ ...ASK, ...ask }] }
}

async function open(t: Test, path: string, id: string) {
  const { book } = await BookDatabase.open(openingOf(path, id))
  t.teardown(() => book.destroy())
  let seq = 0
  return async (ask: Partial<PageAsk>): Promise<PageNews | undefined> =>
    (await book.commit(batchOf(seq++, ask))).pages[0]
}

/** Makes a book in which nine of ten credits are used, and damages it. */
async function damagedBook(t: Test): Promise<string> {
  const path = usagePath(t.testdir({}))
  const { book } = await BookDatabase.open(openingOf(path, 'first'))
  await book.commit(batchOf(0, { want: 9 * CREDIT }))
  book.close()
  scribble(path, 'pages')
  writeFileSync(`${path}-wal`, '') // as a gateway that was killed leaves it
  return path
}

const DATABASE = new URL('../../../src/control/book/book-database.ts', import.meta.url).href

/** Opens the book in a process that is killed behind so many calls of these functions of `node:fs/promises`. Returns whether it was. */
async function openAndDie(
  path: string,
  calls: number,
  names: readonly string[] = ['rename']
): Promise<boolean> {
  const script = `
    import fs from 'node:fs'
    import { flushCompileCache, syncBuiltinESMExports } from 'node:module'
    import { DatabaseSync } from 'node:sqlite'
    let left = ${calls}
    const count = () => {
      if (--left === 0) process.kill(process.pid, 'SIGKILL')
    }
    for (const name of ${JSON.stringify(names)}) {
      if (name === 'exec') continue
      const original = fs.promises[name]
      fs.promises[name] = async (...args) => {
        const result = await original(...args)
        count()
        return result
      }
    }
    syncBuiltinESMExports()
    const { exec } = DatabaseSync.prototype
    DatabaseSync.prototype.exec = function (sql) {
      exec.call(this, sql)
      if (${names.includes('exec')}) count()
    }
    const { BookDatabase } = await import(${JSON.stringify(DATABASE)})
    flushCompileCache()
    const { book } = await BookDatabase.open(${JSON.stringify(openingOf(path, 'killed'))})
    book.destroy()`
  const args = ['--input-type=module', '--eval', script]
  const env = { NODE_COMPILE_CACHE: SOURCE_PROGRAM.compiled }
  return promisify(execFile)(process.execPath, args, { env }).then(
    () => false,
    (cause: { signal?: string; stderr?: string }) => {
      if (cause.signal !== 'SIGKILL') throw new Error(String(cause.stderr))
      return true
    }
  )
}

t.test('a damaged book closes limits, wherever its gateway is killed', async (t) => {
  for (let renames = 1; ; renames++) {
    const path = await damagedBook(t)
    const isKilled = await openAndDie(path, renames)
    const ask = await open(t, path, 'next')
    t.match(await ask({ want: CREDIT }), { share: 0, isClosed: true }, `${renames} renamed`)
    const names = readdirSync(dirname(path)).filter((name) => name.includes('.damaged'))
    const aside = names.filter((name) => /\.damaged-[\dTZ-]+$/.test(name))
    t.equal(aside.length, 1, names.join(' '))
    t.notOk(names.includes('usage.db.damaged'), 'nothing marks it any more')
    if (!isKilled) break
    t.ok(renames < 9)
  }
})

t.test(
  'a gateway that was killed in another container holds up a damaged book for a while only',
  async (t) => {
    const path = await damagedBook(t)
    const lock = { owner: 'x', place: 'elsewhere', pid: 1, expiresAt: '2100-01-01T00:00:00Z' }
    writeFileSync(`${path}.damaged.lock`, JSON.stringify(lock))
    const now = performance.now.bind(performance)
    t.teardown(() => Object.assign(performance, { now }))
    Object.assign(performance, { now: () => 4 * now() })
    const ask = await open(t, path, 'next')
    t.match(await ask({ want: CREDIT }), { share: 0, isClosed: true })
    t.same(
      readdirSync(dirname(path)).filter((name) => name.endsWith('.lock')),
      []
    )
  }
)

t.test('a book that was restored after that is not set aside', async (t) => {
  const path = await damagedBook(t)
  t.ok(await openAndDie(path, 1))
  const sound = usagePath(t.testdir({}))
  const { book } = await BookDatabase.open(openingOf(sound, 'sound'))
  await book.commit(batchOf(0, { want: 9 * CREDIT }))
  book.close()
  writeFileSync(`${path}.new`, readFileSync(sound))
  renameSync(`${path}.new`, path)
  const ask = await open(t, path, 'next')
  t.match(await ask({ want: CREDIT }), { share: CREDIT, isClosed: false })
})

for (const text of ['', 'x']) {
  t.test(`a book of ${text.length} bytes closes limits like any other damage`, async (t) => {
    const path = usagePath(t.testdir({}))
    const { book } = await BookDatabase.open(openingOf(path, 'first'))
    await book.commit(batchOf(0, { want: 9 * CREDIT }))
    book.close()
    writeFileSync(path, text)
    const { book: next, opened } = await BookDatabase.open(openingOf(path, 'next'))
    t.teardown(() => next.destroy())
    t.match(opened.setAside, /\.damaged-/)
    const { pages } = await next.commit(batchOf(0, { want: CREDIT }))
    t.match(pages, [{ share: 0, isClosed: true }])
  })
}

t.test('an emptied book put in the place of one in use closes limits', async (t) => {
  const path = usagePath(t.testdir({}))
  const one = await open(t, path, 'one')
  t.match(await one({ want: 9 * CREDIT }), { share: 9 * CREDIT })
  writeFileSync(`${path}.new`, '')
  renameSync(`${path}.new`, path)
  await t.rejects(one({ want: CREDIT }), { message: 'it is empty' })
  const ask = await open(t, path, 'next')
  t.match(await ask({ want: CREDIT }), { share: 0, isClosed: true })
})

const STEPS = ['open', 'link', 'rename', 'rm', 'unlink', 'exec']

t.test('a new book is no damaged one, wherever its gateway is killed', async (t) => {
  for (let calls = 1; ; calls++) {
    const path = usagePath(t.testdir({}))
    const isKilled = await openAndDie(path, calls, STEPS)
    const folder = dirname(path)
    for (const name of readdirSync(folder)) utimesSync(join(folder, name), 1, 1) // it was long ago
    const { book, opened } = await BookDatabase.open(openingOf(path, 'next'))
    const { pages } = await book.commit(batchOf(0, { want: CREDIT }))
    book.close()
    t.equal(opened.setAside, null, `${calls} calls`)
    t.match(pages, [{ share: CREDIT, isClosed: false }])
    const names = readdirSync(folder).filter((name) => name !== 'usage.db.damaged.lock') // it lapses
    t.same(names, ['usage.db'], 'nothing else is left')
    t.equal(statSync(path).mode & 0o777, 0o600)
    if (!isKilled) {
      t.ok(calls > 10)
      break
    }
  }
})

t.test('a new book has nothing of a deleted one, whose gateway was killed', async (t) => {
  const folder = t.testdir({ first: {}, killed: {} })
  const { book } = await BookDatabase.open(openingOf(usagePath(join(folder, 'first')), 'first'))
  await book.commit(batchOf(0, { want: 9 * CREDIT }))
  cpSync(join(folder, 'first'), join(folder, 'killed'), { recursive: true })
  book.close()
  const path = usagePath(join(folder, 'killed'))
  rmSync(path)
  t.ok(existsSync(`${path}-wal`))
  const ask = await open(t, path, 'next')
  t.match(await ask({ want: CREDIT }), { share: CREDIT, used: 0, heldElsewhere: 0 })
})

t.test('gateways that start at once share a new book', async (t) => {
  const path = usagePath(t.testdir({}))
  const asks = await Promise.all(['a', 'b', 'c'].map((id) => open(t, path, id)))
  const shares: (number | undefined)[] = []
  for (const ask of asks) shares.push((await ask({ want: 4 * CREDIT }))?.share)
  t.same(shares, [4 * CREDIT, 4 * CREDIT, 2 * CREDIT])
})

t.test('a book that is removed just before it is opened leaves no empty one', async (t) => {
  const path = usagePath(t.testdir({}))
  const { book } = await BookDatabase.open(openingOf(path, 'first'))
  book.close()
  const { stat } = fs.promises
  t.teardown(() => setFunctions({ stat }))
  let looks = 0
  setFunctions({
    stat: Object.assign(async (...args: Parameters<typeof stat>) => {
      const facts = await stat(...args)
      if (args[0] === path && ++looks === 2) rmSync(path)
      return facts
    }, stat)
  })
  await t.rejects(open(t, path, 'next'), /unable to open/)
  t.equal(looks, 2)
  t.notOk(existsSync(path))
})

t.test(
  'the name of a damaged book is that under which another gateway has set it aside',
  async (t) => {
    const path = await damagedBook(t)
    const { open: openHandle } = fs.promises
    t.teardown(() => setFunctions({ open: openHandle }))
    let isOver = false
    setFunctions({
      open: async (...args) => {
        if (String(args[0]).endsWith('.lock') && !isOver) {
          isOver = true
          t.ok(await openAndDie(path, 3), 'its mark, the rest of its changes and the book itself')
        }
        return openHandle(...args)
      }
    })
    const later = { ...openingOf(path, 'next'), now: NOON + 1_000 }
    const { book, opened } = await BookDatabase.open(later)
    t.teardown(() => book.destroy())
    t.ok(isOver)
    t.notOk(opened.setAside === null)
    t.ok(existsSync(String(opened.setAside)), String(opened.setAside))
  }
)

t.test('a book being set aside by another gateway is not taken for a missing one', async (t) => {
  const path = await damagedBook(t)
  const { lstat, rename } = fs.promises
  t.teardown(() => setFunctions({ lstat, rename }))
  const isAside = Promise.withResolvers<void>()
  let other: Promise<Awaited<ReturnType<typeof open>>> | null = null
  setFunctions({
    rename: async (from, to) => {
      await rename(from, to)
      if (from === path) isAside.resolve()
    },
    lstat: Object.assign(async (name: string) => {
      if (name === path && other === null) {
        other = open(t, path, 'other') // the first has found a file, and has not looked at it yet
        await isAside.promise
      }
      return lstat(name)
    }, lstat)
  })
  const one = await open(t, path, 'one')
  const two = await (other as Promise<Awaited<ReturnType<typeof open>>> | null)
  t.match(await one({ want: CREDIT }), { share: 0, isClosed: true })
  t.match(await two?.({ want: CREDIT }), { share: 0, isClosed: true })
})

t.test('a gateway that still runs brings back no open limits', async (t) => {
  const path = usagePath(t.testdir({}))
  const one = await open(t, path, 'one')
  t.match(await one({ want: 9 * CREDIT }), { share: 9 * CREDIT })
  const db = new DatabaseSync(path, { timeout: 20_000 })
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  writeFileSync(path, 'this is no database. '.repeat(1000))
  db.close()
  const other = await open(t, path, 'other')
  t.match(await one({ want: CREDIT }), { isClosed: true })
  t.match(await other({ want: CREDIT }), { isClosed: true })
})

t.test('a limit that was closed by damage opens with its next period', async (t) => {
  const path = await damagedBook(t)
  const ask = await open(t, path, 'next')
  t.match(await ask({ want: CREDIT }), { share: 0, isClosed: true })
  const week = periodAt('week', TODAY, NOON)
  t.match(await ask({ want: CREDIT, period: week }), { isClosed: true }, 'one that began before it')
  t.match(await ask({ key: 'k_2', want: CREDIT }), { share: 0, isClosed: true })
  t.match(await ask({ key: 'k_2', want: CREDIT, period: TOMORROW }), {
    share: CREDIT,
    used: 0,
    isClosed: false
  })
})

t.test('a book that another gateway has put in place of a damaged one stays', async (t) => {
  for (const slow of [1, 2, 3]) {
    const path = await damagedBook(t)
    const damaged = statSync(path).ino
    const { rename } = fs.promises
    t.teardown(() => setRename(rename))
    let renames = 0
    let other: Promise<Awaited<ReturnType<typeof open>>> | null = null
    setRename(async (from, to) => {
      if (String(from).startsWith(path) && ++renames === slow) {
        other = open(t, path, 'other')
        await Promise.race([other, sleep(500)]) // which now waits for this one, or has a new book by now
      }
      await rename(from, to)
    })
    const one = await open(t, path, 'one')
    setRename(rename)
    const inode = statSync(path).ino
    t.not(inode, damaged)
    const two = await (other as Promise<Awaited<ReturnType<typeof open>>> | null)
    t.match(await one({}), { isClosed: true })
    t.match(await two?.({}), { isClosed: true })
    t.equal(statSync(path).ino, inode, `rename ${slow}: both have the same`)
    const aside = readdirSync(dirname(path)).filter((name) => /\.damaged-[\dTZ-]+$/.test(name))
    t.equal(aside.length, 1)
    t.equal(statSync(join(dirname(path), aside[0] ?? '')).ino, damaged)
  }
})

t.test('blames another gateway only for a lock that it was seen to have', async (t) => {
  const path = await damagedBook(t)
  const { open: original } = fs.promises
  t.teardown(() => setFunctions({ open: original }))
  let stalls = 0
  setFunctions({
    open: async (...args) => {
      if (String(args[0]).endsWith('.lock') && stalls++ === 0) await sleep(1_500) // the disk
      return original(...args)
    }
  })
  let waits = 0
  const { book } = await BookDatabase.open(openingOf(path, 'one'), () => waits++)
  book.destroy()
  t.ok(stalls > 0)
  t.equal(waits, 0)
})

t.test('says whose lock it has waited for in vain', async (t) => {
  const path = await damagedBook(t)
  const held = { owner: 'x', place: 'elsewhere', pid: 1, expiresAt: '2100-01-01T00:00:00Z' }
  writeFileSync(`${path}.damaged.lock`, JSON.stringify(held))
  const timeout = AbortSignal.timeout.bind(AbortSignal)
  t.teardown(() => Object.assign(AbortSignal, { timeout }))
  Object.assign(AbortSignal, { timeout: () => timeout(200) })
  await t.rejects(BookDatabase.open(openingOf(path, 'one')), /^another gateway is making the file/)
})

t.test(
  'a book that is restored while a new one is made stays, with what lies beside it',
  async (t) => {
    for (const moment of ['written', 'named'] as const) {
      const folders = t.testdir({ kept: {}, new: {} })
      const [kept, path] = [usagePath(join(folders, 'kept')), usagePath(join(folders, 'new'))]
      const { book } = await BookDatabase.open(openingOf(kept, 'first'))
      await book.commit(batchOf(0, { want: 9 * CREDIT }))
      let isRestored = false
      const restore = (): void => {
        if (isRestored) return
        isRestored = true
        for (const end of ['', '-wal']) cpSync(kept + end, path + end)
      }
      const { open: opened, link, rename } = fs.promises
      t.teardown(() => setFunctions({ open: opened, link, rename }))
      const at = (name: string, file: unknown): void => {
        if (name === moment && /\.usage\.db\..*\.tmp$/.test(String(file))) restore()
      }
      setFunctions({
        open: (...args) => {
          at('written', args[0])
          return opened(...args)
        },
        link: (...args) => {
          at('named', args[0])
          return link(...args)
        },
        rename: (...args) => {
          at('named', args[0])
          return rename(...args)
        }
      })
      const ask = await open(t, path, 'next')
      setFunctions({ open: opened, link, rename })
      t.ok(isRestored)
      t.match(await ask({}), { heldElsewhere: 9 * CREDIT }, moment)
      t.same(
        readdirSync(dirname(path)).filter((name) => name.endsWith('.tmp')),
        []
      )
      book.destroy()
    }
  }
)

t.test('a book is made where files cannot be linked', async (t) => {
  const path = usagePath(t.testdir({}))
  const { link } = fs.promises
  t.teardown(() => setFunctions({ link }))
  setFunctions({ link: () => Promise.reject(Object.assign(new Error(), { code: 'EPERM' })) })
  const ask = await open(t, path, 'one')
  t.match(await ask({ want: CREDIT }), { share: CREDIT })
})

function setRename(rename: typeof fs.promises.rename): void {
  setFunctions({ rename })
}

function setFunctions(functions: Partial<typeof fs.promises>): void {
  Object.assign(fs.promises, functions)
  syncBuiltinESMExports()
}
