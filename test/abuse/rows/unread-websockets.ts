import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { heldFor } from '../../chaos/kernel-view.ts'
import { frameOf, heldOf, Opcode, openMany, openRaw } from '../raw-web-socket.ts'
import type { AbuseRow } from '../row.ts'
import type { AbuseStand } from '../stand.ts'

/** Together with the streams of others fewer than there are connections to the upstream. */
const Count = 130
const StallS = 3
const LookMs = 1_000
/** 8 MB, more than both systems take. */
const Long = 'sim:events=2000 sim:size=4000 sim:gap=20'
/** 20 KB, which the systems take whether they are read or not. */
const Short = 'sim:events=400 sim:gap=0'
/** Long answers stall in turns: one that ends makes room for others, which go on until they stall, too. */
const AnswersPatienceS = 90
/** Four heartbeats after the last answer, and a moment to close. */
const PatienceS = AnswersPatienceS + 4 * 25 + 10

/**
 * An answer that its client does not read stops the upstream, and ends in time. One that was sent whole holds nothing but the
 * system's memory, which is bounded; its connection ends when it has answered no heartbeat.
 */
export const row: AbuseRow = {
  name: 'unread-websockets',
  what: `${Count} WebSockets each that ask for an answer of 8 MB, or of 20 KB, ping on, and read nothing`,
  settings: { CLIENT_STALL_TIMEOUT: String(StallS) },
  async attack(stand) {
    const { port } = stand
    const sockets = await openMany(2 * Count, () => openRaw(stand))
    const clients = sockets.map(({ localPort }) => ({ localPort })) // a destroyed socket forgets it
    const pings = setInterval(() => {
      for (const socket of sockets) {
        if (socket.writable) socket.write(frameOf({ opcode: Opcode.ping }))
      }
    }, 200)
    let mostBytes = 0
    const look = setInterval(() => {
      const unsent = heldFor(port).reduce((sum, { unsentBytes }) => sum + unsentBytes, 0)
      mostBytes = Math.max(mostBytes, unsent)
    }, LookMs)
    try {
      const askedAt = performance.now()
      for (const [index, socket] of sockets.entries()) {
        ask(socket, `${index % 2 === 0 ? Long : Short} number ${index}`)
      }
      const answersS = await untilNone(() => busyAt(stand), {
        patienceS: AnswersPatienceS,
        askedAt
      })
      const leftS = await untilNone(() => heldOf(clients, port), { patienceS: PatienceS, askedAt })
      return (
        `at most ${(mostBytes / 2 ** 20).toFixed(1)} MB were unsent; no answer went on after ${answersS.toFixed(0)} s, ` +
        `no connection was left after ${leftS.toFixed(0)} s`
      )
    } finally {
      clearInterval(pings)
      clearInterval(look)
      for (const socket of sockets) socket.destroy()
    }
  }
}

function ask(socket: Socket, input: string): void {
  const asked = JSON.stringify({ type: 'response.create', model: 'auto', input })
  socket.write(frameOf({ opcode: Opcode.text, payload: Buffer.from(asked) }))
}

/** WebSockets with an answer under way; bystanders have none. */
async function busyAt({ url, key }: Pick<AbuseStand, 'url' | 'key'>): Promise<number> {
  const headers = { authorization: `Bearer ${key}` }
  const metrics = await (await fetch(`${url}/metrics`, { headers })).text()
  return Number(/^kiro_gateway_websockets\{state="busy"\} (\d+)$/m.exec(metrics)?.[1])
}

/** Resolves with the seconds since `askedAt` when nothing is left. @throws if something is after `patienceS` */
async function untilNone(
  count: () => number | Promise<number>,
  { patienceS, askedAt }: { readonly patienceS: number; readonly askedAt: number }
): Promise<number> {
  for (;;) {
    const left = await count()
    const seconds = (performance.now() - askedAt) / 1000
    if (left === 0) return seconds
    if (!(seconds < patienceS)) throw new Error(`${left} were left after ${seconds.toFixed(0)} s`)
    await delay(LookMs)
  }
}
