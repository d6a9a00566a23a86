import t from 'tap'
import { HostNames, upstreamNames, withSystem } from '../../../src/upstream/names/host-names.ts'
import {
  type NameAnswer,
  type NameLookup,
  NameUnresolved
} from '../../../src/upstream/names/name-lookup.ts'
import { NameServer } from '../../helper/name-server.ts'

const never = new AbortController().signal
const HOST = 'api.example'
const HOUR_MS = 3_600_000

const silence = (): NameUnresolved => new NameUnresolved('EAI_AGAIN', HOST, 'no answer')
const nowhere = (): NameUnresolved => new NameUnresolved('ENOTFOUND', HOST, 'ENOTFOUND')

function answer(address: string, ttlMs = 60_000): NameAnswer {
  return { addresses: [{ address, family: 4 }], ttlMs }
}

/** Names whose look-ups the test answers, on a clock that it sets. */
function rig() {
  const asked: { host: string; signal: AbortSignal; answer: PromiseWithResolvers<NameAnswer> }[] =
    []
  const lookUp: NameLookup = (host, signal) => {
    const answer = Promise.withResolvers<NameAnswer>()
    signal.addEventListener('abort', () => answer.reject(signal.reason))
    asked.push({ host, signal, answer })
    return answer.promise
  }
  const clock = { now: 1000 }
  const names = new HostNames({ lookUp, now: () => clock.now })
  const find = async (signal = never): Promise<string> =>
    (await names.resolve(HOST, signal)).map(({ address }) => address).join()
  return { asked, clock, names, find }
}

t.test('an answer', (t) => {
  t.test('is asked for once for all who want it, and used again for some seconds', async (t) => {
    const { asked, clock, find } = rig()
    const both = Promise.all([find(), find()])
    asked[0]?.answer.resolve(answer('192.0.2.1'))
    t.same(await both, ['192.0.2.1', '192.0.2.1'])
    clock.now += 9_999
    t.equal(await find(), '192.0.2.1')
    t.equal(asked.length, 1)
    clock.now += 1
    const next = find()
    asked[1]?.answer.resolve(answer('192.0.2.2', 0))
    t.equal(await next, '192.0.2.2')
    clock.now += 1_000
    void find().catch(() => {})
    t.equal(asked.length, 3, 'one that lives for no time is used for a second')
  })

  t.test('is asked for again after a connection to it has failed', async (t) => {
    const { asked, names, find } = rig()
    const first = find()
    asked[0]?.answer.resolve(answer('192.0.2.1'))
    await first
    names.doubt(HOST)
    names.doubt('unknown.example')
    const next = find()
    asked[1]?.answer.resolve(answer('192.0.2.2'))
    t.equal(await next, '192.0.2.2')
  })

  t.test('serves for a day while the name servers fail', async (t) => {
    const { asked, clock, find } = rig()
    const first = find()
    asked[0]?.answer.resolve(answer('192.0.2.1'))
    await first
    clock.now += HOUR_MS
    const later = find()
    asked[1]?.answer.reject(silence())
    t.equal(await later, '192.0.2.1')
    t.equal(await find(), '192.0.2.1', 'and servers are left alone for a while')
    t.equal(asked.length, 2)
    clock.now += 5_000
    const stillDown = find()
    asked[2]?.answer.reject(silence())
    t.equal(await stillDown, '192.0.2.1')
    clock.now += 24 * HOUR_MS
    const tooLate = find()
    asked[3]?.answer.reject(silence())
    await t.rejects(tooLate, { code: 'EAI_AGAIN' })
  })

  t.test('serves when a new one takes long, which comes for the next', async (t) => {
    const { asked, clock, find } = rig()
    const first = find()
    asked[0]?.answer.resolve(answer('192.0.2.1'))
    await first
    clock.now += HOUR_MS
    t.equal(await find(), '192.0.2.1')
    t.equal(await find(), '192.0.2.1', 'at once')
    asked[1]?.answer.resolve(answer('192.0.2.2'))
    await asked[1]?.answer.promise
    t.equal(await find(), '192.0.2.2')
    t.equal(asked.length, 2)
  })

  t.test('that there is no such name any more is believed', async (t) => {
    const { asked, clock, find } = rig()
    const first = find()
    asked[0]?.answer.resolve(answer('192.0.2.1'))
    await first
    clock.now += HOUR_MS
    const gone = find()
    asked[1]?.answer.reject(nowhere())
    await t.rejects(gone, { code: 'ENOTFOUND' })
  })
  t.end()
})

t.test('a look-up', (t) => {
  t.test('is given up when the last one who waits has left', async (t) => {
    const { asked, find } = rig()
    const [one, two] = [new AbortController(), new AbortController()]
    const first = find(one.signal)
    const second = find(two.signal)
    one.abort(new Error('one left'))
    await t.rejects(first, { message: 'one left' })
    t.equal(asked[0]?.signal.aborted, false)
    two.abort(new Error('two left'))
    await t.rejects(second, { message: 'two left' })
    t.equal(asked[0]?.signal.aborted, true)
    const next = find()
    t.equal(asked.length, 2, 'and whoever comes then asks anew')
    asked[1]?.answer.resolve(answer('192.0.2.1'))
    t.equal(await next, '192.0.2.1')
    await t.rejects(find(two.signal), { message: 'two left' })
  })

  t.test('fails with its cause, and with the end of the names', async (t) => {
    const { asked, names, find } = rig()
    const failed = find()
    asked[0]?.answer.reject(nowhere())
    await t.rejects(failed, { code: 'ENOTFOUND' })
    const open = find()
    names.close()
    await t.rejects(open, { message: /not looked up any more/ })
  })

  t.test('remembers so many hosts and no more', async (t) => {
    let lookUps = 0
    const lookUp: NameLookup = () => {
      lookUps++
      return Promise.resolve(answer('192.0.2.1'))
    }
    const names = new HostNames({ lookUp, now: () => 0 })
    for (let host = 0; host < 65; host++) await names.resolve(`${host}.example`, never)
    await names.resolve('64.example', never)
    t.equal(lookUps, 65)
    await names.resolve('0.example', never)
    t.equal(lookUps, 66)
  })
  t.end()
})

t.test('names that no name server knows are asked of the system', async (t) => {
  const lookUp = withSystem(() => Promise.reject(nowhere()))
  const [one, two] = await Promise.all([lookUp('localhost', never), lookUp('localhost', never)])
  t.match(one.addresses, [{ address: /127\.0\.0\.1|::1/ }])
  t.same(one, two)
  await t.rejects(lookUp('', never), { code: 'ENOTFOUND' })
})

t.test('names that nobody answers for are not: the same servers would be asked', async (t) => {
  const lookUp = withSystem(() => Promise.reject(silence()))
  await t.rejects(lookUp('localhost', never), { code: 'EAI_AGAIN' })
})

t.test('servers that the operator names are the only ones', async (t) => {
  const server = await NameServer.start(t, () => 'no such name')
  const names = upstreamNames([server.address])
  await t.rejects(names.resolve('vm.example', never), { code: 'ENOTFOUND' })
  t.ok(server.questions.length > 0)
})
