import { Redis } from 'ioredis'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { VALKEY_RIGHTS } from '../../src/fleet/valkey-problems.ts'
import { FleetSeal } from '../../src/fleet/fleet-seal.ts'
import { readState } from '../../src/fleet/fleet-state.ts'
import { newEra, nextFleet } from '../../src/fleet/next-fleet.ts'
import { type ValkeyStoreOptions, ValkeyStore } from '../../src/fleet/valkey-store.ts'
import {
  ENGINE_PROGRAMS,
  EngineProcess,
  type EngineProgram,
  whyNoEngine
} from '../helper/engine-process.ts'

t.setTimeout(180_000)

async function startEngine(t: Test, program: EngineProgram, config: readonly string[] = []) {
  const engine = await EngineProcess.start(program, config)
  t.teardown(() => engine.destroy())
  return engine
}

const SEAL = new FleetSeal(['s'.repeat(32)], 'test')
const [CHECK = ''] = SEAL.checks

/** With a connection: on a busy machine the first attempt takes too long, and then nothing is queued. */
async function open(t: Test, url: string, more: Partial<ValkeyStoreOptions> = {}) {
  const engine = await openSoon(t, url, more)
  while (!engine.isUp) await delay(20)
  return engine
}

/** Perhaps without one. */
async function openSoon(t: Test, url: string, more: Partial<ValkeyStoreOptions> = {}) {
  const engine = await ValkeyStore.open({
    url,
    name: 'test',
    seal: SEAL,
    replicas: 0,
    ...more
  })
  t.teardown(() => engine.close())
  return engine
}

