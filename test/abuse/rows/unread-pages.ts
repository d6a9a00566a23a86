import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { alivePeers, heldFor } from '../../chaos/kernel-view.ts'
import type { AbuseRow } from '../row.ts'
import type { AbuseStand } from '../stand.ts'

const Connections = 3_000
/** Those that are reset are replaced, up to so many in all. A client that does not read hears of no reset: the kernel tells. */
const Opened = 4_000
const AtOnce = 100
/** Where the machine has no time for the attacker it opens fewer. */
const MostSeconds = 60
/** Kept for the unread answers of clients without a key in 512 MB, and what the kernel's own may come to beside it. */
const StrangersMb = 12
/** The whole memory for sockets, and as much again of the headroom. */
const KnownMb = 64

const Pages = ['/docs', '/openapi.json', '/dashboard/uplot.js', '/', '/nowhere']

/** Long answers that nobody reads must not fill the kernel's memory, which the container pays for: with a key or without one. */
export const row: AbuseRow = {
  name: 'unread-pages',
  what: `${Connections} connections that ask for ${Pages.join(', ')} and read nothing, first without a key, then with one`,
  async attack(stand) {
    const strangers = await flood(stand, '')
    const known = await flood(stand, `x-api-key: ${stand.key}\r\n`)
    const seen = `unsent at most ${strangers.toFixed(1)} MB without a key, ${known.toFixed(1)} MB with one`
    if (strangers > StrangersMb || known > KnownMb)
      throw new Error(`${seen}, must be ${StrangersMb} and ${KnownMb}`)
    return seen
  }
}

/** The most that the kernel held for the gateway's clients, in MB. */
async function flood(stand: AbuseStand, header: string): Promise<number> {
  const { host, port } = stand
  const sockets = new Set<Socket>()
  let opened = 0
  const open = (): void => {
    const path = Pages[opened++ % Pages.length]
    const socket = connect({ host, port }).on('error', () => {})
    socket.pause().once('close', () => sockets.delete(socket))
    socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n${header}\r\n`)
    sockets.add(socket)
  }
  let mostMb = 0
  const look = (): void => {
    const heldMb = heldFor(port).reduce((sum, { unsentBytes }) => sum + unsentBytes, 0) / 2 ** 20
    mostMb = Math.max(mostMb, heldMb)
  }
  const begunAt = performance.now()
  while (opened < Opened && performance.now() - begunAt < MostSeconds * 1000) {
    for (let i = 0; i < AtOnce && sockets.size < Connections; i++) open()
    await delay(50)
    look()
    const alive = alivePeers(port)
    for (const socket of sockets) {
      const { connecting, localPort = 0 } = socket
      if (!connecting && !alive.has(localPort)) sockets.delete(socket.destroy())
    }
  }
  await delay(1000)
  look()
  stand.progress(`${opened} connections, ${sockets.size} open; unsent ${mostMb.toFixed(1)} MB`)
  stand.progress(`kernel: ${/^TCP:.*$/m.exec(readFileSync('/proc/net/sockstat', 'utf8'))?.[0]}`)
  for (const socket of sockets) socket.destroy()
  return mostMb
}
