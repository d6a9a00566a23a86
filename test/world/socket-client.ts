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
  /** The request to go on with from the last answer on this connection; `null` to send the whole in any case. */
  readonly next: object | null
  readonly restsMs: number
  /** Aborts when the client leaves. */
  readonly leaves: AbortSignal
  /** A client that leaves says so, and keeps the connection. */
  readonly cancels: boolean
}

/** How a question on a WebSocket has ended: with the answer's last event, without it, or such that the client has to ask on another one or over HTTP. */
export type SocketEnd = 'complete' | 'lost' | 'again' | 'over HTTP'

const LAST = ['response.completed', 'response.incomplete', 'response.failed', 'error']
/** Why a gateway closes a WebSocket before it begins with what was asked: the key is good no more, or a worker leaves. */
const NOT_BEGUN = [1008, 1012]
const UPGRADE_REFUSED = 426
const CANCEL = JSON.stringify({ type: 'response.cancel' })
const NOT_FOUND = '"previous_response_not_found"'

interface Event {
  readonly type: string
  readonly status?: number
  readonly response?: { readonly id?: string }
}

/** The connection under a WebSocket, and who hears of it now. */
interface Open {
  readonly port: number
  readonly socket: WebSocket
  readonly connection: WorldSocket | null
  /** `null` between two questions. */
  asked: {
    readonly onEvent: (event: Event, text: string) => void
    readonly onClose: (code: number) => void
  } | null
}

/** The WebSocket of a client, for one question after the other. It is opened when it is needed, and again after it was lost. */
export class ClientSocket {
  #open: Open | null = null
  #responseId: string | null = null

  /** Gateway that it is connected to; `null` if it is not. */
  get port(): number | null {
    return this.#open?.port ?? null
  }

  /** The last whole answer on this connection, which the next question can go on from. */
  get responseId(): string | null {
    return this.#responseId
  }

  /** Asks, and writes down what comes in `seen`. Never rejects. */
  async ask(ask: SocketAsk, seen: Seen): Promise<SocketEnd> {
    if (this.port !== ask.port) this.close()
    if (this.#responseId === null || ask.next === null) return this.#askOnce(ask, ask.request, seen)
    const sent = { ...ask.next, previous_response_id: this.#responseId }
    const end = await this.#askOnce(ask, sent, seen)
    if (!seen.body.includes(NOT_FOUND)) return end
    seen.body = '' // its conversation has made room for others
    return this.#askOnce(ask, ask.request, seen)
  }

  close(): void {
    this.#open?.socket.close()
    this.#open = null
    this.#responseId = null
  }

  #askOnce(ask: SocketAsk, request: object, seen: Seen): Promise<SocketEnd> {
    const { promise, resolve } = Promise.withResolvers<SocketEnd>()
    const isKept = this.#open !== null
    const open = this.#open ?? this.#connect(ask, seen, resolve)
    const { socket, connection } = open
    if (connection !== null) connection.carries = ask.id
    let hasRested = ask.restsMs === 0
    open.asked = {
      onEvent: ({ type, status, response }, text) => {
        seen.body += `data: ${text}\n\n`
        if (LAST.includes(type)) {
          seen.status = status ?? seen.status
          if (type === 'response.completed' && !ask.leaves.aborted)
            this.#responseId = response?.id ?? null
          resolve('complete')
        }
        if (hasRested) return
        hasRested = true
        socket.pause()
        setTimeout(() => socket.resume(), ask.restsMs)
      },
      onClose: (code) => {
        const hitWith = connection?.hitWith ?? null
        const wasHitBefore = hitWith !== null && hitWith.carries !== ask.id
        const isAgain = NOT_BEGUN.includes(code) || wasHitBefore
        resolve(isAgain && seen.body === '' ? 'again' : 'lost')
      }
    }
    const send = (): void => {
      seen.status = 200
      socket.send(JSON.stringify({ type: 'response.create', ...request }))
    }
    if (isKept) send()
    else socket.once('open', send)
    const leave = (): void => {
      if (ask.cancels && socket.readyState === socket.OPEN) socket.send(CANCEL)
      else socket.terminate()
    }
    ask.leaves.addEventListener('abort', leave, { once: true })
    return promise.finally(() => {
      ask.leaves.removeEventListener('abort', leave)
      open.asked = null
    })
  }

  #connect({ id, port, key }: SocketAsk, seen: Seen, resolve: (end: SocketEnd) => void): Open {
    // What it sends is masked, so that the question cannot be read from it.
    const connection = createConnection(port, '127.0.0.1')
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/responses`, {
      headers: { authorization: `Bearer ${key}` },
      perMessageDeflate: false,
      createConnection: (() => connection) as unknown as typeof createConnection
    })
    const inWorld = connection instanceof WorldSocket ? connection : null
    if (inWorld !== null) inWorld.carries = id
    const open: Open = { port, socket, connection: inWorld, asked: null }
    const forget = (): void => {
      if (this.#open !== open) return
      this.#open = null
      this.#responseId = null
    }
    socket
      .on('error', () => {}) // its close follows
      .on('message', (bytes: Buffer) => {
        const text = bytes.toString()
        open.asked?.onEvent(JSON.parse(text) as Event, text)
      })
      .once('unexpected-response', (request, response) => {
        forget()
        seen.status = response.statusCode ?? null
        response.setEncoding('utf8').on('data', (chunk: string) => (seen.body += chunk))
        response
          .once('end', () => resolve(seen.status === UPGRADE_REFUSED ? 'over HTTP' : 'complete'))
          .once('error', () => resolve('lost'))
          .once('close', () => request.destroy())
      })
      .once('close', (code) => {
        forget()
        open.asked?.onClose(code)
      })
    this.#open = open
    return open
  }
}
