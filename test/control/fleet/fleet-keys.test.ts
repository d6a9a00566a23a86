import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { FleetKeys } from '../../../src/control/fleet/fleet-keys.ts'
import { unpacked } from '../../../src/control/fleet/packed-text.ts'
import { changeKeys, keysPath, makeNamedKey } from '../../../src/keys/key-store.ts'
import type { NamedKey } from '../../../src/keys/key.ts'
import type { SharedKeys } from '../../../src/keys/shared-keys.ts'
import { FakeRecords } from '../../helper/fake-records.ts'
import { OwnDisk } from '../../helper/own-disk.ts'
import { recordedLog } from '../../helper/recorded-log.ts'
import { stateFolder } from '../../helper/state-folder.ts'

const onChange = (): void => {}
const inForce = async (): Promise<boolean> => true
const PLAIN = { seal: (text: string) => text, open: (text: string) => text }

t.test('a gateway that cannot read the keys of its fleet back serves nobody by none', async (t) => {
  const records = new FakeRecords()
  const { key } = makeNamedKey('anna', {}, Date.now())
  const folder = stateFolder(t) // which waits for a write that is under way
  const [one, two] = [join(folder, 'one'), join(folder, 'two')]
  for (const path of [one, two]) mkdirSync(path)
  await changeKeys(keysPath(one), () => [key], AbortSignal.timeout(5_000))
  const { log, text } = recordedLog()
  let isReadable = false
  let looks = 0
  const open = (stateDir: string, onWritten: () => Promise<boolean>): FleetKeys => {
    const times = { pollMs: 10, retryMs: 10 }
    const keys = new FleetKeys({
      records,
      seal: PLAIN,
      stateDir,
      onWritten,
      onMerged: () => {},
      onChange,
      log,
      ...times
    })
    t.teardown(() => keys.close())
    return keys
  }
  const here = open(one, async () => true)
  await here.start()
  while (here.problem !== null) await sleep(5)
  const joining = open(two, async () => {
    looks += 1
    return isReadable
  })
  await joining.start()
  while (looks < 3) await sleep(5)
  t.type(joining.problem, 'string', 'the keys are in the file, and not in force')
  t.match(text(), 'keys.json cannot be read back on this gateway')
  isReadable = true
  while (joining.problem !== null) await sleep(5)
  t.pass('it is asked for again until they are')
})

t.test('a key that another gateway has revoked is over before the file says so', async (t) => {
  const records = new FakeRecords()
  const { key } = makeNamedKey('anna', {}, Date.now())
  const folder = stateFolder(t)
  const [one, two] = [join(folder, 'one'), join(folder, 'two')]
  for (const path of [one, two]) mkdirSync(path)
  const put = (...keys: readonly NamedKey[]) =>
    changeKeys(keysPath(one), () => keys, AbortSignal.timeout(5_000))
  const { log } = recordedLog()
  const revokedInFile: boolean[] = []
  const open = (stateDir: string): FleetKeys => {
    const onMerged = ({ keys }: SharedKeys): void => {
      if (stateDir !== two || (keys.get(key.id)?.key.revokedAt ?? null) === null) return
      revokedInFile.push(readFileSync(keysPath(two), 'utf8').includes('revokedAt'))
    }
    const times = { pollMs: 10, retryMs: 10 }
    const options = { records, seal: PLAIN, stateDir, onWritten: inForce, onMerged, onChange, log }
    const keys = new FleetKeys({ ...options, ...times })
    t.teardown(() => keys.close())
    return keys
  }
  await put(key)
  for (const stateDir of [one, two]) {
    const keys = open(stateDir)
    await keys.start()
    while (keys.problem !== null) await sleep(5)
  }
  await put({ ...key, revokedAt: Date.now() })
  while (revokedInFile.length === 0) await sleep(5)
  t.equal(revokedInFile[0], false)
})

/** Two gateways that share one key, which the first is about to revoke. `folder` is that of the second. */
async function pair(t: Test, folder: string) {
  const records = new FakeRecords()
  const { key } = makeNamedKey('anna', {}, Date.now())
  const one = stateFolder(t)
  const put = (...keys: readonly NamedKey[]) =>
    changeKeys(keysPath(one), () => keys, AbortSignal.timeout(5_000))
  await put(key)
  const { log, text } = recordedLog()
  /** Of each time that the second gateway heard of its fleet: is the key revoked? */
  const told: boolean[] = []
  const open = async (stateDir: string): Promise<FleetKeys> => {
    const onMerged = ({ keys }: SharedKeys): void => {
      if (stateDir === folder) told.push((keys.get(key.id)?.key.revokedAt ?? null) !== null)
    }
    const times = { pollMs: 10, retryMs: 10 }
    const options = { records, seal: PLAIN, stateDir, onWritten: inForce, onMerged, onChange, log }
    const keys = new FleetKeys({ ...options, ...times })
    t.teardown(() => keys.close())
    await keys.start()
    while (keys.problem !== null) await sleep(5)
    return keys
  }
  const first = await open(one)
  await open(folder)
  const again = async (): Promise<boolean | undefined> => {
    const { length } = told
    while (told.length < length + 2) await sleep(5)
    return told.at(-1)
  }
  const revoke = () => put({ ...key, revokedAt: Date.now() })
  return { records, first, revoke, again, text }
}

t.test(
  'a key that was revoked while the disk was full stays so, although Valkey forgets it',
  { skip: OwnDisk.whyNot('tmpfs') },
  async (t) => {
    const disk = OwnDisk.mount(t, 'tmpfs', 1)
    const { records, first, revoke, again } = await pair(t, disk.folder)
    disk.fill()
    await revoke()
    while ((await again()) !== true);
    t.notMatch(readFileSync(keysPath(disk.folder), 'utf8'), 'revokedAt')
    first.close()
    records.forget()
    t.equal(await again(), true)
    disk.makeRoom()
    while (!readFileSync(keysPath(disk.folder), 'utf8').includes('revokedAt')) await sleep(5)
    const inRecord = async (): Promise<string> =>
      unpacked((await records.read('keys')).value ?? '', 1_000_000)
    while (!(await inRecord()).includes('revokedAt')) await sleep(5)
    t.pass('and the fleet knows of it again')
  }
)

t.test('a key that another gateway has revoked is over while the file is damaged', async (t) => {
  const folder = stateFolder(t)
  const { revoke, again, text } = await pair(t, folder)
  writeFileSync(keysPath(folder), '{"version": 1, "keys": [')
  while (!text().includes('not a complete JSON object')) await sleep(5)
  await revoke()
  while ((await again()) !== true);
  t.match(readFileSync(keysPath(folder), 'utf8'), /\[$/, 'and nobody has touched the file')
})

t.test('a change of the file is known without Valkey', async (t) => {
  const folder = stateFolder(t)
  const { records, again } = await pair(t, folder)
  records.failing = 'yes'
  await changeKeys(
    keysPath(folder),
    (keys) => keys.map((key) => ({ ...key, revokedAt: Date.now() })),
    AbortSignal.timeout(5_000)
  )
  while ((await again()) !== true);
  t.equal(await again(), true)
})
