import t from 'tap'
import { WatchedRecords } from '../../../src/control/fleet/watched-records.ts'
import { FakeRecords } from '../../helper/fake-records.ts'

t.test('WatchedRecords', async (t) => {
  const records = new FakeRecords()
  let now = 0
  let changes = 0
  const watched = new WatchedRecords({ records, now: () => now, onChange: () => void changes++ })
  const tryAll = async (): Promise<void> => {
    for (const name of ['pace', 'limit.k.credits', 'limit.other.credits']) {
      await watched.read(name).catch(() => {})
      await watched.cas(name, { rev: 0, value: 'x' }).catch(() => {})
    }
  }

  await t.test('tell what fails for long, and that it does no longer', async (t) => {
    records.broken.add('pace')
    await tryAll()
    t.same(watched.unshared, [])
    for (now = 1_000; now < 10_000; now += 1_000) await tryAll()
    t.same(watched.unshared, [], 'not yet')
    now = 10_000
    await tryAll()
    t.same(watched.unshared, ['pace'])
    t.equal(changes, 1)
    await tryAll()
    t.equal(changes, 1)
    records.broken.delete('pace')
    await tryAll()
    t.same(watched.unshared, [])
    t.equal(changes, 2)
  })
  await t.test('tell what can be read and not written', async (t) => {
    records.failing = 'late' // changes alone
    for (let tries = 0; tries < 12; tries += 1, now += 1_000) await tryAll()
    t.same(watched.unshared, ['limit', 'pace'])
    await t.test('and forget it with the connection, or where nobody tries again', async (t) => {
      now += 121_000
      t.same(watched.unshared, [])
      now -= 121_000
      t.same(watched.unshared, ['limit', 'pace'])
      records.reconnect()
      t.same(watched.unshared, [])
    })
    records.failing = 'no'
  })
  await t.test('tell nothing of one of many that fails', async (t) => {
    records.broken.add('limit.other.credits')
    for (let tries = 0; tries < 12; tries += 1, now += 1_000) await tryAll()
    t.same(watched.unshared, [])
  })
})
