import type { IncomingMessage } from 'node:http'
import type { WebSocket } from 'ws'
import { glueWith, toBytes } from '../../dialects/answer/answer-writer.ts'
import { toErrorReply } from '../../dialects/dialect.ts'
import {
  type ClientEvent,
  copyNewItems,
  newItemBytes,
  readClientEvent,
  readLargeEvent,
  toRequestBody
} from '../../dialects/openai-responses/client-event.ts'
import { isCompaction } from '../../dialects/openai-responses/output-items.ts'
import { toStoredConversation } from '../../dialects/openai-responses/earlier-items.ts'
import { MAX_BEFORE } from '../../dialects/openai-responses/stored-response.ts'
import { asGatewayError, type ErrorCode, GatewayError } from '../../shared/errors.ts'
import { parseJsonObject } from '../../shared/json.ts'
import { freeIfLong } from '../../shared/own-memory.ts'
import type { BodyMemory } from '../turn/body-memory.ts'
import type { EarlierConversation } from '../turn/body.ts'
import type { KeptTurns } from '../turn/kept-turns.ts'
import type { ArrivedBody, SocketAnswer } from '../turn/turn.ts'
import { FrameMeter } from './frame-meter.ts'
import { FrameResponse, type FrameTarget } from './frame-response.ts'
import type { LeaveLine } from './key-lines.ts'
import type { KeptConversation, KeptConversations } from './kept-conversations.ts'

/** Close code and reason (RFC 6455 §7.4). Clients reconnect after 1001, 1011, 1012 and 1013 only. */
interface Farewell {
  readonly code: 1001 | 1008 | 1009 | 1012 | 1013
  readonly reason: string
}

/** Ends a connection after the answer under way. */
export interface Leave extends Farewell {
  /** Error of requests that still wait for their answer: nothing of them was done. */
  readonly refusal: ErrorCode
  /** OpenAI's name of it, where clients know one. */
  readonly errorCode?: string
}

/** The connection's place among all connections of clients. */
export interface SocketPlace {
  /** An answer begins: it is watched whether its client reads. */
  begin(response: FrameResponse): void
  /** Nothing is asked on the connection. */
  rest(): void
}

export interface AskedTurn {
  readonly requestId: string
  readonly response: FrameResponse
  readonly arrived: ArrivedBody
  readonly isWarmUp: boolean
}

export interface RunningAnswer {
  abort(error: GatewayError): void
}

export interface ResponsesSocketOptions {
  readonly webSocket: WebSocket
  /** The handshake. */
  readonly request: IncomingMessage
  readonly place: SocketPlace
  readonly kept: KeptConversations
  readonly maxBodyBytes: number
  readonly bodyTimeoutMs: () => number
  readonly makeId: () => string
  /** @throws {GatewayError} if the client's key is good no more */
  readonly memoryFor: (signal: AbortSignal) => BodyMemory
  /** Waits until a large message of the client's key may have memory. Rejects with the signal's reason. */
  readonly waitInLine: (signal: AbortSignal) => Promise<LeaveLine>
  /** Answers a request. @throws {GatewayError} if the client's key is good no more */
  readonly answer: (asked: AskedTurn) => RunningAnswer
  readonly onGone: () => void
}

/** A message whose bytes come in, and the memory that they have. */
interface Arrival {
  readonly memory: BodyMemory
  declaredBytes: number
  /** Bytes that have room or wait for it. */
  bytes: number
  /** `performance.now()`, later by what the client was not read. */
  beganAt: number
  /** `null` before a large message has its turn, and for small ones. */
  leaveLine: LeaveLine | null
  room: Promise<GatewayError | null>
}

interface Request extends Held {
  readonly event: ClientEvent
}

type Held = Pick<Arrival, 'memory' | 'leaveLine'>

