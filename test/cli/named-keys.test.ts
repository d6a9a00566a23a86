import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { stepsFor } from '../../src/cli/key/next-steps.ts'
import { BookDatabase } from '../../src/control/book/book-database.ts'
import type { PageAsk } from '../../src/control/book/book-messages.ts'
import { usagePath } from '../../src/control/book/usage-sums.ts'
import { periodAt } from '../../src/keys/period.ts'
import { markOf } from '../../src/shared/process-mark.ts'
import { runKiroGateway } from '../helper/cli-process.ts'
import { runCommandHere } from '../helper/command-here.ts'
import { hashOfKey } from '../helper/named-key.ts'
import { isNightly } from '../helper/nightly.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const KEY = /^kgw_[\w-]{43}\n$/

/** `kiro-gateway key …` in a folder of its own. */
function rig(t: Test) {
  const cwd = t.testdir({})
  const path = join(cwd, 'state', 'keys.json')
  const place = { cwd, env: { STATE_DIR: join(cwd, 'state') } }
  const run = (...args: readonly string[]) => runCommandHere(['key', ...args], place)
  const runAlone = (...args: readonly string[]) => runKiroGateway(['key', ...args], place)
  const json = async (...args: readonly string[]) =>
    JSON.parse((await run(...args, '--json')).stdout)
  return { path, run, runAlone, json, text: () => readFileSync(path, 'utf8') }
}

t.test('kiro-gateway key reopen says which keys were not closed', async (t) => {
  const { path, run, json } = rig(t)
  const [anna, ben] = [await json('add', 'anna', '--credits', '10/total'), 'ben']
  for (const args of [[ben, '--credits', '5/day'], ['dana']]) await run('add', ...args)
  const wasOpen = { code: 0, stderr: /Not closed by a damaged usage.db, so nothing changes: anna/ }
  t.match(await run('reopen', 'anna'), wasOpen, 'without a book')
  const book = usagePath(dirname(path))
  writeFileSync(book, '') // which is damaged
  const now = Date.now()
  const period = periodAt('total', null, now)
  const ask = { key: anna.id, period, cap: 1, want: 1, release: 0, createdAt: 0, reopened: null }
  await commitTo(book, now, [ask])
  await run('add', 'chloe', '--credits', '5/week')
  t.same(await json('reopen', '--all'), { reopened: ['anna', ben], open: ['chloe'] })
  t.notMatch((await run('reopen', 'anna', '--used', '1')).stderr, /Not closed/)
  t.match(await run('reopen', 'dana'), { code: 0, stderr: /Not closed .*: dana/ })
  await commitTo(book, now, [{ ...ask, reopened: { at: now + 1, used: 0 } }])
  t.match(await run('reopen', '--all'), {
    code: 0,
    stderr: /Reopened: ben\.\nNot closed .*: anna, chloe\./
  })
  t.match(await run('reopen', 'anna'), wasOpen)
})

async function commitTo(path: string, now: number, asks: readonly PageAsk[]): Promise<void> {
  const run = { id: 'x', mark: markOf(process.pid) }
  const opening = { path, now, run, isKept: true, periods: [], damagedFile: null }
  const { book } = await BookDatabase.open(opening)
  const nothing = {
    rows: [],
    sums: [],
    names: [],
    charges: [],
    prices: [],
    audit: [],
    pruneBefore: 0
  }
  await book.commit({ ...nothing, seq: 0, now, isKept: true, asks })
  book.close()
}

