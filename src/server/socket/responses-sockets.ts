import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import type { ToPrimary } from '../../ipc/channel.ts'
import type { PrimaryPulse } from '../primary/primary-pulse.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { KeptConversations } from './kept-conversations.ts'
import {
  KEY_ENDED,
  type Leave,
  ResponsesSocket,
  type ResponsesSocketOptions
} from './responses-socket.ts'

/** Request for a WebSocket, whose socket Node reads no more. */
export interface Handshake {
  readonly request: IncomingMessage
  readonly socket: Socket
  /** Bytes that came behind the request. */
  readonly head: Buffer
}

export type SocketClient = Pick<
  ResponsesSocketOptions,
  'answer' | 'makeId' | 'memoryFor' | 'place' | 'waitInLine'
> & {
  /** The client's key is good, and may be used here. */
  readonly isGood: () => boolean
  /** False while no request has vouched for the client's key; it gives way to others. */
  readonly isKnown: () => boolean
}

export interface ResponsesSocketsOptions {
  readonly plane: Pick<DataPlane, 'current' | 'metrics'>
  readonly kept: KeptConversations
  /** The primary counts the WebSockets of all workers. */
  readonly channel: ToPrimary
  readonly pulse: Pick<PrimaryPulse, 'ask'>
  /** True if this worker is about to end, and others serve. */
  readonly isEnding: () => boolean
}

const LOOK_MS = 1_000
/** Proxies close a connection without a byte after a minute. */
const PING_MS = 25_000
/** Time for a client to answer a close. */
const CLOSE_MS = 5_000
/** Fragments of one message: 32 MB in frames of 8 KiB. */
const MAX_FRAGMENTS = 4_096
/** Pieces of a message as they came from the network: 32 MB in packets of a kilobyte. */
const MAX_PIECES = 32_768

/** Options that the types of `ws` 8.18 do not know. */
const PATIENCE = {
  maxFragments: MAX_FRAGMENTS,
  maxBufferedChunks: MAX_PIECES,
  // Ten thousand pings of one read are ten thousand turns of the event loop, between which others have theirs.
  allowSynchronousEvents: false,
  closeTimeout: CLOSE_MS
}

const RESTART: Leave = {
  code: 1012,
  reason: 'The gateway restarts. Connect again.',
  refusal: 'GW_DRAINING'
}
const OLD: Leave = {
  code: 1001,
  reason: 'The connection has reached its age. Connect again.',
  refusal: 'GW_BODY_INVALID',
  errorCode: 'websocket_connection_limit_reached'
}

/** The WebSockets of a worker. Loads what speaks their protocol with the first of them. */
export class ResponsesSockets {
  readonly #options: ResponsesSocketsOptions
  /** Bounded by the setting, for all workers together. */
  readonly #sockets = new Map<ResponsesSocket, SocketClient>()
  #opening = 0
  /** Handshakes ask for a place one after the other, so that each question has the right number. */
  #asked = Promise.resolve(true)
  #isEnding = false
  #looks: NodeJS.Timeout | null = null
  #pingedAt = 0

  constructor(options: ResponsesSocketsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#sockets.size
  }

  get busy(): number {
    return [...this.#sockets.keys()].filter(({ isIdle }) => !isIdle).length
  }

  get keptBytes(): number {
    return this.#options.kept.bytes
  }

  get isServed(): boolean {
    return this.#options.plane.current.config.webSocket.maxConnections > 0
  }

  get #open(): number {
    return this.#sockets.size + this.#opening
  }

  /**
   * Takes a place for a handshake, which `accept()` must follow. False: its client is to go on over HTTP. A client that is
   * not known gives way.
   */
  takePlace(): Promise<boolean> {
    this.#asked = this.#asked.then(() => this.#takePlace())
    return this.#asked
  }

