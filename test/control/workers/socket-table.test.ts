import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { parseSocketTable } from '../../helper/socket-table.ts'
import { serverUrl } from '../../helper/server-url.ts'

/** Lines of /proc/net/tcp and tcp6 of Linux 6.18. */
const TABLE = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 203435 1 000000004b53971e 100 0 0 10 0                    
   3: 0100007F:1F40 0100007F:9284 01 00000005:0000001C 02:000003ED 00000000     0        0 204117 2 00000000e0cb3d2f 20 4 30 10 -1                   
  21: 0100007F:9284 0100007F:1F40 06 00000000:00000000 03:00001769 00000000     0        0 0 3 000000002b7ab1f7                                      
1204: 00000000000000000000000001000000:1F40 00000000000000000000000001000000:C350 08 00000000:00000000 00:00000000 00000000  1000        0 90210 1 000000004b53971e 20 4 0 10 -1
`

t.test('parseSocketTable()', (t) => {
  t.test('reads ports, state, queues and inode', async (t) => {
    t.same(parseSocketTable(TABLE), [
      {
        localPort: 8000,
        remotePort: 0,
        state: 'listening',
        unsentBytes: 0,
        unreadBytes: 0,
        inode: 203435
      },
      {
        localPort: 8000,
        remotePort: 37508,
        state: 'established',
        unsentBytes: 5,
        unreadBytes: 28,
        inode: 204117
      },
      {
        localPort: 37508,
        remotePort: 8000,
        state: 'time-wait',
        unsentBytes: 0,
        unreadBytes: 0,
        inode: 0
      },
      {
        localPort: 8000,
        remotePort: 50000,
        state: 'close-wait',
        unsentBytes: 0,
        unreadBytes: 0,
        inode: 90210
      }
    ])
  })

  t.test('leaves out what is no socket', async (t) => {
    t.same(parseSocketTable(''), [])
    t.same(parseSocketTable(TABLE.split('\n')[0] ?? ''), [])
    t.same(parseSocketTable('   0: 0100007F:1F40 0100007F:9284 FF 0:0 00:0 0 0 0 1'), [])
    t.same(parseSocketTable('   0: 0100007F:1F40 0100007F:9284 01 00000000:00000000'), [])
  })

  t.test('finds a server of this process in the table of this machine', async (t) => {
    const server = createServer()
    await serverUrl(server)
    t.teardown(() => server.close())
    const { port } = server.address() as AddressInfo
    const found = parseSocketTable(readFileSync('/proc/net/tcp', 'utf8'))
    t.ok(found.some(({ localPort, state }) => localPort === port && state === 'listening'))
  })
  t.end()
})