t.test('kiro-gateway key add', async (t) => {
  await t.test('prints the key once and keeps its hash', async (t) => {
    const { path, run, runAlone, text } = rig(t)
    const { code, stdout, stderr } = await runAlone('add', 'anna', '--credits', '200/month')
    t.match(
      { code, stdout, stderr },
      { code: 0, stdout: KEY, stderr: /From now on every request needs a key/ }
    )
    t.match(stderr, 'npx --yes kiro-gateway setup claude --url http://127.0.0.1:8000 --key KEY')
    t.match(stderr, /set up without a key are refused until.* "\S.* setup claude"/)
    t.match(stderr, /listens on 127\.0\.0\.1, so this works on this machine only/)
    const made = stdout.trim()
    t.notMatch(text(), made.slice(4, 20))
    t.match(JSON.parse(text()), {
      keys: [{ name: 'anna', hashes: [{ sha256: hashOfKey(made).sha256 }] }]
    })
    t.equal(statSync(path).mode & 0o777, 0o600)
    t.match(await run('add', 'ANNA'), {
      code: 2,
      stdout: '',
      stderr: /A key "anna" already exists/
    })
  })

  await t.test('makes room in a full file by the key that was revoked first', async (t) => {
    const { path, run, json, text } = rig(t)
    await run('add', 'anna')
    const { version, keys } = JSON.parse(text())
    const more = Array.from({ length: 999 }, (_, i) => ({
      id: `k_${i}`,
      name: `person ${i}`,
      hashes: [hashOfKey(`${i}`)],
      ...(i < 2 && { revokedAt: new Date(Date.UTC(2026, 0, 2 - i)).toISOString() })
    }))
    writeFileSync(path, JSON.stringify({ version, keys: [...keys, ...more] }))
    for (const name of ['ben', 'carl']) t.match(await run('add', name), { code: 0 })
    const names = (await json('list')).keys.map((one: { name: string }) => one.name)
    t.same(
      [names.length, names.includes('person 0'), names.includes('person 1')],
      [1000, false, false]
    )
    t.match(await run('add', 'dora'), { code: 2, stderr: /There are already 1000 keys/ })
  })

  // It takes half a minute.
  await t.test('outlasts the lock of a killed container', { skip: !isNightly }, async (t) => {
    const { path, run } = rig(t)
    await run('add', 'anna')
    const lock = { owner: 'x', place: 'elsewhere', pid: 1, expiresAt: '2100-01-01T00:00:00Z' }
    writeFileSync(join(dirname(path), '.keys.json.lock'), JSON.stringify(lock))
    t.match(await run('add', 'ben'), { code: 0, stdout: KEY })
  })

  await t.test('takes every limit, and says what is wrong with one', async (t) => {
    const { run, json, path } = rig(t)
    for (const [option, value] of [
      ['credits', '0/day'],
      ['credits', '1e99/day'],
      ['requests-per-minute', '-1'],
      ['max-streams', '2.5'],
      ['models', 'a b'],
      ['expires', '2020-01-01']
    ] as const) {
      t.match(await run('add', 'ben', `--${option}=${value}`), {
        code: 2,
        stdout: '',
        stderr: value
      })
    }
    t.match(await run('add', '../ben'), { code: 2, stderr: /cannot be the name/ })
    t.throws(() => statSync(path), 'nothing was made')
    const limits = [
      '--credits=10/day',
      '--requests-per-minute=30',
      '--max-streams=4',
      '--models=auto,claude-*'
    ]
    const lastDay = '2099-01-31'
    t.match(await json('add', 'ben', ...limits, `--expires=${lastDay}`), {
      key: /^kgw_/,
      name: 'ben',
      state: 'in force',
      credits: { limit: 10, period: 'day' },
      requestsPerMinute: 30,
      maxStreams: 4,
      models: ['auto', 'claude-*'],
      expiresAt: '2099-02-01T00:00:00.000Z'
    })
    t.match((await run('list')).stdout, new RegExp(`^ben .* ${lastDay}\\b`, 'm'), 'as it was given')
  })

  await t.test('loses none of two at once', async (t) => {
    const { runAlone, json } = rig(t)
    const outcomes = await Promise.all([runAlone('add', 'anna'), runAlone('add', 'ben')])
    t.same(
      outcomes.map(({ code }) => code),
      [0, 0]
    )
    const { keys } = await json('list')
    t.same(keys.map(({ name }: { name: string }) => name).toSorted(), ['anna', 'ben'])
  })
})

