import { createConnection } from 'node:net'
import { WebSocket } from 'ws'
import { WorldSocket } from './network.ts'

/** What has come of an answer so far. */
export interface Seen {
  status: number | null
  /** As it came over HTTP. Messages of a WebSocket stand as they would in an event stream. */
  body: string
}

export interface SocketAsk {
  readonly id: number
  readonly port: number
  readonly key: string
  readonly request: object
  readonly restsMs: number
  /** Aborts when the client leaves. */
  readonly leaves: AbortSignal
}

/** How a WebSocket has ended: with the answer's last event, without it, or such that the client has to ask on another one or over HTTP. */
export type SocketEnd = 'complete' | 'lost' | 'again' | 'over HTTP'

const LAST = ['response.completed', 'response.incomplete', 'response.failed', 'error']
/** The gateway leaves, and has not begun with what was asked. */
const RESTART = 1012
const UPGRADE_REFUSED = 426

/** Asks on a WebSocket of its own, and writes down what comes in `seen`. Never rejects. */
export function askOnSocket(ask: SocketAsk, seen: Seen): Promise<SocketEnd> {
  const { promise, resolve } = Promise.withResolvers<SocketEnd>()
  // What it sends is masked, so that the question cannot be read from it.
  const connect = () => {
    const connection = createConnection(ask.port, '127.0.0.1')
    if (connection instanceof WorldSocket) connection.carries = ask.id
    return connection
  }
  const socket = new WebSocket(`ws://127.0.0.1:${ask.port}/v1/responses`, {
    headers: { authorization: `Bearer ${ask.key}` },
    perMessageDeflate: false,
    createConnection: connect as typeof createConnection
  })
  let hasRested = ask.restsMs === 0
  socket
    .on('error', () => {}) // its close follows
    .once('open', () => {
      seen.status = 200
      socket.send(JSON.stringify({ type: 'response.create', ...ask.request }))
    })
    .on('message', (bytes: Buffer) => {
      const text = bytes.toString()
      seen.body += `data: ${text}\n\n`
      const { type, status } = JSON.parse(text) as {
        readonly type: string
        readonly status?: number
      }
      if (LAST.includes(type)) {
        seen.status = status ?? seen.status
        resolve('complete')
        socket.close()
      }
      if (hasRested) return
      hasRested = true
      socket.pause()
      setTimeout(() => socket.resume(), ask.restsMs)
    })
    .once('unexpected-response', (request, response) => {
      seen.status = response.statusCode ?? null
      response.setEncoding('utf8').on('data', (chunk: string) => (seen.body += chunk))
      response
        .once('end', () => resolve(seen.status === UPGRADE_REFUSED ? 'over HTTP' : 'complete'))
        .once('error', () => resolve('lost'))
        .once('close', () => request.destroy())
    })
    .once('close', (code) => resolve(code === RESTART && seen.body === '' ? 'again' : 'lost'))
  const leave = (): void => socket.terminate()
  ask.leaves.addEventListener('abort', leave, { once: true })
  void promise.then(() => ask.leaves.removeEventListener('abort', leave))
  return promise
}
