import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { MAX_RECORD_LENGTH } from '../../src/fleet/fleet-records.ts'
import { FleetSeal } from '../../src/fleet/fleet-seal.ts'
import { ValkeyStore } from '../../src/fleet/valkey-store.ts'
import { ENGINE_PROGRAMS, EngineProcess, whyNoEngine } from '../helper/engine-process.ts'

t.setTimeout(180_000)

const SEAL = new FleetSeal(['s'.repeat(32)], 'test')

async function open(t: Test, url: string, replicas = 0) {
  const engine = await ValkeyStore.open({ url, name: 'test', seal: SEAL, replicas })
  t.teardown(() => engine.close())
  await until(() => engine.isUp) // on a busy machine the first attempt may take too long
  return engine
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1_000 && !holds(); tries += 1) await delay(10)
}

for (const program of ENGINE_PROGRAMS) {
  t.test(`records in a ${program}`, { skip: whyNoEngine(program) }, async (t) => {
    const server = await EngineProcess.start(program)
    t.teardown(() => server.destroy())
    const [a, b] = [await open(t, server.url), await open(t, server.url)]

    t.test('one of two that change the same revision wins', async (t) => {
      t.match(await a.records.read('x'), { rev: 0, value: null })
      const both = await Promise.all(
        [a, b].map((one, at) => one.records.cas('x', { rev: 0, value: `${at}` }))
      )
      t.equal(both.filter(({ isWritten }) => isWritten).length, 1)
      const { rev, value } = await a.records.read('x')
      t.equal(value, both[0]?.isWritten === true ? '0' : '1')
      for (const { record } of both) t.match(record, { rev, value }, 'told as it stands')
      t.match(await b.records.cas('x', { rev, value: 'ü' }), {
        isWritten: true,
        record: { rev: rev + 1, value: 'ü' }
      })
    })

    t.test('it is told how old a record is', async (t) => {
      const { record } = await a.records.cas('old', { rev: 0, value: '1' })
      t.match(record, { ageMs: 0 })
      const isOlder = async (ms: number) => Number((await b.records.read('old')).ageMs) >= ms
      while (!(await isOlder(50))) await delay(10)
      const again = await b.records.cas('old', { rev: record.rev, value: '2' })
      t.match(again, { isWritten: true, record: { ageMs: 0 } })
    })

    t.test('a revision does not come again after the record was lost', async (t) => {
      const first = await a.records.cas('lost', { rev: 0, value: '1' })
      await delay(2)
      const gone = await a.records.cas('lost', { rev: first.record.rev, value: null })
      t.match(gone, { isWritten: true, record: { rev: 0, value: null } })
      await delay(2)
      const second = await b.records.cas('lost', { rev: 0, value: '2' })
      t.ok(second.record.rev > first.record.rev)
      t.match(await a.records.cas('lost', { rev: first.record.rev, value: '3' }), {
        isWritten: false,
        record: { value: '2' }
      })
    })

    t.test('all are told of a change, unless it is quiet', async (t) => {
      const heard: (string | null)[] = []
      const ledger: (number | null)[] = []
      const ends = [
        b.records.onNews((name) => void heard.push(name)),
        b.onNews((rev) => void ledger.push(rev))
      ]
      await a.records.cas('quiet', { rev: 0, value: '', isQuiet: true })
      await a.records.cas('news', { rev: 0, value: '' })
      await until(() => heard.length > 0)
      for (const end of ends) end()
      t.same(heard, ['news'])
      t.same(ledger, [], 'nothing of the ledger')
    })

    t.test('it ends in its time, and not where the next change gives none', async (t) => {
      const { record } = await a.records.cas('short', { rev: 0, value: '1', ttlMs: 50 })
      const kept = await a.records.cas('kept', { rev: 0, value: '1', ttlMs: 50 })
      await a.records.cas('kept', { rev: kept.record.rev, value: '2' })
      await delay(100)
      t.match(await a.records.read('short'), { rev: 0, value: null })
      t.match(await a.records.cas('short', { rev: record.rev, value: '2' }), { isWritten: false })
      t.match(await a.records.read('kept'), { value: '2' })
    })

    t.test('what is too long is neither written nor read', async (t) => {
      const long = 'x'.repeat(MAX_RECORD_LENGTH)
      t.match(await a.records.cas('long', { rev: 0, value: long }), { record: { value: long } })
      await t.rejects(a.records.cas('long', { rev: 0, value: `${long}x` }), RangeError)
      const stranger = new Redis(server.url)
      await stranger.hset('{kiro:test}:record:long', 'rev', '7', 'value', `${long}x`)
      stranger.disconnect()
      t.match(await b.records.read('long'), { rev: 7, value: null })
      t.match(await b.records.cas('long', { rev: 7, value: 'mended' }), { isWritten: true })
    })

    t.test('a revision that nobody of ours writes is none', async (t) => {
      const stranger = new Redis(server.url)
      for (const rev of ['1.5', '1e300', 'nan', 'inf', '-3', String(2 ** 53)]) {
        await stranger.hset('{kiro:test}:record:odd', 'rev', rev, 'value', 'odd')
        t.match(await a.records.read('odd'), { rev: 0, value: null }, rev)
        const { isWritten, record } = await a.records.cas('odd', { rev: 0, value: 'ours' })
        t.match([isWritten, record.value], [true, 'ours'])
        t.match(await b.records.cas('odd', { rev: 0, value: 'late' }), { isWritten: false })
      }
      stranger.disconnect()
    })

    t.test('what is of another kind is nothing of ours, and replaced or taken away', async (t) => {
      const stranger = new Redis(server.url)
      const key = '{kiro:test}:record:kind'
      for (const make of [
        () => stranger.set(key, 'text'),
        () => stranger.lpush(key, 'a', 'b'),
        () => stranger.sadd(key, 'a')
      ]) {
        await stranger.del(key)
        await make()
        t.match(await a.records.read('kind'), { rev: 0, value: '' })
        const late = await a.records.cas('kind', { rev: 7, value: 'late' })
        t.match(late, { isWritten: false, record: { rev: 0, value: '' } })
        const { isWritten } = await b.records.cas('kind', { rev: 0, value: 'ours' })
        t.ok(isWritten)
        t.match(await a.records.read('kind'), { value: 'ours' })
        await stranger.del(key)
        await make()
        t.ok((await a.records.cas('kind', { rev: 0, value: null })).isWritten)
        t.equal(await stranger.exists(key), 0)
      }
      stranger.disconnect()
    })

    t.test('after a connection was lost, news may have been missed', async (t) => {
      const heard: (string | null)[] = []
      const end = b.records.onNews((name) => void heard.push(name))
      const stranger = new Redis(server.url)
      await stranger.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
      stranger.disconnect()
      await until(() => heard.includes(null))
      end()
      t.ok(heard.includes(null))
    })

    t.test('without the replicas that must have it, it is not certain', async (t) => {
      const strict = await open(t, server.url, 1)
      await t.rejects(strict.records.cas('copied', { rev: 0, value: '1' }), /FLEET_ENGINE_REPLICAS/)
    })
  })
}
