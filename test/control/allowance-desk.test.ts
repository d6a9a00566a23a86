import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { basename, join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { parseJournal } from '../../src/admission/allowance-journal.ts'
import { AllowanceStore } from '../../src/control/allowances/allowance-store.ts'
import { markOf } from '../../src/shared/process-mark.ts'
import { usageRow } from '../helper/usage-row.ts'
import { recordedLog } from '../helper/recorded-log.ts'
import type { Share } from '../../src/admission/allowances.ts'
import { MICROS_PER_CREDIT as CREDIT } from '../../src/keys/key.ts'
import { namedKey, perDay, Team, type TeamWorker } from '../helper/allowance-team.ts'

/** What came of so many requests at once, each of one credit. */
async function rush(workers: readonly TeamWorker[], count: number): Promise<readonly Share[]> {
  const outcomes = await Promise.allSettled(
    Array.from({ length: count }, async (_, i) => workers[i % workers.length]?.takeCredit())
  )
  return outcomes.flatMap((one) => (one.status === 'fulfilled' ? (one.value ?? []) : []))
}

function filesOf(stateDir: string): readonly string[] {
  return readdirSync(join(stateDir, 'credits'))
}

/** Waits until something holds, and no longer than ten seconds. */
async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!holds() && performance.now() < deadline) {
    await new Promise((resume) => setTimeout(resume, 2))
  }
}

async function quiet(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await turn()
}