/** Somebody else in Valkey. */
function stranger(t: Test, url: string): Redis {
  const client = new Redis(url, { maxRetriesPerRequest: 5 })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

/** What the first member makes of an empty register. */
function firstState({ run, rev }: { readonly run: string; readonly rev: number }, by = 'a1') {
  const enter = { type: 'enter', name: by, max: 10, replicas: 1, granted: 0, returned: 0 } as const
  const state = newEra({ run, check: CHECK, by, rev, lastEra: '' })
  return nextFleet(state, [{ ...enter, inc: by, ended: [], known: {} }])
}

async function refusal(
  t: Test,
  url: string,
  more: Partial<ValkeyStoreOptions> = {}
): Promise<string> {
  try {
    await openSoon(t, url, more)
    return 'none'
  } catch (cause) {
    t.match(cause, { code: 'GW_CONFIG_INVALID' })
    return cause instanceof Error ? cause.message : ''
  }
}

for (const program of ENGINE_PROGRAMS) {
  t.test(program, { skip: whyNoEngine(program) }, async (t) => {
    t.test('is changed by whoever saw the last change, and tells the others', async (t) => {
      const { url } = await startEngine(t, program)
      const [one, other] = [await open(t, url), await open(t, url)]
      const news: (number | null)[] = []
      const { promise, resolve } = Promise.withResolvers<void>()
      other.onNews((rev) => {
        news.push(rev)
        if (rev === empty.rev + 1) resolve()
      })
      const empty = await one.read()
      t.match(empty, { beats: {}, reading: { type: 'none' } })
      t.match(empty.run, /^[0-9a-f]{40}$/)
      const { run, rev } = empty
      const [first, second] = await Promise.all([
        one.cas({ run, rev, next: firstState(empty, 'a1'), expects: {} }),
        other.cas({ run, rev, next: firstState(empty, 'b1'), expects: {} })
      ])
      t.not(first.isWritten, second.isWritten)
      t.same(first.reading, second.reading, 'who was too late is told what stands there')
      t.match(first.reading.reading, { type: 'state', state: { phase: 'open', rev: rev + 1 } })
      await promise
      const next = firstState(empty)
      const stale = await one.cas({ run: 'another', rev: rev + 1, next, expects: {} })
      t.notOk(stale.isWritten, 'not in another process of Valkey')
    })

    t.test('keeps beats of its members, and no change that a beat contradicts', async (t) => {
      const { url } = await startEngine(t, program)
      const engine = await open(t, url)
      const empty = await engine.read()
      const { run } = empty
      const state = firstState(empty)
      const { rev } = state
      await engine.cas({ run, rev: empty.rev, next: state, expects: {} })
      const beat = { run, inc: 'a1' }
      t.match(await engine.beat(beat), { isKept: true, rev, beats: { a1: '1' } })
      t.match(await engine.beat({ ...beat, inc: 'b1' }), { isKept: false })
      t.match(await engine.beat({ ...beat, run: 'another' }), { isKept: false })
      const next = nextFleet(state, [{ type: 'lapse', incs: ['a1'] }])
      const early = await engine.cas({ run, rev, next, expects: { a1: '0' } })
      t.match(early, { isWritten: false, reading: { rev } })
      const lapsed = await engine.cas({ run, rev, next, expects: { a1: '1' } })
      t.match(lapsed, { isWritten: true, reading: { rev: rev + 1, beats: {} } })
      t.match(await engine.beat(beat), { isKept: false }, 'who was put out')
    })

    t.test('is another after a restart, and empty after a flush', async (t) => {
      const server = await startEngine(t, program, ['appendonly yes', 'appendfsync always'])
      const engine = await open(t, server.url)
      const before = await engine.read()
      const { run } = before
      const next = firstState(before)
      await engine.cas({ run, rev: before.rev, next, expects: {} })
      await server.stop('SIGKILL')
      await t.rejects(engine.read(), 'nothing is queued for later')
      await server.start()
      let after = await tryRead(engine)
      t.not(after.run, run)
      t.match(after, { rev: next.rev, reading: { type: 'state', state: { run } } }, 'from its disk')
      await stranger(t, server.url).flushall()
      after = await tryRead(engine)
      t.match(after, { reading: { type: 'none' }, beats: {} })
      t.ok(after.rev > next.rev, 'what is written late finds another revision than it rests on')
      t.equal((await tryRead(engine)).rev, after.rev)
      const late = { run: after.run, rev: before.rev, next, expects: {} }
      t.match(await engine.cas(late), { isWritten: false, reading: { rev: after.rev } })
    })

    t.test(
      'that stands still is not waited for; what was written then may be written later',
      async (t) => {
        const server = await startEngine(t, program)
        const engine = await open(t, server.url)
        const empty = await engine.read()
        const { run, rev } = empty
        server.pause()
        const began = performance.now()
        await t.rejects(engine.cas({ run, rev, next: firstState(empty), expects: {} }))
        t.ok(performance.now() - began < 10_000)
        server.goOn()
        t.match(await tryRead(engine), { run })
      }
    )

    t.test('that is full says so, and goes on', async (t) => {
      const server = await startEngine(t, program)
      const engine = await open(t, server.url)
      const client = stranger(t, server.url)
      const empty = await engine.read()
      const { run } = empty
      const state = firstState(empty)
      const { rev } = state
      await engine.cas({ run, rev: empty.rev, next: state, expects: {} })
      const beat = { run, inc: 'a1' }
      const next = nextFleet(state, [{ type: 'open' }])
      await client.config('SET', 'maxmemory', '1')
      await t.rejects(engine.beat(beat), /OOM/)
      await t.rejects(engine.cas({ run, rev, next, expects: {} }), /OOM/)
      t.match(await engine.read(), { rev, beats: { a1: '0' } }, 'nothing of it')
      await client.config('SET', 'maxmemory', '0')
      t.match(await engine.cas({ run, rev, next, expects: {} }), { isWritten: true })
      t.match(await engine.beat(beat), { isKept: true })
    })

    t.test('holds what is not ours', async (t) => {
      const { url } = await startEngine(t, program)
      const engine = await open(t, url)
      const client = stranger(t, url)
      const state = firstState(await engine.read())
      const cases: readonly [string, object][] = [
        ['{"v":3}', { type: 'newer' }],
        [JSON.stringify({ ...state, check: 'of another secret' }), { type: 'foreign' }],
        ['x'.repeat(1_500_000), { type: 'none' }],
        ['{"v":2,"members":7}', { type: 'none' }],
        [JSON.stringify({ ...state, v: 1 }), { type: 'none' }]
      ]
      for (const [text, reading] of cases) {
        await client.hset('{kiro:test}:ledger', { rev: 'seven', era: 'x', state: text })
        t.match(await engine.read(), { reading }, text.slice(0, 40))
      }
      t.same(readState(JSON.stringify(state), SEAL.checks).type, 'state')
      await client.del('{kiro:test}:ledger')
      await client.set('{kiro:test}:ledger', 'of another program')
      t.match(await refusal(t, url), /belong to another program/)
    })

    t.test('holds what somebody without the secret has written', async (t) => {
      const { url } = await startEngine(t, program)
      const engine = await open(t, url)
      const client = stranger(t, url)
      const empty = await engine.read()
      await engine.cas({ ...empty, next: firstState(empty), expects: {} })
      const { rev, reading } = await engine.read()
      if (reading.type !== 'state') throw new Error('nothing was written')
      const told = await client.hgetall('{kiro:test}:ledger')
      const isBelieved = async (fields: Readonly<Record<string, string | number>>) => {
        await client.hset('{kiro:test}:ledger', { ...told, ...fields })
        return (await engine.read()).reading.type === 'state'
      }
      t.ok(await isBelieved({}))
      const { state: text = '', signature = '' } = told
      t.notOk(await isBelieved({ state: text.replace('"granted":10', '"granted":11') }))
      t.notOk(await isBelieved({ state: `${text} ` }), 'nor the same in other words')
      t.notOk(await isBelieved({ rev: rev + 1 }), 'nor at another revision')
      for (const wrong of [
        '',
        'x',
        signature.replace(/^./, (digit) => (digit === '0' ? '1' : '0'))
      ])
        t.notOk(await isBelieved({ signature: wrong }), wrong)
      const other = new FleetSeal(['o'.repeat(32)], 'test')
      t.notOk(await isBelieved({ signature: other.sign(`register\n${text}`) }), 'another secret')
      t.notOk(
        await isBelieved({ signature: SEAL.sign(text) }),
        'nor what was signed for another use'
      )
      const both = new FleetSeal(['o'.repeat(32), 's'.repeat(32)], 'test')
      await isBelieved({})
      const rotated = await open(t, url, { seal: both })
      t.match(await rotated.read(), { reading: { type: 'state' } }, 'of a secret that is replaced')
    })

    t.test('may have to be asked as somebody who may', async (t) => {
      // The others are needed only with a database, with replicas of Valkey, and by people.
      const others = /\+(select|wait|ping)/
      const rights = VALKEY_RIGHTS.split(' ').filter((right) => !others.test(right))
      const narrow = rights.map((right, at) => {
        return `user narrow${at} on >narrow ${rights.filter((one) => one !== right).join(' ')}`
      })
      const { port } = await startEngine(t, program, [
        'user default on >hidden ~* &* +@all',
        `user fleet on >se:cr@t ${VALKEY_RIGHTS}`,
        ...narrow
      ])
      const as = (who: string) => `valkey://${who}127.0.0.1:${port}`
      t.equal(await refusal(t, as(`fleet:${encodeURIComponent('se:cr@t')}@`)), 'none')
      for (const who of ['', 'fleet:wrong@', ':wrong@', 'nobody:hidden@']) {
        const message = await refusal(t, as(who))
        t.match(message, /user or password/, who)
        t.notMatch(message, /wrong|nobody|hidden/)
      }
      for (const [at, right] of rights.entries()) {
        t.match(
          await refusal(t, as(`narrow${at}:narrow@`)),
          /lacks permissions/,
          `without ${right}`
        )
      }
    })

    t.test('must not drop keys as it likes', async (t) => {
      const { url } = await startEngine(t, program, ['maxmemory-policy allkeys-lru'])
      t.match(await refusal(t, url), /allkeys-lru.*noeviction/)
    })

    t.test('may lack the database that is named', async (t) => {
      const { url } = await startEngine(t, program)
      t.match(await refusal(t, `${url}/99`), /database/)
      t.equal(await refusal(t, `${url}/3`), 'none')
    })

    t.test('keeps a beat only when its replicas have it', async (t) => {
      const { url } = await startEngine(t, program)
      const engine = await open(t, url, { replicas: 1 })
      const empty = await engine.read()
      const { run, rev } = empty
      await engine.cas({ run, rev, next: firstState(empty), expects: {} })
      t.match(await engine.beat({ run, inc: 'a1' }), { isKept: false })
    })
  })
}

t.test(
  'a Valkey that is not there yet is waited for',
  { skip: whyNoEngine('valkey-server') },
  async (t) => {
    const server = await startEngine(t, 'valkey-server')
    await server.stop()
    const changes: boolean[] = []
    const engine = await openSoon(t, server.url, { onConnection: ({ isUp }) => changes.push(isUp) })
    await t.rejects(engine.read())
    const { promise, resolve } = Promise.withResolvers<void>()
    engine.onNews((rev) => rev === 1 && resolve())
    await server.start()
    const { run, rev } = await tryRead(engine)
    for (let tries = 0; tries < 200; tries += 1) {
      const next = firstState({ run, rev })
      await stranger(t, server.url).publish('{kiro:test}:news', '1')
      await engine.cas({ run, rev, next, expects: {} })
      if (await Promise.race([promise.then(() => true), delay(100, false)])) break
    }
    await promise
    t.same(changes, [true])
  }
)

t.test(
  'connections that break as soon as they are there end nothing',
  { skip: whyNoEngine('valkey-server') },
  async (t) => {
    const server = await startEngine(t, 'valkey-server')
    const sockets = new Set<Socket>()
    let isBroken = false
    let broken = 0
    const proxy = createServer((client) => {
      sockets.add(client.on('error', () => {}))
      const engine = connect(server.port, '127.0.0.1').on('error', () => {})
      engine.pipe(client).once('close', () => engine.destroy())
      client.on('data', (chunk) => {
        engine.write(chunk)
        if (!isBroken || !/subscribe/i.test(chunk.toString())) return
        broken += 1
        client.resetAndDestroy()
      })
    }).listen(0, '127.0.0.1')
    t.teardown(() => proxy.close())
    await once(proxy, 'listening')
    const { port } = proxy.address() as AddressInfo
    const engine = await open(t, `redis://127.0.0.1:${port}`)
    const { run } = await engine.read()
    isBroken = true
    for (const socket of sockets) socket.resetAndDestroy()
    for (let tries = 0; broken < 3 && tries < 1_000; tries += 1) await delay(20)
    t.ok(broken >= 3, 'what a client asks by itself fails, too')
    isBroken = false
    t.equal((await tryRead(engine)).run, run)
    const { promise, resolve } = Promise.withResolvers<void>()
    engine.onNews((rev) => rev === 7 && resolve())
    const client = stranger(t, server.url)
    for (;;) {
      await client.publish('{kiro:test}:news', '7')
      if (await Promise.race([promise.then(() => true), delay(100, false)])) break
    }
    await engine.close()
    for (const socket of sockets) socket.destroy()
  }
)

/** Until there is a connection again. */
async function tryRead(engine: ValkeyStore) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await engine.read()
    } catch (cause) {
      if (tries > 600) throw cause
      await delay(50)
    }
  }
}