/** A message of this size may come before it has room: it is in the system's memory, or in one read of it. */
const SMALL_MESSAGE_BYTES = 64 * 1024
/** Messages that may have begun before the first of them was read. */
const MAX_ARRIVALS = 64
/** Requests that a client may send before it has its answer: OpenAI takes 32 lanes. */
const MAX_WAITING = 32
/** Smaller fragments carry hardly more than their heads. Clients that cut messages send kilobytes. */
const MIN_FRAGMENT_BYTES = 64
/** Frames that carry next to nothing (pings, tiny fragments) in a second. */
const MAX_EMPTY_FRAMES = 100
const EMPTY_FRAMES_MS = 1_000
/** Messages between two pings that are declined, after which the client is taken for broken. */
const MAX_MISTAKES = 16
/** Input that is told back when it is declined: a client that does not read has no room for more. */
const MAX_REPEATED_BYTES = 16 * 1024
/** Time for a client to read why its connection ends. */
const LAST_WORDS_MS = 1_000
/** Lanes that have a conversation, the nameless one among them; the one that was used longest ago loses it to another. */
const MAX_LANES = 33
/** Looks without a pong or a message from the client after which it is gone. */
const MAX_SILENT_LOOKS = 2

const BROKEN: Farewell = { code: 1008, reason: 'Too many messages are not a request.' }
const FLOOD: Farewell = { code: 1008, reason: 'Too many frames carry nothing.' }
const SLOW: Farewell = { code: 1008, reason: 'A message took longer than BODY_TIMEOUT.' }
const BINARY: Farewell = { code: 1008, reason: 'Messages must be text.' }
const TOO_LARGE: Farewell = { code: 1009, reason: 'The message is too large.' }
const NO_MEMORY: Farewell = { code: 1013, reason: 'There is no memory for a message. Try again.' }
const CROWDED: Farewell = { code: 1013, reason: 'Others need the connection. Try again later.' }
export const KEY_ENDED: Leave = {
  code: 1008,
  reason: 'The API key is not valid any more.',
  refusal: 'GW_KEY_INVALID'
}

/**
 * A client of the Responses API on a WebSocket. Each `response.create` is answered by a `Turn` like one over HTTP; between
 * answers the connection holds no permit and no memory but for its conversation, which may be dropped.
 *
 *            create                 answered, another waits
 *   idle ──────────────▶ answering ────────────────────────▶ answering
 *    ▲ │                    │  │ leave: after this answer
 *    │ └──leave──▶ closed ◀─│──┘
 *    └──────answered────────┘
 */
export class ResponsesSocket {
  readonly openedAt = performance.now()
  readonly #options: ResponsesSocketOptions
  readonly #gone = new AbortController()
  readonly #target: FrameTarget
  readonly #meter: FrameMeter
  #isAnswering = false
  #isClosed = false
  /** Set while the connection is to end with the answer under way. */
  #farewell: Leave | null = null
  /** Requests in the order in which they came. Bounded by MAX_WAITING. */
  #waiting: Request[] = []
  /** Messages that have begun, the oldest first. Bounded by MAX_ARRIVALS. */
  readonly #arrivals: Arrival[] = []
  /** Messages that were read are taken in their order, each when it has its room. */
  #taken = Promise.resolve()
  /** Parts of messages that wait for room. */
  #roomless = 0
  /** Conversation of each lane, the least recently used lane first. Bounded by MAX_LANES. */
  readonly #lanes = new Map<string | null, object>()
  #running: RunningAnswer | null = null
  #response: FrameResponse | null = null
  /** Lane of the answer under way, or of the last one. */
  #answeredLane: string | null = null
  #isCancelled = false
  #emptyFrames = 0
  #emptySince = 0
  /** Since the last ping that was due: an hour of a client's ordinary tries is not a reason to end. */
  #mistakes = 0
  /** Pings whose pongs have not come. */
  #pings = 0
  #heardBytes = 0
  /** The client has answered a ping, or begun a message. */
  #isHeard = false
  #silentLooks = 0
  /** Nothing that still comes is read, and the connection is about to be cut. */
  #isStopped = false
  /** An event was sent since the last ping that was due. */
  #hasSent = false
  /** Resolves when no answer is under way. */
  #rest = Promise.withResolvers<void>()

