import t, { type Test } from 'tap'
import { HostNames } from '../../src/upstream/names/host-names.ts'
import { hostsSearch } from '../../src/upstream/names/hosts-file.ts'
import { createNameLookup } from '../../src/upstream/names/name-lookup.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { NameServer } from '../helper/name-server.ts'
import { connectionPool, RecordedExchange } from '../helper/recorded-exchange.ts'

/** A pool whose names come from a server that the test rules, and an upstream that has one. */
async function rig(t: Test) {
  const server = await NameServer.start(t, (_, type) => (type === 'A' ? ['127.0.0.1'] : []))
  const hosts = hostsSearch('/nowhere/hosts')
  const clock = { now: 1000 }
  const names = new HostNames({
    lookUp: createNameLookup({ servers: [server.address], hosts }),
    now: () => clock.now
  })
  const upstream = await CountingUpstream.start(t)
  const pool = connectionPool(t, { names, maxIdle: 0, connectTimeoutMs: 20_000 })
  const url = new URL(`http://upstream.example:${upstream.url.port}/`)
  const ask = () => new RecordedExchange(pool, url).over()
  return { server, clock, pool, url, ask }
}

t.test('an upstream with a name', (t) => {
  t.test('is looked up for a connection, and not for each', async (t) => {
    const { server, ask } = await rig(t)
    t.equal((await ask()).text, 'ok')
    t.equal((await ask()).text, 'ok')
    t.equal(server.questions.length, 2, 'A and AAAA')
  })

  t.test('is found while name servers are silent, once it was', async (t) => {
    const { server, clock, ask } = await rig(t)
    await ask()
    server.reply = () => 'silent'
    clock.now += 3_600_000
    t.equal((await ask()).text, 'ok')
  })

  t.test('that has moved is found where it is, after one connection that failed', async (t) => {
    const { server, ask } = await rig(t)
    server.reply = (_, type) => (type === 'A' ? ['127.0.0.2'] : [])
    t.match((await ask()).cause, { code: 'ECONNREFUSED' })
    server.reply = (_, type) => (type === 'A' ? ['127.0.0.1'] : [])
    t.equal((await ask()).text, 'ok')
  })

  t.test('is reached by the address that works', async (t) => {
    const { server, ask } = await rig(t)
    server.reply = (_, type) => (type === 'A' ? ['127.0.0.2', '127.0.0.1'] : [])
    t.equal((await ask()).text, 'ok')
  })

  t.test('that nobody answers for keeps no client that leaves', async (t) => {
    const { server, pool, url } = await rig(t)
    server.reply = () => 'silent'
    const call = new RecordedExchange(pool, url)
    await server.asked('upstream.example')
    const left = new Error('left')
    call.abort(left)
    await call.over()
    t.same(call.causes, [left], 'and nothing of the name servers')
    t.match(pool.stats(), { connecting: 0, opened: 0 })
  })
  t.end()
})
