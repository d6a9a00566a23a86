import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { FleetKeys } from '../../../src/control/fleet/fleet-keys.ts'
import { changeKeys, keysPath, makeNamedKey } from '../../../src/keys/key-store.ts'
import type { NamedKey } from '../../../src/keys/key.ts'
import type { SharedKeys } from '../../../src/keys/shared-keys.ts'
import { FakeRecords } from '../../helper/fake-records.ts'
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
