import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { heldFor } from '../../chaos/kernel-view.ts'
import type { AbuseRow } from '../row.ts'

const EachKind = 300
const PatienceS = 2

/** What a silent client can leave its connection in; it never closes its end. */
const Beginnings = {
  nothing: '',
  'half a header': 'GET /health HTTP/1.1\r\nhost: loc',
  'no body': 'POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n',
  'an expectation':
    'POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n',
  CONNECT: 'CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\n\r\n',
  nonsense: 'SSH-2.0-client\r\n\r\n',
  'a last request': 'GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n'
}

/** Every connection ends in time, whatever its client leaves undone. */
export const row: AbuseRow = {
  name: 'silent-sockets',
  what: `${EachKind} connections each without a key that fall silent after ${Object.keys(Beginnings).join(', ')}`,
  settings: { BODY_TIMEOUT: String(PatienceS) },
  async attack({ host, port }) {
    const sockets: Socket[] = []
    for (let i = 0; i < EachKind; i++) {
      for (const text of Object.values(Beginnings)) {
        const socket = connect({ host, port, allowHalfOpen: true }).on('error', () => {})
        socket.resume().write(text)
        sockets.push(socket)
      }
      if (i % 20 === 0) await delay(10)
    }
    const own = new Set(sockets.map(({ localPort }) => localPort))
    const held = (): number => heldFor(port).filter(({ remotePort }) => own.has(remotePort)).length
    await delay(15_000) // 10 s for bodies that nobody reads, and 5 s to read a last answer
    for (let second = 0; second < 15 && held() > 0; second++) await delay(1000)
    const left = held()
    for (const socket of sockets) socket.destroy()
    if (left > 0) throw new Error(`${left} of ${sockets.length} connections were left`)
    return `none of ${sockets.length} connections was left`
  }
}
