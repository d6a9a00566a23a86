import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { usagePath } from '../../src/control/book/usage-sums.ts'
import { until } from '../helper/fleet-team.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { OwnDisk } from '../helper/own-disk.ts'
import { PanelClient, type PanelReply } from '../helper/panel-client.ts'
import { skipByDay } from '../helper/nightly.ts'

/* Changes of the panel while processes are killed, and while `usage.db` cannot be used. */

t.setTimeout(600_000) // processes, on a machine that may be very busy
t.jobs = 1

const OPERATOR = 'operator-key-of-the-panel'
const KEYS = '/admin/v1/keys'
const AUDIT = '/admin/v1/audit?limit=500'

interface Named {
  readonly name: string
}

const namesOf = async (program: PanelClient): Promise<readonly string[]> => {
  const { keys } = (await program.get(KEYS)).json
  return keys.map(({ name }: Named) => name)
}

const addedOf = async (program: PanelClient): Promise<readonly string[]> => {
  const { entries } = (await program.get(AUDIT)).json
  return entries
    .filter(({ action }: { action: string }) => action === 'key.add')
    .map(({ subject }: { subject: string }) => subject)
}

/** Fails after two minutes instead of the whole file's time. */
async function soon(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 120_000
  await until(async () => {
    if (performance.now() > deadline) throw new Error('not in time')
    return isSo().catch(() => false)
  })
}

/** Adds keys one after the other until the gateway is gone; resolves with those that were confirmed. */
async function addUntilGone(program: PanelClient, prefix: string, most: number): Promise<string[]> {
  const confirmed: string[] = []
  for (let n = 0; n < most; n++) {
    const name = `${prefix}${n}`
    const reply = await program.post(KEYS, { name }).catch(() => null)
    if (reply?.status === 201) confirmed.push(name)
  }
  return confirmed
}

t.test('a worker or the gateway is killed in the middle of changes', async (t) => {
  const stateDir = t.testdir({})
  const env = { PROXY_API_KEY: OPERATOR, WORKERS: '2', STATE_DIR: stateDir }
  const first = await startGateway({ env })
  t.teardown(() => first.destroy())
  const program = PanelClient.withKey(first.url, OPERATOR)
  const adding = Promise.all(['a', 'b', 'c', 'd'].map((one) => addUntilGone(program, one, 10)))
  await until(async () => (await namesOf(program).catch(() => [])).length > 4)
  const [pid = 0] = first.workerPids()
  process.kill(pid, 'SIGKILL')
  const confirmed = (await adding).flat()
  t.ok(confirmed.length >= 20, `${confirmed.length} of 40 confirmed`)
  const names = await namesOf(program)
  t.same(
    confirmed.filter((name) => !names.includes(name)),
    [],
    'each confirmed one is there'
  )
  t.same((await addedOf(program)).toSorted(), [...names].toSorted(), 'and written down, once')

  const more = Promise.all(['e', 'f', 'g', 'h'].map((one) => addUntilGone(program, one, 10)))
  await until(async () => (await namesOf(program)).length > names.length + 2)
  first.child.kill('SIGKILL')
  await first.exited
  const late = (await more).flat()
  const second = await startGateway({ env })
  t.teardown(() => second.destroy())
  const after = PanelClient.withKey(second.url, OPERATOR)
  const found = await namesOf(after)
  t.same(
    [...confirmed, ...late].filter((name) => !found.includes(name)),
    []
  )
  const written = await addedOf(after)
  t.same(
    late.filter((name) => !written.includes(name)),
    [],
    'what was confirmed is written down'
  )
  t.same(
    written.filter((name) => !found.includes(name)),
    [],
    'and nothing that was not done'
  )
  const again = await after.post(KEYS, { name: 'i' })
  t.equal(again.status, 201, 'changes go on')
  const file = JSON.parse(readFileSync(join(stateDir, 'keys.json'), 'utf8'))
  t.equal(file.keys.length, found.length + 1)
})

