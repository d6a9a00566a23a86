import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { countOrphans, orphansGone, portsOf } from '../../../src/control/workers/orphans.ts'
import { serverUrl } from '../../helper/server-url.ts'

const HEADING =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'

/** A connection to port 8000 as the kernel lists it. */
function line({ state = '05', inode = 0, port = '1F40' } = {}): string {
  return `   0: 0100007F:9284 0100007F:${port} ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 20 4 0 10 -1\n`
}

t.test('countOrphans()', (t) => {
  t.test('counts what the kernel closes for a process that is gone', async (t) => {
    const ports = new Set([8000])
    for (const state of ['04', '05', '09', '0B']) {
      t.equal(countOrphans(HEADING + line({ state }) + line({ state }), ports), 2, state)
    }
  })

  t.test('counts no living, listening, finished or foreign connection', async (t) => {
    const ports = new Set([8000])
    for (const other of [
      line({ inode: 77 }),
      line({ port: '1F41' }),
      line({ state: '01' }),
      line({ state: '06' }),
      line({ state: '0A' }),
      HEADING,
      ''
    ]) {
      t.equal(countOrphans(other, ports), 0, other)
    }
  })

  t.test('sees the connection of a killed process until its peer lets go', async (t) => {
    const accepted = Promise.withResolvers<Socket>()
    const server = createServer({ allowHalfOpen: true }, (socket) => accepted.resolve(socket))
    const { port } = await serverUrl(server)
    t.teardown(() => server.close())
    const child = spawn(process.execPath, ['-e', connectForEver(port)])
    const peer = await accepted.promise
    t.teardown(() => peer.destroy())
    peer.on('error', () => {}).resume()
    const ports = new Set([Number(port)])
    t.equal(countOrphans(table(), ports), 0, 'it lives')
    const end = once(peer, 'end')
    child.kill('SIGKILL')
    await Promise.all([once(child, 'exit'), end])
    t.equal(countOrphans(table(), ports), 1, 'it is dead and its peer has not closed')
    peer.end()
    await once(peer, 'close')
    t.equal(await orphansGone({ ports, delay: (ms) => setTimeout(ms) }), 'gone')
  })
  t.end()
})

t.test('orphansGone()', (t) => {
  const ports = new Set([8000])

  t.test('gives a reset time to arrive, then waits for the last orphan', async (t) => {
    const tables = [line() + line(), line(), '']
    const delays: number[] = []
    const left: number[] = []
    const news = await orphansGone({
      ports,
      onRemaining: (sockets) => left.push(sockets),
      readTables: async () => tables.shift() ?? '',
      delay: async (ms) => void delays.push(ms)
    })
    t.equal(news, 'gone')
    t.same(delays, [150, 50, 50])
    t.same(left, [2, 1], 'the permits of the others are free meanwhile')
  })

  t.test('waits a fixed time where nothing can be known', async (t) => {
    const delays: number[] = []
    const news = await orphansGone({
      ports,
      readTables: async () => null,
      delay: async (ms) => void delays.push(ms)
    })
    t.equal(news, 'unknown')
    t.same(delays, [150])
  })

  t.test(
    'gives up a peer that never closes when the kernel should have, looking less often',
    async (t) => {
      let waitedMs = 0
      let looks = 0
      const news = await orphansGone({
        ports,
        readTables: async () => {
          looks += 1
          return line()
        },
        delay: async (ms) => {
          waitedMs += ms
        }
      })
      t.equal(news, 'still there')
      t.ok(waitedMs >= 150_000 && waitedMs < 170_000, `${waitedMs}`)
      t.ok(looks < 70, `${looks}`)
    }
  )
  t.end()
})

function portsWith(env: Record<string, string>) {
  const loaded = loadConfig(env, [])
  if (loaded.name !== 'config') throw new Error('there is no config')
  return portsOf(loaded.config)
}

t.test('portsOf()', async (t) => {
  t.same(portsWith({}), new Set([443]))
  const KIRO_API_URL = 'http://127.0.0.1:8123'
  t.same(portsWith({ KIRO_API_URL }), new Set([8123, 443]))
  const KIRO_MANAGEMENT_URL = 'http://m.example:8443'
  t.same(
    portsWith({ KIRO_API_URL, KIRO_MANAGEMENT_URL }),
    new Set([8123, 8443, 443]),
    'models and usage'
  )
  const renewals = { KIRO_AUTH_URL: 'http://a.example', KIRO_OIDC_URL: 'https://o.example:4443' }
  t.same(portsWith({ KIRO_API_URL, ...renewals }), new Set([8123, 80, 4443]), 'renewals')
  t.same(
    portsWith({ VPN_PROXY_URL: 'socks5://127.0.0.1:1080' }),
    new Set([443, 1080]),
    'a proxy comes on top'
  )
})

function connectForEver(port: string): string {
  return `require('node:net').connect(${port}, '127.0.0.1'); setInterval(() => {}, 1000)`
}

function table(): string {
  return readFileSync('/proc/net/tcp', 'utf8')
}