t.test('kiro-gateway key set, show, rotate, revoke, list', async (t) => {
  const { run, json, text, path } = rig(t)
  t.match(await run('list'), { code: 0, stdout: '', stderr: /no named keys/ })
  const { key, id } = await json('add', 'anna', '--credits=5/week')
  t.match(await json('set', 'anna', '--credits=7/week', '--max-streams=2'), {
    id,
    credits: { limit: 7 },
    maxStreams: 2
  })
  t.match(await json('set', 'anna', '--credits=none', '--name=anne'), {
    name: 'anne',
    credits: null
  })
  t.match(await json('set', 'anne', '--overage'), { overage: true, maxStreams: 2 })
  t.match(await run('show', 'anne'), { stdout: /overage +allowed/ })
  t.match(await run('set', 'anne', '--overage', '--no-overage'), { code: 2, stderr: /either/ })
  t.match(await json('set', 'anne', '--no-overage'), { overage: false })
  t.notOk('overage' in JSON.parse(text()).keys[0])
  t.match(await run('set', 'anne'), { code: 2, stderr: /needs at least one option to change/ })
  t.match(await run('show', 'anna'), { code: 2, stderr: /no key "anna"\. There are: anne/ })

  const rotated = await json('rotate', 'anne', '--grace=1h')
  t.match(rotated, { id, maxStreams: 2, oldKeyUntil: /^2/ })
  t.not(rotated.key, key)
  const [entry] = JSON.parse(text()).keys
  t.same(
    entry.hashes.map(({ sha256 }: { sha256: string }) => sha256),
    [hashOfKey(rotated.key).sha256, hashOfKey(key).sha256]
  )

  t.match(await run('revoke', 'anne'), {
    code: 0,
    stdout: /^anne can no longer get in: .* within a second\./
  })
  t.match(await run('revoke', 'anne'), { code: 2, stderr: /is already revoked/ })
  t.match(await run('show', 'anne'), { code: 0, stdout: /state +revoked/ })
  t.match(await run('add', 'anne'), { code: 0 }, 'its name is free again')
  const { code, stdout } = await run('list')
  t.equal(code, 0)
  t.match(
    stdout,
    /^NAME +STATE +USED +LEFT +CREDITS +LAST SEEN +STREAMS\nanne +revoked .*\nanne +in force .*\n$/
  )

  writeFileSync(path, '{"version": 1,')
  t.match(await run('list'), { code: 2, stderr: /keys\.json is not a complete JSON object/ })
  t.match(await run('add', 'ben'), { code: 2, stderr: /is not a complete JSON object/ })
  t.equal(text(), '{"version": 1,')
})

t.test('kiro-gateway key, called wrongly', async (t) => {
  const { run } = rig(t)
  for (const [args, problem] of [
    [[], /expected one of add, list, show, set, rotate, revoke, reopen, new/],
    [['toString'], /expected one of add/],
    [['add'], /"add" needs the name of a key/],
    [['add', 'a', 'b'], /"add" takes one name/],
    [['list', 'a'], /"list" takes no name/],
    [['revoke', 'a', '--credits', '5/day'], /"revoke" does not take --credits/]
  ] as const) {
    t.match(await run(...args), { code: 2, stdout: '', stderr: problem })
  }
})

function stepsIn(SERVER_HOST: string, isInContainer: boolean): string {
  const call = { env: { SERVER_HOST, PROXY_API_KEY: 'sk-0123456789abcdef' }, terminal: {} } as never
  const place = { isInContainer, address: '172.17.0.2' }
  return stepsFor(call, { name: 'anna', secret: 'kgw_x' }, place).join('\n')
}

t.test('stepsFor() gives the address by which others reach the gateway', async (t) => {
  t.match(stepsIn('0.0.0.0', false), 'setup claude --url http://172.17.0.2:8000 --key KEY')
  const contained = stepsIn('0.0.0.0', true)
  t.match(contained, 'setup claude --url http://ADDRESS:8000 --key KEY')
  t.match(contained, 'ADDRESS:8000 is the address at which you reach this gateway')
  t.notMatch(contained, '172.17.0.2', 'which is that of the container alone')
  t.notMatch(stepsIn('127.0.0.1', true), 'ADDRESS')
})