t.test('twenty operators change one key at once', async (t) => {
  const gateway = await startGateway({ env: { PROXY_API_KEY: OPERATOR, WORKERS: '2' } })
  t.teardown(() => gateway.destroy())
  const program = PanelClient.withKey(gateway.url, OPERATOR)
  const { key } = (await program.post(KEYS, { name: 'anna' })).json
  const own = `${KEYS}/${key.id}`
  const attempts = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      program.post(n % 4 === 3 ? `${own}/rotate` : own, {
        version: key.version,
        max_streams: n + 1
      })
    )
  )
  const statuses = Map.groupBy(attempts, ({ status }) => status)
  t.equal(statuses.get(200)?.length, 1, 'one is saved')
  t.equal(statuses.get(412)?.length, 19, 'all others are told')
  const [saved] = statuses.get(200) ?? []
  const shown = (await program.get(own)).json.key
  t.equal(shown.version, saved?.json.key.version)
  for (const { json } of statuses.get(412) ?? [])
    t.match(json, { error: { code: 'GW_CHANGED_MEANWHILE' }, key: { id: key.id } })
  t.equal((await program.get(AUDIT)).json.entries.length, 2, 'one change is written down')
})

const READS = ['/admin/v1/requests', '/admin/v1/usage', '/admin/v1/audit', KEYS, '/admin/v1/state']

async function readAll(program: PanelClient): Promise<readonly PanelReply[]> {
  return Promise.all(READS.map((path) => program.get(path)))
}

t.test('usage.db is locked', { skip: skipByDay }, async (t) => {
  const stateDir = t.testdir({})
  const env = { PROXY_API_KEY: OPERATOR, STATE_DIR: stateDir }
  const gateway = await startGateway({ env })
  t.teardown(() => gateway.destroy())
  const program = PanelClient.withKey(gateway.url, OPERATOR)
  t.equal((await program.post(KEYS, { name: 'before' })).status, 201)
  const other = new DatabaseSync(usagePath(stateDir))
  t.teardown(() => other.close())
  other.exec('BEGIN IMMEDIATE')
  t.equal((await program.post(KEYS, { name: 'meanwhile' })).status, 201, 'changes are made')
  const found = await readAll(program)
  t.same(
    found.map(({ status }) => status),
    READS.map(() => 200),
    'what is there is shown'
  )
  const own = PanelClient.withKey(gateway.url, OPERATOR)
  t.equal((await own.get('/v1/models')).status, 200, 'clients are served')
  other.exec('ROLLBACK')
  await until(async () => (await addedOf(program)).includes('meanwhile'))
  t.same(await addedOf(program), ['meanwhile', 'before'], 'written down later')
})

const damages: readonly (readonly [about: string, damage: (db: DatabaseSync) => void])[] = [
  ['a newer version has written it', (db) => db.exec('PRAGMA user_version = 99')],
  ['a version before the panel has written it', (db) => db.exec(EARLIER)]
]
const EARLIER =
  'DROP INDEX requests_at_id; ALTER TABLE requests DROP COLUMN facts; ALTER TABLE requests DROP COLUMN id; DROP TABLE audit'

for (const [about, damage] of damages) {
  t.test(`usage.db: ${about}`, { skip: skipByDay }, async (t) => {
    const stateDir = t.testdir({})
    const env = { PROXY_API_KEY: OPERATOR, STATE_DIR: stateDir }
    const first = await startGateway({ env })
    const before = PanelClient.withKey(first.url, OPERATOR)
    t.equal((await before.post(KEYS, { name: 'before' })).status, 201)
    await first.stop()
    const db = new DatabaseSync(usagePath(stateDir))
    damage(db)
    db.close()
    const gateway: GatewayProcess = await startGateway({ env })
    t.teardown(() => gateway.destroy())
    const program = PanelClient.withKey(gateway.url, OPERATOR)
    const found = await readAll(program)
    for (const [at, { status, json }] of found.entries())
      if (status !== 200)
        t.match(json, { error: { code: 'GW_CONFLICT', message: /usage\.db/ } }, String(READS[at]))
    t.equal(found.at(-1)?.status, 200)
    t.equal(found.at(-2)?.status, 200)
    t.equal((await program.post(KEYS, { name: 'after' })).status, 201)
    t.same((await namesOf(program)).toSorted(), ['after', 'before'])
  })
}