t.test('AllowanceDesk', (t) => {
  const anna = namedKey('anna', { credits: perDay(10) })

  t.test('lets exactly ten of a hundred pass, and refuses the rest at once', async (t) => {
    for (const count of [1, 2, 4]) {
      const team = await Team.start(t.testdir({}), [anna], count)
      const shares = await rush(team.workers, 100)
      t.equal(shares.length, 10, `${count} workers`)
      for (const share of shares) share.settle(CREDIT)
      await quiet()
      t.equal((await rush(team.workers, 4)).length, 0)
      t.match(team.desk.creditsOf('anna'), { limit: 10 * CREDIT })
      await team.close()
      t.match(team.desk.creditsOf('anna'), { used: 10 * CREDIT, reserved: 0 })
    }
  })

  t.test(
    'starts whatever lies in its folder',
    { skip: process.platform === 'win32' },
    async (t) => {
      const stateDir = t.testdir({ credits: {} })
      const run = 'f'.repeat(32)
      const names = ['rows-RUN-a-0', 'worker-RUN-a', 'settled-RUN.json'].map((name) =>
        join(stateDir, 'credits', name.replace('RUN', run))
      )
      execFileSync('mkfifo', names) // to read one would wait for somebody who writes
      const team = await Team.start(stateDir, [anna], 1)
      t.equal((await rush(team.workers, 20)).length, 10)
      await team.close()
    }
  )

  t.test('finds what very many workers have left, some at a time', async (t) => {
    const stateDir = t.testdir({ credits: {} })
    const run = 'e'.repeat(32)
    const gone = JSON.stringify({ processes: [{ ...markOf(process.pid), start: '1' }] })
    for (let n = 0; n < 1_500; n += 1) {
      writeFileSync(join(stateDir, 'credits', `rows-${run}-w${n}-0`), `${gone}\n`)
    }
    const { log } = recordedLog()
    const { left } = await new AllowanceStore({ stateDir, log }).survey()
    t.equal(left.length, 1_000)
    t.ok(left.every(({ files }) => files.length === 1))
  })

  t.test('opens no file without a limit', async (t) => {
    const stateDir = t.testdir({})
    const team = await Team.start(stateDir, [namedKey('ben')], 1)
    t.equal(team.desk.creditsOf('ben'), null)
    await team.close()
    t.same(readdirSync(stateDir), [])
  })

  t.test('takes what a dead worker had reserved for used, and has its lease back', async (t) => {
    const team = await Team.start(t.testdir({}), [anna], 2)
    const [first, second] = team.workers as [TeamWorker, TeamWorker]
    const held = await Promise.all([first.takeCredit(), first.takeCredit(), first.takeCredit()])
    held[0]?.settle(CREDIT / 2)
    await turn() // it has no row in the same turn
    team.kill(first)
    t.match(team.lost, [
      { name: 'anna/credits', used: CREDIT / 2, reserved: 2 * CREDIT, recorded: 0 }
    ])
    t.equal(team.lost.length, 1)
    const rest = await second.take('anna/credits', 7.5 * CREDIT)
    rest.settle(7.5 * CREDIT)
    t.equal((await rush([second], 3)).length, 0)
    await team.close()
  })

  t.test('knows from its last rows where a dead worker was', async (t) => {
    const stateDir = t.testdir({})
    const team = await Team.start(stateDir, [anna], 1)
    const [worker] = team.workers as [TeamWorker]
    const [first, second] = [await worker.takeCredit(), await worker.takeCredit()]
    first.settle(CREDIT / 4)
    worker.record(first, usageRow({ key: 'anna', credits: CREDIT / 4 }))
    await quiet()
    const written = () => parseJournal(readFileSync(worker.path, 'latin1'))
    t.match(written(), [{ used: 0, reserved: 2 * CREDIT }], 'that is one write less')
    second.settle(CREDIT / 4)
    worker.record(second, usageRow({ key: 'anna', credits: CREDIT / 4 }))
    team.kill(worker)
    const known = { used: CREDIT / 2, reserved: 0, recorded: CREDIT / 2 }
    t.match(team.lost, [known])
    t.match(team.desk.creditsOf('anna'), { used: CREDIT / 2, reserved: 0 })
    await team.close()
  })

  t.test('and after a restart, also when the rows are gone then', async (t) => {
    const stateDir = t.testdir({})
    const team = await Team.start(stateDir, [anna], 1)
    const [worker] = team.workers as [TeamWorker]
    const share = await worker.takeCredit()
    share.settle(CREDIT / 4)
    worker.record(share, usageRow({ key: 'anna', credits: CREDIT / 4 }))
    team.killAll()
    const rows = filesOf(stateDir).find((name) => name.startsWith('rows-')) ?? ''
    const path = join(stateDir, 'credits', rows)
    const [, ...lines] = readFileSync(path, 'utf8').split('\n')
    const gone = JSON.stringify({ processes: [{ ...markOf(process.pid), start: '1' }] })
    writeFileSync(path, [gone, ...lines].join('\n'))
    const known = [{ used: CREDIT / 4, reserved: 0, recorded: CREDIT / 4 }]
    const { log } = recordedLog()
    const store = new AllowanceStore({ stateDir, log, staleMs: 0 })
    for (const _ of [1, 2]) {
      const { left, inherited } = await store.survey()
      t.match(left[0]?.entries, known)
      t.match(inherited.get('anna'), { settled: CREDIT / 4 })
      // The record has them, and the next run dies before it has saved what it has taken over.
      rmSync(path, { force: true })
    }
    await team.close()
  })

  t.test('is where it was after a restart, whoever was killed', async (t) => {
    const stateDir = t.testdir({})
    for (const isKilled of [true, false, true]) {
      const team = await Team.start(stateDir, [anna], 2)
      const shares = await rush(team.workers, 2)
      shares[0]?.settle(CREDIT / 4)
      shares[1]?.settle(CREDIT / 4)
      await rush(team.workers, 1)
      await turn()
      if (isKilled) team.killAll()
      else await team.close()
      await team.desk.close()
    }
    const team = await Team.start(stateDir, [anna], 1)
    const { used, reserved } = team.desk.creditsOf('anna') ?? { used: 0, reserved: 0 }
    t.same({ used, reserved }, { used: 4.5 * CREDIT, reserved: 0 })
    await team.close()
    const left = filesOf(stateDir)
    t.equal(left.filter((name) => name.startsWith('worker-')).length, 0, 'no journal is left')
  })

  t.test('inherits from runs that are gone, and removes their files', async (t) => {
    const stateDir = t.testdir({})
    const ended = await Team.start(stateDir, [anna], 1)
    for (const share of await rush(ended.workers, 2)) share.settle(CREDIT)
    await ended.close()
    const killed = await Team.start(stateDir, [anna], 1)
    await rush(killed.workers, 3)
    killed.killAll()
    await killed.desk.close()
    const next = await Team.start(stateDir, [anna], 1, { staleMs: 0, surveyMs: 1 })
    t.match(next.desk.creditsOf('anna'), { used: 5 * CREDIT })
    while (filesOf(stateDir).length > 1) await turn()
    t.match(next.desk.creditsOf('anna'), { used: 5 * CREDIT })
    t.match(
      next.lost,
      [{ name: 'anna/credits', reserved: 3 * CREDIT }],
      'of which there is no record'
    )
    t.equal((await rush(next.workers, 20)).length, 5)
    await next.close()
    t.equal(filesOf(stateDir).length, 1)
  })

  t.test('counts what another gateway on the same folder uses', async (t) => {
    const stateDir = t.testdir({})
    const pace = { surveyMs: 1 }
    const one = await Team.start(stateDir, [anna], 1, pace)
    const other = await Team.start(stateDir, [anna], 1, pace)
    const shares = await rush(one.workers, 3)
    shares[0]?.settle(CREDIT / 2)
    while (other.desk.creditsOf('anna')?.used !== 2.5 * CREDIT) await turn()
    t.equal((await rush(other.workers, 20)).length, 7)
    shares[1]?.settle(0)
    while (other.desk.creditsOf('anna')?.used !== 1.5 * CREDIT) await turn()
    await one.close()
    await other.close()
    const last = await Team.start(stateDir, [anna], 1)
    t.match(last.desk.creditsOf('anna'), { used: 8.5 * CREDIT })
    await last.close()
  })

  t.test('is told what was used without asking for it, and without further requests', async (t) => {
    const team = await Team.start(t.testdir({}), [anna], 2)
    const shares = await rush(team.workers, 4)
    await until(() => team.desk.creditsOf('anna')?.reserved === 4 * CREDIT)
    const began = performance.now()
    for (const share of shares) share.settle(CREDIT / 100)
    await until(() => team.desk.creditsOf('anna')?.used === CREDIT / 25)
    const afterMs = performance.now() - began
    t.comment(`known after ${Math.round(afterMs)} ms`)
    t.match(team.desk.creditsOf('anna'), { used: CREDIT / 25, reserved: 0 })
    await team.close()
  })

  t.test('hears of many requests in few messages, and of nothing while none comes', async (t) => {
    const key = namedKey('anna', { credits: perDay(1_000_000) })
    const team = await Team.start(t.testdir({}), [key], 1)
    const [worker] = team.workers as [TeamWorker]
    const before = worker.sent
    const began = performance.now()
    for (let count = 0; count < 2_000; count += 1) {
      ;(await worker.takeCredit()).settle(CREDIT / 100)
      if (count % 100 === 0) await turn()
    }
    await until(() => team.desk.creditsOf('anna')?.used === 20 * CREDIT)
    const seconds = (performance.now() - began) / 1_000
    t.ok(worker.sent - before <= 4 + seconds * 6, `${worker.sent - before} messages`)
    const told = worker.sent
    await new Promise((resume) => setTimeout(resume, 500))
    t.equal(worker.sent, told)
    worker.silence.abort()
    ;(await worker.takeCredit()).settle(1)
    await new Promise((resume) => setTimeout(resume, 500))
    t.equal(worker.sent, told, 'a primary that hangs is told nothing')
    await team.close()
  })

  t.test('looks again after a look that has failed', async (t) => {
    const stateDir = t.testdir({})
    const team = await Team.start(stateDir, [anna], 1, { surveyMs: 1 })
    const survey = team.store.survey.bind(team.store)
    let looks = 0
    team.store.survey = () => {
      looks += 1
      return looks === 1 ? Promise.reject(new Error('a disk that is gone')) : survey()
    }
    await rush(team.workers, 1)
    await until(() => looks > 2)
    t.match(team.log.text(), /a disk that is gone/)
    await team.close()
  })

  t.test('counts no journal twice when it dies before it has removed it', async (t) => {
    const stateDir = t.testdir({})
    const team = await Team.start(stateDir, [anna], 1)
    const [worker] = team.workers as [TeamWorker]
    await worker.takeCredit()
    const journal = readFileSync(worker.path)
    team.kill(worker)
    await team.desk.close()
    t.equal(existsSync(worker.path), false)
    const [file = ''] = filesOf(stateDir)
    const path = join(stateDir, 'credits', file)
    const saved = JSON.parse(readFileSync(path, 'utf8'))
    writeFileSync(worker.path, journal)
    writeFileSync(path, JSON.stringify({ ...saved, taken: [basename(worker.path)] }))
    const next = await Team.start(stateDir, [anna], 1)
    t.match(next.desk.creditsOf('anna'), { used: CREDIT })
    await next.close()
  })

  t.test('begins a new period in time, with all of the limit', async (t) => {
    const team = await Team.start(t.testdir({}), [anna], 2)
    for (const share of await rush(team.workers, 10)) share.settle(CREDIT)
    const late = await rush(team.workers, 1)
    t.equal(late.length, 0)
    team.now = Date.parse('2026-11-27T00:00:00Z')
    t.equal((await rush(team.workers, 30)).length, 10)
    team.now = Date.parse('2026-11-26T23:00:00Z')
    t.equal((await rush(team.workers, 30)).length, 0, 'the clock was set back')
    await team.close()
  })

  t.test('obeys another limit at once', async (t) => {
    const team = await Team.start(t.testdir({}), [anna], 2)
    for (const share of await rush(team.workers, 4)) share.settle(CREDIT)
    team.desk.setKeys([namedKey('anna', { credits: perDay(3) })])
    await quiet()
    t.equal((await rush(team.workers, 5)).length, 0)
    team.desk.setKeys([namedKey('anna', { credits: perDay(6) })])
    t.equal((await rush(team.workers, 5)).length, 2)
    team.desk.setKeys([namedKey('anna')])
    t.equal((await rush(team.workers, 50)).length, 50)
    team.desk.setKeys([])
    await quiet()
    t.equal((await rush(team.workers, 5)).length, 0, 'a key that is gone')
    await team.close()
  })

  t.test('counts requests by the minute, and streams while they run', async (t) => {
    const ben = namedKey('ben', { requestsPerMinute: 3, maxStreams: 2 })
    const stateDir = t.testdir({})
    const team = await Team.start(stateDir, [ben], 2)
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
    t.same(readdirSync(stateDir), [], 'neither has to outlast the processes')
  })

  t.test(
    'refuses those who wait when the primary is silent, the client leaves or it drains',
    async (t) => {
      const team = await Team.start(t.testdir({}), [anna], 0)
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
      worker.close()
      await team.close()
    }
  )

  t.test('goes on when nothing can be saved, and says so once', async (t) => {
    const stateDir = t.testdir({ credits: 'a file where a folder should be' })
    const team = await Team.start(stateDir, [anna], 0)
    team.desk.creditsOf('anna')
    team.desk.setKeys([namedKey('anna', { credits: perDay(4) })])
    await team.desk.close()
    team.desk.setKeys([namedKey('anna', { credits: perDay(5) })])
    await team.desk.close()
    t.equal(team.log.lines.filter((line) => line.includes('cannot be saved')).length, 1)
  })

  t.test('says what it cannot believe, and goes on without it', async (t) => {
    const run = '0'.repeat(32)
    for (const text of [
      '{"version":1',
      '{"version":2,"credits":{},"taken":[]}',
      '{"version":1,"credits":{"anna":{"period":{"number":1},"settled":-1}},"taken":[]}'
    ]) {
      const files = { [`settled-${run}.json`]: text, [`worker-${run}-x`]: 'damaged', other: '' }
      const stateDir = t.testdir({ credits: files })
      const team = await Team.start(stateDir, [anna], 1)
      t.match(team.desk.creditsOf('anna'), { used: 0 })
      t.match(team.log.text(), /used credits cannot be read/)
      t.match(team.log.text(), /journal of a worker is damaged/)
      await team.close()
      t.ok(filesOf(stateDir).includes('other'), 'what is not ours stays')
    }
  })

  t.test('believes a journal where nothing else was saved', async (t) => {
    const stateDir = t.testdir({})
    const team = await Team.start(stateDir, [anna], 1)
    const [worker] = team.workers as [TeamWorker]
    const [share] = await rush(team.workers, 1)
    share?.settle(CREDIT)
    team.killAll()
    await team.desk.close()
    const fresh = join(t.testdirName, 'fresh')
    mkdirSync(join(fresh, 'credits'), { recursive: true })
    copyFileSync(worker.path, join(fresh, 'credits', basename(worker.path)))
    const next = await Team.start(fresh, [anna], 1)
    t.match(next.desk.creditsOf('anna'), { used: CREDIT })
    t.equal((await rush(next.workers, 20)).length, 9)
    await next.close()
  })

  t.test('counts on where a key loses its limit, or is gone, for a while', async (t) => {
    const team = await Team.start(t.testdir({}), [anna], 1)
    for (const share of await rush(team.workers, 4)) share.settle(CREDIT)
    for (const keys of [[], [namedKey('anna')]]) {
      team.desk.setKeys(keys)
      await quiet()
      team.desk.setKeys([anna])
      await quiet()
    }
    t.equal((await rush(team.workers, 20)).length, 6)
    await team.close()
  })
  t.end()
})
