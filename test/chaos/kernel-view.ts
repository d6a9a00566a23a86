import { readFileSync } from 'node:fs'
import { parseSocketTable, type TcpSocket } from '../helper/socket-table.ts'

/** Both sides, or the peer alone, still hold on to a connection in these states. */
const ALIVE = ['established', 'syn-received', 'fin-wait-1', 'fin-wait-2', 'close-wait']

/** The peers' ports of the connections to this port of loopback that exist at this moment, as the kernel says. */
export function alivePeers(port: number): ReadonlySet<number> {
  const alive = new Set<number>()
  const leaving: number[] = []
  for (const { localPort, remotePort, state, unsentBytes } of socketsOf(port)) {
    if (localPort === port && ALIVE.includes(state)) alive.add(remotePort)
    const isLastFin = state === 'last-ack' && unsentBytes <= 1
    if (remotePort === port && isLastFin) leaving.push(localPort)
  }
  // Both have sent their FIN, and nothing stands before the last one: it is on its way between two lines of the table.
  for (const peer of leaving) alive.delete(peer)
  return alive
}

/** Of these, where neither side has anything left to read: an answer's end that a busy peer has not read is on its way. */
export function quietPeers(port: number): ReadonlySet<number> {
  const here = new Set<number>()
  const there = new Set<number>()
  for (const socket of socketsOf(port)) {
    if (!isQuiet(socket)) continue
    if (socket.localPort === port) here.add(socket.remotePort)
    else there.add(socket.localPort)
  }
  return new Set([...here].filter((peer) => there.has(peer)))
}

/** What the kernel holds for a server at this port: its connections, those that nobody has open any more among them. */
export function heldFor(port: number): readonly TcpSocket[] {
  return socketsOf(port).filter(
    ({ localPort, state }) => localPort === port && [...ALIVE, 'last-ack'].includes(state)
  )
}

/** Only lines that have the port are parsed: after thousands of connections the table is long. */
function socketsOf(port: number): readonly TcpSocket[] {
  const mark = `:${port.toString(16).toUpperCase().padStart(4, '0')} `
  const table = readFileSync('/proc/self/net/tcp', 'utf8').split('\n')
  return parseSocketTable(table.filter((line) => line.includes(mark)).join('\n'))
}

function isQuiet({ state, unreadBytes }: TcpSocket): boolean {
  return state === 'established' && unreadBytes === 0
}
