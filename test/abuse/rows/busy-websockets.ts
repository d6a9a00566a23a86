import { once } from 'node:events'
import { WebSocket } from 'ws'
import type { AbuseRow } from '../row.ts'
import { tally } from '../probe.ts'

const Count = 300
const Turns = 4
const Words = 100

/** As many answers at once as there are connections to the upstream, each conversation going on from its last turn. */
export const row: AbuseRow = {
  name: 'busy-websockets',
  what: `${Count} WebSockets with ${Turns} turns each, all at once, of ${Words} events 30 ms apart`,
  settings: { HTTP_MAX_CONNECTIONS: '330' },
  async attack({ url, key }) {
    const ends: string[] = []
    const converse = async (index: number): Promise<void> => {
      const socket = new WebSocket(url.replace('http', 'ws') + '/v1/responses', {
        headers: { authorization: `Bearer ${key}` }
      })
      socket.on('error', () => {})
      await once(socket, 'open')
      let previous: string | null = null
      for (let turn = 0; turn < Turns; turn++) {
        const input = `sim:events=${Words} sim:gap=30 turn ${turn} of client ${index}`
        socket.send(
          JSON.stringify({
            type: 'response.create',
            model: 'auto',
            input,
            previous_response_id: previous
          })
        )
        const last = await lastEvent(socket)
        ends.push(last.type)
        previous = last.id
      }
      socket.close()
    }
    await Promise.all(Array.from({ length: Count }, (_, index) => converse(index)))
    const whole = ends.filter((end) => end === 'response.completed').length
    if (whole < Count * Turns) throw new Error(`answers ended with ${tally(ends)}`)
    return `all ${whole} answers were whole`
  }
}

const LAST: readonly unknown[] = ['response.completed', 'response.failed', 'error']

interface LastEvent {
  readonly type: string
  /** Of the response; `null` for a failure. */
  readonly id: string | null
}

function lastEvent(socket: WebSocket): Promise<LastEvent> {
  const { promise, resolve } = Promise.withResolvers<LastEvent>()
  const onMessage = (bytes: Buffer): void => {
    const text = bytes.toString()
    const [, type = ''] = /"type":"([\w.]+)"/.exec(text) ?? []
    if (!LAST.includes(type)) return
    const [, id = null] = /"id":"(resp_\w+)"/.exec(text) ?? []
    const [, code = ''] = /"code":"(\w+)"/.exec(text) ?? []
    end({ type: type === 'response.completed' ? type : `${type} ${code}`, id })
  }
  const onClose = (code: number): void => end({ type: `closed ${code}`, id: null })
  const end = (event: LastEvent): void => {
    socket.off('message', onMessage).off('close', onClose)
    resolve(event)
  }
  socket.on('message', onMessage).on('close', onClose)
  return promise
}
