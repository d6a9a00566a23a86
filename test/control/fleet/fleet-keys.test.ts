import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { FleetKeys } from '../../../src/control/fleet/fleet-keys.ts'
import { changeKeys, keysPath, makeNamedKey } from '../../../src/keys/key-store.ts'
import { FakeRecords } from '../../helper/fake-records.ts'
import { recordedLog } from '../../helper/recorded-log.ts'
import { stateFolder } from '../../helper/state-folder.ts'

const onChange = (): void => {}
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
