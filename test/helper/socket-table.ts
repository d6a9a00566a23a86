/** States as the kernel numbers them, in this order from 1. */
const STATES = [
  'established',
  'syn-sent',
  'syn-received',
  'fin-wait-1',
  'fin-wait-2',
  'time-wait',
  'closed',
  'close-wait',
  'last-ack',
  'listening',
  'closing'
] as const

type TcpState = (typeof STATES)[number]

/** One TCP socket as the kernel lists it. */
export interface TcpSocket {
  readonly localPort: number
  readonly remotePort: number
  readonly state: TcpState
  /** Bytes that the peer has not acknowledged; a FIN counts as one. */
  readonly unsentBytes: number
  /** Bytes that have arrived and have not been read. */
  readonly unreadBytes: number
  /** 0 for a socket that no process has open any more. */
  readonly inode: number
}

const LINE = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]{2}) (.*)$/

/**
 * Reads `/proc/net/tcp` or `/proc/net/tcp6`:
 *
 * ```
 *   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
 *    0: 0100007F:9284 0100007F:1F40 05 00000000:00000000 00:00000000 00000000     0        0 0 …
 * ```
 * Lines of another form are left out, the heading among them.
 *
 * @see https://docs.kernel.org/networking/proc_net_tcp.html
 */
export function parseSocketTable(text: string): readonly TcpSocket[] {
  const sockets: TcpSocket[] = []
  for (const line of text.split('\n')) {
    const [, local = '', remote = '', state = '', rest = ''] = LINE.exec(line) ?? []
    const name = STATES[Number.parseInt(state, 16) - 1]
    const [queues = '', , , , , inode] = rest.split(/\s+/)
    const [unsent = '', unread = ''] = queues.split(':')
    if (name === undefined || inode === undefined) continue
    sockets.push({
      localPort: Number.parseInt(local, 16),
      remotePort: Number.parseInt(remote, 16),
      state: name,
      unsentBytes: Number.parseInt(unsent, 16),
      unreadBytes: Number.parseInt(unread, 16),
      inode: Number(inode)
    })
  }
  return sockets
}
