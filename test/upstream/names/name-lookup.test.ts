import { writeFileSync } from 'node:fs'
import type { NetworkInterfaceInfo } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { hostsSearch, parseHosts } from '../../../src/upstream/names/hosts-file.ts'
import {
  createNameLookup,
  type HostAddress,
  inOrder,
  ipv6ReachOf
} from '../../../src/upstream/names/name-lookup.ts'
import { NameServer } from '../../helper/name-server.ts'

const never = new AbortController().signal
const noHosts = hostsSearch('/nowhere/hosts')

function hostsFile(t: Test, text: string) {
  const path = join(t.testdir({ hosts: text }), 'hosts')
  return { path, hosts: hostsSearch(path) }
}

/** The interfaces of a machine with these IPv6 addresses. */
function interfacesWith(...addresses: string[]) {
  const facts = { netmask: '', mac: '', cidr: null, internal: false }
  const ipv6 = (address: string): NetworkInterfaceInfo => ({
    ...facts,
    address,
    family: 'IPv6',
    scopeid: 0
  })
  const ipv4: NetworkInterfaceInfo = { ...facts, address: '10.0.0.2', family: 'IPv4' }
  return {
    lo: [{ ...ipv6('::1'), internal: true }],
    eth0: [ipv4, ...addresses.map(ipv6)],
    gone: undefined
  }
}

t.test('a name', (t) => {
  t.test('is asked for in both kinds at once, and the answer says for how long', async (t) => {
    const server = await NameServer.start(t, (_, type) =>
      type === 'A' ? ['192.0.2.1', '192.0.2.2'] : []
    )
    server.ttlS = 7
    const lookUp = createNameLookup({ servers: [server.address], hosts: noHosts })
    t.same(await lookUp('One.Example.', never), {
      addresses: [
        { address: '192.0.2.1', family: 4 },
        { address: '192.0.2.2', family: 4 }
      ],
      ttlMs: 7000
    })
    t.same(server.questions.toSorted(), ['A one.example', 'AAAA one.example'])
  })

  t.test('with IPv6 addresses alone is found', async (t) => {
    const server = await NameServer.start(t, (_, type) =>
      type === 'AAAA' ? ['2001:db8:0:0:0:0:0:1'] : []
    )
    const lookUp = createNameLookup({ servers: [server.address], hosts: noHosts })
    const { addresses } = await lookUp('six.example', never)
    t.same(addresses, [{ address: '2001:db8::1', family: 6 }])
  })

  t.test('does not wait for a kind that its servers never answer for', async (t) => {
    const server = await NameServer.start(t, (name, type) =>
      name === 'half.example' && type === 'A' ? ['192.0.2.1'] : 'silent'
    )
    const lookUp = createNameLookup({ servers: [server.address], hosts: noHosts })
    let isGivenUp = false
    const silent = t.rejects(lookUp('silent.example', never)).finally(() => {
      isGivenUp = true
    })
    const { addresses, ttlMs } = await lookUp('half.example', never)
    t.notOk(isGivenUp, 'one of which nothing is known is asked for longer')
    await silent
    t.same(addresses, [{ address: '192.0.2.1', family: 4 }])
    t.equal(ttlMs, 1000, 'and is soon asked for again')
  })

  t.test('that does not exist is told from one that nobody answers for', async (t) => {
    const server = await NameServer.start(t, (name) =>
      name === 'gone.example' ? 'no such name' : name === 'ill.example' ? 'failure' : []
    )
    const options = { servers: [server.address], hosts: noHosts }
    const lookUp = createNameLookup(options)
    await t.rejects(lookUp('gone.example', never), { code: 'ENOTFOUND', hostname: 'gone.example' })
    await t.rejects(lookUp('empty.example', never), { code: 'ENOTFOUND' })
    await t.rejects(lookUp('ill.example', never), { code: 'EAI_AGAIN' })
    server.reply = () => 'silent'
    await t.rejects(createNameLookup({ ...options, timeoutMs: 200 })('silent.example', never), {
      code: 'EAI_AGAIN',
      message: /no answer/
    })
    const nobody = createNameLookup({ ...options, servers: ['127.0.0.1:1'] })
    await t.rejects(nobody('any.example', never), { code: 'EAI_AGAIN' })
    await t.rejects(lookUp('two..dots', never), { code: 'ENOTFOUND' })
  })

  t.test('is not asked for any more when nobody wants it', async (t) => {
    const server = await NameServer.start(t)
    const lookUp = createNameLookup({ servers: [server.address], hosts: noHosts })
    const abort = new AbortController()
    const found = lookUp('silent.example', abort.signal)
    await server.asked('silent.example')
    abort.abort(new Error('left'))
    await t.rejects(found, { message: 'left' })
    await t.rejects(lookUp('silent.example', abort.signal), { message: 'left' })
  })

  t.test('that is an address is itself', async (t) => {
    const lookUp = createNameLookup({ servers: ['127.0.0.1:1'], hosts: noHosts })
    t.same((await lookUp('192.0.2.9', never)).addresses, [{ address: '192.0.2.9', family: 4 }])
    t.same((await lookUp('2001:db8::9', never)).addresses, [{ address: '2001:db8::9', family: 6 }])
  })

  t.test('of this machine needs no name server', async (t) => {
    const lookUp = createNameLookup({ servers: ['127.0.0.1:1'], hosts: noHosts })
    for (const name of ['localhost', 'a.LOCALHOST', 'localhost.']) {
      const { addresses } = await lookUp(name, never)
      t.same(
        addresses.map(({ address }) => address),
        ['127.0.0.1', '::1'],
        name
      )
    }
  })
  t.end()
})

