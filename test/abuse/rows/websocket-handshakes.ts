import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { handshakeText, heldOf, openRaw } from '../raw-web-socket.ts'
import type { AbuseRow } from '../row.ts'

const Handshakes = 10_000
const Seconds = 60
const Slow = 300
const StepMs = 100
/** Part of its time after which the attacker says that it did not keep its pace. */
const MostBehind = 1.1

/** Handshakes cost more than requests: they are counted, and those that do not end are ended. */
export const row: AbuseRow = {
  name: 'websocket-handshakes',
  what: `${Handshakes} handshakes in ${Seconds} s, half of them with a key, beside ${Slow} that send a byte every second`,
  async attack(stand) {
    const { host, port, key } = stand
    const text = handshakeText(key)
    const slow = Array.from({ length: Slow }, () =>
      connect({ host, port })
        .on('error', () => {})
        .resume()
    )
    let taken = 0
    let failed = 0
    const open = async (own: string): Promise<void> => {
      try {
        const socket = await openRaw({ host, port, key: own })
        taken++
        socket.destroy()
      } catch {
        failed++
      }
    }
    const steps = (Seconds * 1000) / StepMs
    const opened: Promise<void>[] = []
    const startedAt = performance.now()
    for (let step = 0; step < steps; step++) {
      for (let index = 0; index < Handshakes / steps; index++) {
        opened.push(open(index % 2 === 0 ? key : 'made-up-0123456789'))
      }
      if (step % 10 === 0) for (const socket of slow) drip(socket, text, step / 10)
      // What a step takes itself is no longer waited for.
      await delay(Math.max(0, startedAt + (step + 1) * StepMs - performance.now()))
    }
    const tookS = (performance.now() - startedAt) / 1000
    await Promise.all(opened)
    await delay(5_000)
    const left = heldOf(slow, port)
    for (const socket of slow) socket.destroy()
    if (left > 0) throw new Error(`${left} slow handshakes were left`)
    if (taken < Handshakes / 2) throw new Error(`only ${taken} of ${Handshakes / 2} were taken`)
    const pace = tookS > Seconds * MostBehind ? ', since the machine was too busy for more,' : ''
    return `${taken} were taken, ${failed} refused in ${tookS.toFixed(0)} s${pace} and no slow one was left`
  }
}

function drip(socket: Socket, text: string, at: number): void {
  if (socket.writable) socket.write(text.charAt(at))
}