  constructor(options: ResponsesSocketOptions) {
    this.#options = options
    const { webSocket, request } = options
    this.#rest.resolve()
    this.#target = {
      send: (json, onSent) => {
        this.#hasSent = true
        webSocket.send(json, { binary: false }, () => onSent())
      },
      gather: (send) => {
        request.socket.cork()
        send()
        request.socket.uncork()
      },
      beat: () => this.#ping(),
      cut: () => this.#cut()
    }
    this.#meter = new FrameMeter({
      onDeclared: (bytes, isFirst) => this.#onDeclared(bytes, isFirst),
      onControl: () => this.#onControl(),
      onTrailing: () => this.#stopReading()
    })
    // Before the one of `ws`, so that a message has room before it is read.
    request.socket.prependListener('data', (chunk: Buffer) => this.#meter.push(chunk))
    webSocket
      .on('message', (bytes: Buffer, isBinary: boolean) => this.#onMessage(bytes, isBinary))
      .on('pong', () => {
        this.#isHeard = true
      })
      .on('error', () => this.#stopReading()) // its close follows
      .once('close', () => this.#onClose())
  }

  get isIdle(): boolean {
    return !this.#isAnswering && !this.#isClosed
  }

  /** Closes the connection: at once if nothing is asked, else after the answer. */
  leave(farewell: Leave): void {
    if (this.#isAnswering) this.#farewell ??= farewell
    else if (!this.#isClosed) this.#end(farewell)
  }

  /** Ends the connection at once, since another needs its place. */
  giveWay(): void {
    this.#end(CROWDED)
  }

  /** Call regularly. Ends a connection whose client is silent, or sends a message too slowly. */
  look(now: number, isPingDue: boolean): void {
    const { request, webSocket, bodyTimeoutMs } = this.#options
    const { bytesRead } = request.socket
    const [oldest] = this.#arrivals
    if (oldest !== undefined && now - oldest.beganAt > bodyTimeoutMs() && !webSocket.isPaused)
      return this.#end(SLOW)
    // It is not read, so only what is sent shows that its client is gone; what it has asked may wait for long.
    if (!isPingDue) return webSocket.isPaused ? this.#ping() : undefined
    this.#mistakes = 0
    // Behind events that a slow client still reads, a ping is late; its reading is watched instead.
    const isReading = this.#hasSent || webSocket.bufferedAmount > 0
    const mayBeLate = this.#response?.headersSent === true && isReading
    const isJudged = !mayBeLate && !webSocket.isPaused
    this.#hasSent = false
    // Pings of its own say nothing: a client that answers none does not read what it is sent.
    const isHeard = this.#isHeard || (oldest !== undefined && bytesRead !== this.#heardBytes)
    this.#heardBytes = bytesRead
    this.#isHeard = false
    this.#silentLooks = isHeard || !isJudged ? 0 : this.#silentLooks + 1
    if (this.#silentLooks > MAX_SILENT_LOOKS) this.#cut()
    else this.#ping()
  }

  /** With a reset: behind a FIN the system would go on holding what the client does not read. */
  #cut(): void {
    this.#options.request.socket.resetAndDestroy()
  }

  #ping(): void {
    const { webSocket } = this.#options
    // A client that does not read would only be given more.
    if (webSocket.readyState !== webSocket.OPEN || webSocket.bufferedAmount > 0) return
    this.#pings += 1
    webSocket.ping()
  }

  #onDeclared(bytes: number, isFirst: boolean): void {
    const last = this.#arrivals.at(-1)
    this.#isHeard = true
    if (this.#isClosed) return this.#stopReading()
    if (!isFirst && last !== undefined) {
      if (bytes - last.declaredBytes < MIN_FRAGMENT_BYTES) this.#noteEmpty()
      last.declaredBytes = bytes
      if (bytes <= last.bytes) return
    }
    try {
      if (bytes > this.#options.maxBodyBytes) {
        this.#refuseSize(new GatewayError('GW_BODY_TOO_LARGE'))
        return
      }
      const arrival = isFirst || last === undefined ? this.#begin(bytes) : last
      const steps = Math.ceil(bytes / SMALL_MESSAGE_BYTES) * SMALL_MESSAGE_BYTES
      if (arrival !== null) this.#admit(arrival, isFirst ? bytes : steps)
    } catch (cause) {
      this.#refuse(asGatewayError(cause), null)
      this.#end(KEY_ENDED)
    }
  }

  #begin(declaredBytes: number): Arrival | null {
    if (this.#arrivals.length >= MAX_ARRIVALS) {
      this.#end(BROKEN)
      return null
    }
    const arrival: Arrival = {
      memory: this.#options.memoryFor(this.#gone.signal),
      declaredBytes,
      bytes: 0,
      beganAt: performance.now(),
      leaveLine: null,
      room: Promise.resolve(null)
    }
    this.#arrivals.push(arrival)
    return arrival
  }

  /** Reads no more until a large message has room, and not before the answer under way has ended. */
  #admit(arrival: Arrival, bytes: number): void {
    const { webSocket } = this.#options
    const isFirst = arrival.bytes === 0
    const isLarge = bytes > SMALL_MESSAGE_BYTES
    arrival.bytes = bytes
    this.#roomless += 1
    if (isLarge || this.#roomless > 1) webSocket.pause()
    const { memory, room: before } = arrival
    const askedAt = performance.now()
    const take = async (): Promise<GatewayError | null> => {
      const failed = await before
      if (failed !== null) return failed
      try {
        if (isLarge) await this.#rest.promise
        if (isLarge) arrival.leaveLine ??= await this.#options.waitInLine(this.#gone.signal)
        if (!isFirst) await memory.extend(bytes)
        else if (isLarge) await memory.reserve(bytes)
        else await memory.reserveUnread(bytes) // it may wait long for a stream of its key
        this.#roomless -= 1
        arrival.beganAt += performance.now() - askedAt
        if (this.#roomless === 0 && webSocket.isPaused) webSocket.resume()
        return null
      } catch (cause) {
        release([arrival])
        // Its bytes will not be read, so nothing behind them can be.
        return this.#refuseSize(asGatewayError(cause))
      }
    }
    arrival.room = take()
  }

  #refuseSize(error: GatewayError): GatewayError {
    this.#refuse(error, null)
    this.#end(error.code === 'GW_BODY_TOO_LARGE' ? TOO_LARGE : NO_MEMORY)
    return error
  }

  /** Pongs may come all at once when reading goes on. */
  #onControl(): void {
    if (this.#pings > 0) this.#pings -= 1
    else this.#noteEmpty()
  }

  #noteEmpty(): void {
    const now = performance.now()
    if (now - this.#emptySince > EMPTY_FRAMES_MS) {
      this.#emptySince = now
      this.#emptyFrames = 0
    }
    this.#emptyFrames += 1
    if (this.#emptyFrames < MAX_EMPTY_FRAMES) return
    this.#end(FLOOD)
    this.#stopReading() // the flood goes on until its sender has read why it ends
  }

  #onMessage(bytes: Buffer, isBinary: boolean): void {
    const arrival = this.#arrivals.shift()
    if (arrival !== undefined)
      this.#taken = this.#taken.then(() => this.#take(arrival, bytes, isBinary))
  }

  async #take(arrival: Arrival, bytes: Buffer, isBinary: boolean): Promise<void> {
    if (isBinary) {
      release([arrival])
      return this.#end(BINARY)
    }
    const failed = await arrival.room
    if (failed !== null || this.#isClosed) return release([arrival])
    const isLarge = bytes.byteLength > SMALL_MESSAGE_BYTES
    const event = isLarge ? await readLargeEvent(bytes) : readClientEvent(bytes)
    if (this.#isClosed) return release([arrival])
    if (event?.type === 'response.create' && event.hasLane) {
      const { memory, leaveLine } = arrival
      return this.#create({ event, memory, leaveLine })
    }
    release([arrival])
    if (event?.type === 'response.cancel') this.#cancel(event)
    else if (event?.type === 'response.steer') this.#refuseSteering(event)
    else if (event?.type === 'response.create') this.#refuseLane(event)
    else this.#refuseMessage(event)
  }

  /**
   * Ends the answer under way, or what waits in another lane that is named. Without an answer under way there is nothing to
   * end: it may just have ended.
   */
  #cancel({ streamId }: ClientEvent): void {
    if (this.#running === null) return
    if (streamId !== null && streamId !== this.#answeredLane) {
      const isMeant = ({ event }: Request): boolean => event.streamId === streamId
      const dropped = this.#waiting.filter(isMeant)
      this.#waiting = this.#waiting.filter((request) => !isMeant(request))
      return this.#refuseAll(dropped, cancelled())
    }
    this.#isCancelled = true
    this.#running.abort(cancelled())
  }

  #refuseMessage(event: ClientEvent | null): void {
    const said = event === null ? 'A message' : `The type '${event.type.slice(0, 100)}'`
    const message = `${said} is not supported. Send a JSON object of type 'response.create'.`
    this.#refuse(new GatewayError('GW_BODY_INVALID', undefined, { message, param: 'type' }), event)
    this.#noteMistake()
  }

  #refuseLane(event: ClientEvent): void {
    const message = 'stream_id must be a text of at most 1 KB, and not empty.'
    const details = { error_code: 'invalid_stream_id' }
    const options = { message, param: 'stream_id', details }
    this.#refuse(new GatewayError('GW_BODY_INVALID', undefined, options), event)
    this.#noteMistake()
  }

  /** One request too many is not a reason to end the others: clients do not come back after a 1008. */
  #decline({ event, ...held }: Request): void {
    release([held])
    const message =
      'Too many requests wait on this WebSocket. Send this one again after an answer, or on another connection.'
    this.#refuse(new GatewayError('GW_QUEUE_FULL', undefined, { message, retryAfterS: 1 }), event)
    this.#noteMistake()
  }

  #refuseAll(requests: readonly Request[], error: GatewayError): void {
    for (const { event } of requests) this.#refuse(error, event)
    release(requests)
  }

  /** Nothing of the upstream's takes more input while it answers. */
  #refuseSteering({ bytes, previousId }: ClientEvent): void {
    const isShort = bytes.byteLength <= MAX_REPEATED_BYTES
    const { input = [] } = (isShort ? parseJsonObject(bytes.toString()) : null) ?? {}
    const error = {
      type: 'invalid_request_error',
      code: 'steering_not_supported',
      message: 'This model takes no input while it answers. Send it with the next response.create.'
    }
    const failed = { input, previous_response_id: previousId ?? '' }
    const told = { type: 'response.steer.failed', sequence_number: 0, error, steer: failed }
    this.#target.send(JSON.stringify(told), () => {})
    this.#noteMistake()
  }

  #noteMistake(): void {
    this.#mistakes += 1
    if (this.#mistakes >= MAX_MISTAKES) this.#end(BROKEN)
  }

  #refuse(error: GatewayError, event: Pick<ClientEvent, 'streamId'> | null): void {
    const { request, makeId } = this.#options
    // Nothing depends on whether an error outside of an answer is read.
    const target = { ...this.#target, cut: () => {} }
    const response = new FrameResponse(request, target, event?.streamId ?? null)
    answerError(response, { error, requestId: makeId() })
  }

  /** Answers one request at a time, in their order. */
  #create(request: Request): void {
    if (this.#isClosed) release([request])
    else if (!this.#isAnswering) this.#answer(request)
    else if (this.#waiting.length >= MAX_WAITING) this.#decline(request)
    else this.#waiting.push(request)
  }

  #answer({ event, memory, leaveLine }: Request): void {
    const { request, place, kept, answer, makeId } = this.#options
    this.#isAnswering = true
    const response = new FrameResponse(request, this.#target, event.streamId)
    const requestId = makeId()
    const { previousId, isWarmUp } = event
    const from = this.#laneOf(previousId)
    const lane = this.#laneFor(event.streamId)
    this.#answeredLane = event.streamId
    const earlier = from === null ? null : this.#earlier(from, previousId ?? '')
    // Its items must not live on in the listeners below when they are dropped.
    const goesOn = earlier !== null
    const own = {} // stands for the new items among what is kept
    const items = [copyNewItems(event)]
    const owner = memory.key
    const bytes = newItemBytes(event)
    kept.keep(own, { owner, responseId: '', items, bytes, chain: [], turns: null })
    let hasAnswer = false
    const onAnswer = (made: SocketAnswer): void => {
      hasAnswer = true
      this.#keep({ own, from, previousId, lane, made })
    }
    this.#rest = Promise.withResolvers()
    this.#response = response
    place.begin(response)
    response.once('close', () => {
      leaveLine?.()
      kept.forget(own)
      // What could not be gone on from is gone (the API's own rule), unless the client ended it.
      if (goesOn && from !== null && !hasAnswer && !this.#isCancelled) kept.forget(from)
      this.#onAnswered()
    })
    try {
      const sent = toRequestBody(event)
      freeMessage(event.bytes)
      const arrived = {
        ...sent,
        memory,
        earlier,
        onStream: () => leaveLine?.(),
        onTurns: (turns: KeptTurns) => {
          if (from !== null) kept.keepTurns(from, previousId ?? '', turns)
        },
        onAnswer
      }
      this.#running = answer({ requestId, response, arrived, isWarmUp })
    } catch (cause) {
      memory.release()
      answerError(response, { error: asGatewayError(cause), requestId })
      this.leave(KEY_ENDED)
    }
  }

  /** Returns the lane whose last response it is: a conversation may go on in another lane. */
  #laneOf(responseId: string | null): object | null {
    if (responseId === null) return null
    const { kept } = this.#options
    for (const lane of this.#lanes.values()) if (kept.find(lane, responseId) !== null) return lane
    return null
  }

  #laneFor(streamId: string | null): object {
    const lane = this.#lanes.get(streamId) ?? {}
    this.#lanes.delete(streamId)
    this.#lanes.set(streamId, lane)
    for (const [oldest, unused] of this.#lanes) {
      if (this.#lanes.size <= MAX_LANES) break
      this.#lanes.delete(oldest)
      this.#options.kept.forget(unused)
    }
    return lane
  }

  #earlier(lane: object, previousId: string): EarlierConversation | null {
    const find = (): KeptConversation | null => this.#options.kept.find(lane, previousId)
    const found = find()
    if (found === null) return null
    const { bytes } = found
    const turns = (): KeptTurns | null => find()?.turns ?? null
    return { bytes, turns, copy: (parts = 0) => toConversation(find(), parts) }
  }

  /** Keeps the conversation with its answer, if what it is made of is still there. */
  #keep({
    own,
    from,
    previousId,
    lane,
    made
  }: {
    readonly own: object
    /** Lane of the conversation that the answer goes on from. */
    readonly from: object | null
    readonly previousId: string | null
    /** The answer's own lane. */
    readonly lane: object
    readonly made: SocketAnswer
  }): void {
    const { kept } = this.#options
    const { responseId, items, isStored } = made
    const news = kept.find(own, '')
    const earlier = from === null ? null : kept.find(from, previousId ?? '')
    kept.forget(own)
    if (news === null || (previousId !== null && earlier === null)) return kept.forget(lane)
    const output = toBytes(glueWith(',', [...items.values()]))
    const isSummed = isCompaction(items.keys())
    const replaced = isSummed ? [] : [...(earlier?.items ?? []), ...news.items]
    const bytes = (isSummed ? 0 : (earlier?.bytes ?? 0) + news.bytes) + output.byteLength
    const all = [...replaced, output]
    const before = earlier === null || isSummed ? [] : earlier.chain
    const isWhole = isStored && before !== null && before.length < MAX_BEFORE
    const chain = isWhole ? [...before, responseId] : null
    const turns = isSummed ? null : (earlier?.turns ?? null)
    kept.keep(lane, { owner: news.owner, responseId, items: all, bytes, chain, turns })
  }

  #onAnswered(): void {
    this.#running = null
    this.#response = null
    this.#isCancelled = false
    this.#rest.resolve()
    this.#options.place.rest()
    this.#isAnswering = false
    if (this.#isClosed) return
    if (this.#farewell !== null) {
      this.#refuseAll(this.#waiting.splice(0), toError(this.#farewell))
      return this.#end(this.#farewell)
    }
    const next = this.#waiting.shift()
    if (next !== undefined) this.#answer(next)
  }

  /** Waiting requests get no answer any more. */
  #forgetWaiting(): void {
    this.#isClosed = true
    release(this.#waiting.splice(0))
  }

  /** Says why and closes. The rest of a message that has begun is not read. */
  #end({ code, reason }: Farewell): void {
    this.#forgetWaiting()
    const { webSocket } = this.#options
    if (this.#arrivals.length > 0) this.#stopReading()
    else if (webSocket.isPaused) webSocket.resume() // or the client's own close would not be read
    webSocket.close(code, reason)
  }

  #stopReading(): void {
    const { webSocket, request } = this.#options
    if (this.#isStopped) return
    this.#isStopped = true
    this.#meter.stop()
    webSocket.pause()
    // Behind a close, `ws` reads all that still comes: a hundred clients with a megabyte each hold up all others.
    request.socket.on('resume', () => request.socket.pause())
    setTimeout(() => this.#cut(), LAST_WORDS_MS).unref()
  }

  #onClose(): void {
    const { kept, onGone } = this.#options
    this.#forgetWaiting()
    this.#gone.abort(new GatewayError('GW_CLIENT_CLOSED'))
    this.#response?.destroy()
    release(this.#arrivals)
    this.#arrivals.length = 0
    for (const lane of this.#lanes.values()) kept.forget(lane)
    this.#lanes.clear()
    onGone()
  }
}

function release(all: readonly Held[]): void {
  for (const { memory, leaveLine } of all) {
    memory.release()
    leaveLine?.()
  }
}

/** Header of the longest frame. What fits in front of a shorter one's are frames without content. */
const MAX_HEADER_BYTES = 14

/** Frees a message's memory, unless that has the content of other frames. */
export function freeMessage(message: Buffer): void {
  if (message.byteOffset <= MAX_HEADER_BYTES) freeIfLong(message)
}

function toConversation(kept: KeptConversation | null, parts: number): Buffer | null {
  if (kept === null) return null
  return toStoredConversation(kept.responseId, kept.items.slice(parts), kept.chain)
}

function toError({ reason, refusal, errorCode }: Leave): GatewayError {
  const details = errorCode === undefined ? {} : { details: { error_code: errorCode } }
  return new GatewayError(refusal, undefined, { message: reason, ...details })
}

function cancelled(): GatewayError {
  const message = 'The client cancelled this response.'
  return new GatewayError('GW_CLIENT_CLOSED', 'response.cancel', { message })
}

function answerError(
  response: FrameResponse,
  { error, requestId }: { readonly error: GatewayError; readonly requestId: string }
): void {
  const { status, headers, body } = toErrorReply('openai-responses', error, requestId)
  response.writeHead(status, headers).end(body)
}