t.test(
  'the disk is full while operators change and ask',
  { skip: OwnDisk.whyNot('tmpfs') },
  async (t) => {
    const disk = OwnDisk.mount(t, 'tmpfs', 16)
    const env = { PROXY_API_KEY: OPERATOR, STATE_DIR: join(disk.folder, 'state') }
    const gateway = await startGateway({ env })
    t.teardown(() => gateway.destroy())
    const program = PanelClient.withKey(gateway.url, OPERATOR)
    const { secret } = (await program.post(KEYS, { name: 'before' })).json
    disk.fill()
    const refused = await program.post(KEYS, { name: 'meanwhile' })
    t.ok(refused.status >= 400, `a key that cannot be kept is not confirmed: ${refused.status}`)
    t.equal(refused.json.secret, undefined)
    t.same(await namesOf(program), ['before'])
    const reloaded = await program.post('/admin/v1/reload')
    t.equal(reloaded.status, 200, 'what needs no disk is done')
    const found = await readAll(program)
    for (const [at, { status, text }] of found.entries())
      t.match([200, 409], [status], `${READS[at]}: ${text.slice(0, 200)}`)
    const anna = PanelClient.withKey(gateway.url, secret)
    t.equal((await anna.get('/v1/models')).status, 200, 'clients are served')
    disk.makeRoom()
    await soon(async () => (await program.post(KEYS, { name: 'after' })).status === 201)
    await soon(async () => (await addedOf(program)).includes('after'))
    t.same((await namesOf(program)).toSorted(), ['after', 'before'])
    const { entries } = (await program.get(AUDIT)).json
    t.ok(
      entries.some(({ action }: { action: string }) => action === 'settings.reload'),
      'a change of the time without room is written down later'
    )
  }
)

t.test('usage.db is damaged while the panel asks', { skip: skipByDay }, async (t) => {
  const stateDir = t.testdir({})
  const env = { PROXY_API_KEY: OPERATOR, STATE_DIR: stateDir }
  const first = await startGateway({ env })
  const before = PanelClient.withKey(first.url, OPERATOR)
  t.equal((await before.post(KEYS, { name: 'before' })).status, 201)
  await first.stop()
  const bytes = readFileSync(usagePath(stateDir))
  writeFileSync(usagePath(stateDir), bytes.fill(0xa5, 4_096))
  const gateway = await startGateway({ env })
  t.teardown(() => gateway.destroy())
  const program = PanelClient.withKey(gateway.url, OPERATOR)
  for (let n = 0; n < 5; n++) {
    for (const { status, json } of await readAll(program))
      if (status !== 200) t.match(json, { error: { code: 'GW_CONFLICT', message: /usage\.db/ } })
  }
  t.equal((await program.post(KEYS, { name: 'after' })).status, 201)
  await soon(async () => (await addedOf(program)).includes('after'))
  t.same((await namesOf(program)).toSorted(), ['after', 'before'], 'keys are in another file')
  const aside = readdirSync(stateDir).filter((name) =>
    /^usage\.db\..*damaged|^usage\.damaged/.test(name)
  )
  t.equal(aside.length, 1, `the damaged file is kept: ${readdirSync(stateDir).join(' ')}`)
})

t.test('two gateways share a state folder, and both are operated', async (t) => {
  const stateDir = t.testdir({})
  const env = { PROXY_API_KEY: OPERATOR, STATE_DIR: stateDir, WORKERS: '1' }
  const gateways = await Promise.all([startGateway({ env }), startGateway({ env })])
  for (const gateway of gateways) t.teardown(() => gateway.destroy())
  const programs = gateways.map(({ url }) => PanelClient.withKey(url, OPERATOR))
  const wanted = programs.flatMap((_, at) => Array.from({ length: 10 }, (__, n) => `k${at}-${n}`))
  const replies = await Promise.all(
    programs.flatMap((program, at) =>
      Array.from({ length: 10 }, async (_, n) => {
        const [made] = await Promise.all([
          program.post(KEYS, { name: `k${at}-${n}` }),
          program.get('/admin/v1/requests')
        ])
        return made.status
      })
    )
  )
  t.same(new Set(replies), new Set([201]))
  for (const program of programs) {
    await soon(async () => (await namesOf(program)).length === wanted.length)
    t.same((await namesOf(program)).toSorted(), wanted.toSorted(), 'each has the keys of both')
    t.same((await addedOf(program)).toSorted(), wanted.toSorted(), 'and one log of changes')
  }
  const [one, other] = programs
  if (one === undefined || other === undefined) throw new Error('two gateways')
  const [{ id, version }] = (await one.get(KEYS)).json.keys
  const change = async (program: PanelClient, streams: number): Promise<number> =>
    (await program.post(`${KEYS}/${id}`, { version, max_streams: streams })).status
  const twice = await Promise.all([change(one, 1), change(other, 2)])
  t.same(
    twice.toSorted((a, b) => a - b),
    [200, 412],
    'of two changes of one key, on two gateways, the second is told'
  )
})