  async #takePlace(): Promise<boolean> {
    this.#opening += 1
    const question = { type: 'socket-place.wanted', open: this.#open } as const
    if (await this.#options.pulse.ask(question).catch(() => false)) return true // false: it is silent
    const stranger = this.#stranger()
    if (stranger === null) {
      this.#opening -= 1
      this.#tellOpen()
      return false
    }
    this.#forget(stranger)
    stranger.giveWay()
    return true
  }

  #tellOpen(): void {
    this.#options.channel.send({ type: 'sockets.open', open: this.#open })
  }

  /** The oldest that is idle, or else the oldest. */
  #stranger(): ResponsesSocket | null {
    let busy: ResponsesSocket | null = null
    for (const [socket, { isKnown }] of this.#sockets) {
      if (isKnown()) continue
      if (socket.isIdle) return socket
      busy ??= socket
    }
    return busy
  }

  /** Completes the handshake, for which a place was taken. The client's key was checked. */
  async accept(handshake: Handshake, client: SocketClient): Promise<void> {
    let webSocket: WebSocket | null = null
    try {
      webSocket = await this.#shake(handshake)
    } finally {
      this.#opening -= 1
      if (webSocket === null) this.#tellOpen()
    }
    if (webSocket !== null) this.#add(webSocket, handshake.request, client)
  }

  /** Closes idle connections now and the others after their answer, so that their clients connect elsewhere. */
  end(): void {
    this.#isEnding = true
    for (const socket of this.#sockets.keys()) socket.leave(RESTART)
  }

  /** Call when keys have changed: closes connections whose key is good no more. */
  checkKeys(): void {
    for (const [socket, { isGood }] of this.#sockets) if (!isGood()) socket.leave(KEY_ENDED)
  }

  /** `null` for a client that has left, or whose request `ws` has refused. */
  async #shake({ request, socket, head }: Handshake): Promise<WebSocket | null> {
    const { WebSocketServer } = await import('ws')
    if (socket.destroyed) return null
    const server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: this.#options.plane.current.config.server.maxBodyBytes,
      handleProtocols: (offered: ReadonlySet<string>) => chooseProtocol(offered),
      ...PATIENCE
    })
    let opened: WebSocket | null = null
    server.handleUpgrade(request, socket, head, (webSocket) => {
      opened = webSocket
    })
    return opened
  }

  #add(webSocket: WebSocket, request: IncomingMessage, client: SocketClient): void {
    const { plane, kept } = this.#options
    const { server } = plane.current.config
    const one = new ResponsesSocket({
      ...client,
      webSocket,
      request,
      kept,
      maxBodyBytes: server.maxBodyBytes,
      bodyTimeoutMs: () => plane.current.config.server.bodyTimeoutMs,
      onGone: () => this.#forget(one)
    })
    this.#sockets.set(one, client)
    this.#looks ??= setInterval(() => this.#look(), LOOK_MS).unref()
    if (this.#isEnding) one.leave(RESTART)
  }

  #forget(socket: ResponsesSocket): void {
    if (this.#sockets.delete(socket)) this.#tellOpen()
    if (this.#sockets.size > 0 || this.#looks === null) return
    clearInterval(this.#looks)
    this.#looks = null
  }

  #look(): void {
    const now = performance.now()
    const { plane, isEnding } = this.#options
    if (isEnding() && !this.#isEnding) this.end()
    const { maxAgeMs } = plane.current.config.webSocket
    const isPingDue = now - this.#pingedAt >= PING_MS
    if (isPingDue) this.#pingedAt = now
    for (const [socket, { isGood }] of this.#sockets) {
      socket.look(now, isPingDue)
      if (now - socket.openedAt >= maxAgeMs) socket.leave(OLD)
      else if (isPingDue && !isGood()) socket.leave(KEY_ENDED) // keys expire
    }
  }
}

/** The first that is not a key: browsers send theirs so, since they can send no header. */
function chooseProtocol(offered: ReadonlySet<string>): string | false {
  const [first = null] = [...offered].filter((one) => !one.startsWith('openai-insecure-api-key.'))
  return first ?? false
}
