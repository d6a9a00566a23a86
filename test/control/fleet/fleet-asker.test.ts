import t from 'tap'
import { FleetAsker } from '../../../src/control/fleet/fleet-asker.ts'
import { FleetCore } from '../../../src/fleet/fleet-core.ts'
import type { ValkeyStore } from '../../../src/fleet/valkey-store.ts'
import { fleetTimes, instantNow } from '../../../src/shared/elapsed.ts'

/** A Valkey that knows nothing yet. */
const ENGINE = {
  read: () => Promise.resolve({ run: 'run', rev: 7, beats: {}, reading: { type: 'none' } })
} as unknown as ValkeyStore

function setUp(engine: ValkeyStore, remember: () => Promise<void>) {
  const lines: string[] = []
  const core = new FleetCore({
    name: 'a',
    max: 10,
    replicas: 1,
    check: 'check',
    times: fleetTimes(1_800_000),
    createInc: () => 'a.1',
    ended: [],
    known: {},
    isSole: false
  })
  const asker = new FleetAsker({
    store: () => engine,
    remember,
    onHeard: () => {},
    log: {
      debug: (_facts: unknown, message: string) => void lines.push(message),
      error: (_facts: unknown, message: string) => void lines.push(message)
    } as never
  })
  return { core, asker, lines }
}

t.test('a disk that does not take what was learned says nothing of Valkey', async (t) => {
  const disk = Promise.withResolvers<void>()
  const { core, asker, lines } = setUp(ENGINE, () => disk.promise)
  const first = core.next(instantNow())
  if (first === null) throw new Error('nothing is asked')
  const asking = asker.ask(core, first)
  let second = null
  while (second === null) {
    await new Promise(setImmediate)
    second = core.next(instantNow())
  }
  disk.reject(new Error('the disk is full'))
  await asking
  t.equal(core.next(instantNow()), null, 'the second question is still out')
  t.match(lines, [/^STATE_DIR cannot be written/])
  await asker.remember(core)
  t.equal(lines.length, 1, 'it is said once')
})

t.test('a Valkey that does not answer is asked again later', async (t) => {
  const silent = { read: () => Promise.reject(new Error('late')) } as unknown as ValkeyStore
  const { core, asker, lines } = setUp(silent, () => Promise.resolve())
  const first = core.next(instantNow())
  if (first === null) throw new Error('nothing is asked')
  await asker.ask(core, first)
  t.equal(core.next(instantNow()), null)
  t.ok(core.wakeAt(instantNow()) > instantNow().mono)
  t.match(lines, [/did not answer/])
})