t.test('the hosts file', (t) => {
  t.test('comes before the name servers', async (t) => {
    const { hosts } = hostsFile(
      t,
      '192.0.2.5 Pinned.example other # why\n2001:db8::5 pinned.example\n'
    )
    const lookUp = createNameLookup({ servers: ['127.0.0.1:1'], hosts })
    t.same(await lookUp('pinned.Example', never), {
      addresses: [
        { address: '192.0.2.5', family: 4 },
        { address: '2001:db8::5', family: 6 }
      ],
      ttlMs: 0
    })
    t.equal((await lookUp('other', never)).addresses.length, 1)
    await t.rejects(lookUp('why', never), { code: 'EAI_AGAIN' })
  })

  t.test('is read again when it has changed, and may be missing', async (t) => {
    const { path, hosts } = hostsFile(t, '192.0.2.5 moved\n')
    t.match(hosts('moved'), [{ address: '192.0.2.5' }])
    writeFileSync(path, '192.0.2.77 moved # elsewhere\n')
    t.match(hosts('moved'), [{ address: '192.0.2.77' }])
    t.equal(noHosts('moved'), null)
    t.equal(hostsSearch(t.testdir())('moved'), null, 'a folder')
  })

  t.test('is only read to a limit, and what is no address is passed over', async (t) => {
    const early = '192.0.2.5 early\n'
    const filler = `#${'-'.repeat(256 * 1024 - early.length - 2)}\n`
    const { hosts } = hostsFile(t, `${filler}${early}192.0.2.6 late\n`)
    t.match(hosts('early'), [{ address: '192.0.2.5' }])
    t.equal(hosts('late'), null)
    t.same([...parseHosts('nonsense name\n\n  \n127.0.0.1\n').keys()], [])
  })
  t.end()
})

t.test('addresses are tried in the order in which they can be reached', async (t) => {
  const [four, six]: HostAddress[] = [
    { address: '192.0.2.1', family: 4 },
    { address: '2001:db8::1', family: 6 }
  ]
  if (four === undefined || six === undefined) throw new Error('there are none')
  t.equal(ipv6ReachOf(interfacesWith()), 'none')
  t.equal(ipv6ReachOf(interfacesWith('fe80::1')), 'none')
  t.equal(ipv6ReachOf(interfacesWith('fe80::1', 'fd00::2')), 'private')
  t.equal(ipv6ReachOf(interfacesWith('fd00::2', '2A00::2')), 'public')
  t.same(inOrder([four, six], 'public'), [six, four])
  t.same(inOrder([six, four], 'private'), [four, six])
  t.same(inOrder([six, four], 'none'), [four])
  t.same(inOrder([six], 'none'), [six])
})
