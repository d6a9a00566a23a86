import type { IncomingMessage } from 'node:http'
import { abortErrorOf, codeOf, GatewayError, messageOf } from '../../shared/errors.ts'
import {
  ByteBlocks,
  freeMemory,
  MIN_FREED_BYTES,
  UnwrittenMemory
} from '../../shared/own-memory.ts'
import { PausableRequest } from './node-insides.ts'

export interface BodyLimits {
  readonly maxBytes: number
  readonly timeoutMs: number
}

/** Memory for one body; its owner frees it. */
export interface BodyRoom {
  readonly largestBytes: number
  /**
   * Nothing is read before there is room.
   * @throws {GatewayError} GW_MEMORY_FULL after too long
   */
  reserve(bodyBytes: number): Promise<void>
  /** Others wait for room that this slow body holds. */
  readonly isContested: boolean
  /** Gives room of a slow body back, so that others need not wait for it. */
  loosenTo(bodyBytes: number): void
  /** @throws {GatewayError} GW_MEMORY_FULL at once if all bodies would wait for each other */
  extend(bodyBytes: number): Promise<void>
  /** @throws {GatewayError} GW_MEMORY_FULL, without waiting */
  grow(bodyBytes: number): void
  /** @throws {GatewayError} GW_MEMORY_FULL, without waiting; GW_BODY_TOO_LARGE if it could never fit */
  growForPayload(payloadBytes: number, bodyBytes: number): void
}

/** First room, and growth, of a body that is slow or of undeclared size. */
const STEP_BYTES = 256 * 1024

/** A body has all its room while it would be whole in this time; one of unknown size while each step comes in it. */
const WHOLE_WITHIN_MS = 5_000
const PACE_CHECK_MS = 250
/** Room of a slow body beyond what has come; a silent one has none. */
const SLACK_BYTES = 32 * 1024
/** No client is too slow before this. */
const PATIENCE_MS = 1_000

/**
 * @throws {GatewayError} GW_BODY_ENCODED, GW_BODY_INVALID, GW_BODY_TOO_LARGE, GW_BODY_TIMEOUT,
 * GW_MEMORY_FULL; the signal's reason when the client leaves
 */
export async function readBody(
  request: IncomingMessage,
  limits: BodyLimits,
  room: BodyRoom,
  signal: AbortSignal
): Promise<Uint8Array> {
  const encoding = request.headers['content-encoding']?.trim().toLowerCase() ?? ''
  if (encoding !== '' && encoding !== 'identity') throw new GatewayError('GW_BODY_ENCODED')
  const declared = declaredLength(request)
  if (declared === 0) return new Uint8Array()
  const size = new BodySize(limits, room)
  if (declared !== null) size.check(declared)
  await room.reserve(declared ?? size.step(0, null))
  try {
    const whole = declared === null ? null : takeWhole(request, declared)
    if (whole !== null) return whole
    const { timeoutMs } = limits
    return await new BodyReader({ request, timeoutMs, room, size, declared }).read(signal)
  } catch (cause) {
    throw isWantOfMemory(cause)
      ? new GatewayError('GW_MEMORY_FULL', messageOf(cause), { cause })
      : cause
  }
}

/** The system gives no memory, although the budget has some. V8 and Node each have an error for that. */
function isWantOfMemory(cause: unknown): boolean {
  return cause instanceof RangeError || codeOf(cause) === 'ERR_MEMORY_ALLOCATION_FAILED'
}

/**
 * Takes a body that has arrived whole, without waits and timers. Copies it, since the head's memory beside
 * it would live as long. The parser may not have told its end yet, for which the request is left to flow.
 * `read()` without a size returns everything buffered on Node 24, and one chunk on Node 26.
 */
function takeWhole(request: IncomingMessage, declared: number): Uint8Array | null {
  if (request.destroyed || request.readableLength !== declared) return null
  const own = new UnwrittenMemory(declared)
  for (let chunk = readChunk(request); chunk !== null; chunk = readChunk(request)) own.append(chunk)
  request.resume()
  return own.whole()
}

function readChunk(request: IncomingMessage): Buffer | null {
  return request.read()
}

class BodySize {
  readonly #maxBytes: number
  readonly #isMemory: boolean

  constructor({ maxBytes }: BodyLimits, { largestBytes }: BodyRoom) {
    this.#isMemory = largestBytes < maxBytes
    this.#maxBytes = this.#isMemory ? largestBytes : maxBytes
  }

  /** @throws {GatewayError} GW_BODY_TOO_LARGE, which names the setting to change */
  check(bytes: number): void {
    if (bytes <= this.#maxBytes) return
    const largest = `The request body is larger than ${this.#maxBytes} bytes`
    const message = this.#isMemory
      ? `${largest}, the most that memory allows. Give the container more memory, or raise MEMORY_LIMIT.`
      : `${largest} (MAX_BODY_BYTES).`
    throw new GatewayError('GW_BODY_TOO_LARGE', undefined, { message })
  }

  step(bytes: number, declared: number | null): number {
    return Math.min(bytes + STEP_BYTES, declared ?? this.#maxBytes)
  }
}

interface BodyReaderOptions {
  readonly request: IncomingMessage
  readonly timeoutMs: number
  readonly room: BodyRoom
  readonly size: BodySize
  readonly declared: number | null
}

class BodyReader {
  readonly #options: BodyReaderOptions
  /** A body of declared length is read into place, without a second copy. Made for the first bytes. */
  #target: UnwrittenMemory | null = null
  readonly #blocks = new ByteBlocks()
  readonly #done = Promise.withResolvers<Uint8Array>()
  /** Copied chunks, to free once the parser is through with them. Bounded by a turn of the loop. */
  #spent: Buffer[] = []
  #bytes = 0
  #reserved: number
  #isMakingRoom = false

  constructor(options: BodyReaderOptions) {
    const { declared, size } = options
    this.#options = options
    this.#reserved = declared ?? size.step(0, null)
  }

  async read(signal: AbortSignal): Promise<Uint8Array> {
    const { request, timeoutMs } = this.#options
    const { promise, resolve, reject } = this.#done
    const onData = (chunk: Buffer): void => {
      try {
        this.#take(chunk)
      } catch (error) {
        this.#refuse(error)
      }
    }
    const onEnd = (): void => {
      try {
        resolve(this.#target?.whole() ?? this.#blocks.take())
      } catch (error) {
        reject(error)
      }
    }
    const onGone = (): void => {
      // A request that was read to its end closes, too. What is left of one that came whole is not told once its client has left.
      if (signal.aborted || !request.complete) reject(abortErrorOf(signal))
    }
    const onError = (error: Error): void => {
      if (error instanceof BodyInCrumbs) reject(inCrumbs())
      else onGone()
    }
    const timer = setTimeout(() => {
      reject(new GatewayError(this.#isMakingRoom ? 'GW_MEMORY_FULL' : 'GW_BODY_TIMEOUT'))
    }, timeoutMs)
    const startedAt = performance.now()
    const pace = setInterval(() => this.#checkPace(performance.now() - startedAt), PACE_CHECK_MS)
    request.on('data', onData).once('end', onEnd).once('error', onError).once('close', onGone)
    signal.addEventListener('abort', onGone, { once: true })
    try {
      if (signal.aborted) onGone()
      else if (isInCrumbs(request)) reject(inCrumbs())
      return await promise
    } finally {
      clearTimeout(timer)
      clearInterval(pace)
      request.off('data', onData).off('end', onEnd).off('error', onError).off('close', onGone)
      signal.removeEventListener('abort', onGone)
    }
  }

  #take(chunk: Buffer): void {
    const { declared } = this.#options
    if (declared === null) this.#blocks.append(chunk)
    else {
      this.#target ??= new UnwrittenMemory(declared)
      this.#target.append(chunk) // Node ends the message at its declared length
    }
    this.#freeSoon(chunk)
    this.#bytes += chunk.byteLength
    if (this.#bytes > this.#reserved && !this.#isMakingRoom) void this.#makeRoom() // cannot reject
  }

  #freeSoon(chunk: Buffer): void {
    if (chunk.byteLength < MIN_FREED_BYTES) return
    if (this.#spent.push(chunk) > 1) return
    setImmediate(() => {
      for (const spent of this.#spent) freeMemory(spent)
      this.#spent = []
    })
  }

  async #makeRoom(): Promise<void> {
    const { request, room, size, declared } = this.#options
    request.pause()
    this.#isMakingRoom = true
    try {
      size.check(this.#bytes)
      while (this.#bytes > this.#reserved) {
        const next = size.step(this.#reserved, declared)
        await room.extend(next)
        this.#reserved = next
      }
      this.#isMakingRoom = false
      request.resume()
    } catch (error) {
      this.#refuse(error)
    }
  }

  #refuse(error: unknown): void {
    this.#blocks.clear()
    this.#done.reject(error)
  }

  /** A slow body has memory only for what has come. If others wait for one key's slow bodies, it is refused. */
  #checkPace(elapsedMs: number): void {
    const { room, declared } = this.#options
    if (this.#bytes >= ((declared ?? STEP_BYTES) * elapsedMs) / WHOLE_WITHIN_MS) return
    if (elapsedMs > PATIENCE_MS && this.#reserved > 0 && room.isContested) {
      this.#refuse(tooSlow())
      return
    }
    const enough = this.#bytes === 0 ? 0 : Math.min(this.#bytes + SLACK_BYTES, declared ?? Infinity)
    if (enough >= this.#reserved) return
    this.#reserved = enough
    room.loosenTo(enough)
  }
}

function tooSlow(): GatewayError {
  const message =
    'The request body arrived too slowly while other requests needed its memory. Try again shortly.'
  return new GatewayError('GW_MEMORY_FULL', 'slow body', { message, retryAfterS: 1 })
}

function inCrumbs(): GatewayError {
  const message =
    'The request body arrived in chunks of a few bytes each. Send it with a content-length, or in larger chunks.'
  return new GatewayError('GW_BODY_INVALID', 'chunks of a few bytes', { message })
}

function declaredLength(request: IncomingMessage): number | null {
  const length = request.headers['content-length']
  if (length !== undefined) return Number(length) // the parser has checked that it is one
  return request.headers['transfer-encoding'] === undefined ? 0 : null
}

/** Bytes of one read of a socket, the most of an unread body that is in memory (`PacedRequest`). */
const UNREAD_BYTES = 64 * 1024

export function unreadBytesOf(request: IncomingMessage): number {
  return Math.min(declaredLength(request) ?? UNREAD_BYTES, UNREAD_BYTES)
}

/**
 * A chunk costs a microsecond, and libuv reads up to 2 MiB of a connection at once; more are read in the
 * next turn.
 */
const MAX_CHUNKS_A_TURN = 256
/** Number of chunks beyond which their average size is bounded. Real clients send kilobytes. */
const MIN_COUNTED_CHUNKS = 4_096
/** Number of such chunks of a client without a key. */
const MIN_COUNTED_OF_STRANGER = 256
const MIN_CHUNK_BYTES = 16

/** Smaller chunks of a body without a length are put together: each would take hundreds of bytes beside its own. */
const WHOLE_CHUNK_BYTES = 4 * 1024

/** Chunks are so small that reading would cost others more than the body is worth. */
export class BodyInCrumbs extends Error {
  readonly code = 'BODY_IN_CRUMBS'
}

/** The body is not read any further. Its reader has got a `BodyInCrumbs`, or learns it here. */
export function isInCrumbs(request: IncomingMessage): boolean {
  return request instanceof PacedRequest && request.isInCrumbs
}

/** The client waits with its body (`Expect: 100-continue`), of which nothing has come. */
export function isUninvited(request: IncomingMessage): boolean {
  return request instanceof PacedRequest && request.isUninvited
}

/**
 * Reads no faster than is fair. Of a body that is larger than one read of its socket, memory has no more until it is
 * wanted: the system keeps the rest.
 */
export abstract class PacedRequest extends PausableRequest {
  /** The request has a key, which may still turn out to be wrong. */
  hasKey = false
  #invite: (() => void) | null = null
  #chunks = 0
  #bytes = 0
  #chunksInTurn = 0
  /** `held`: until the next turn of the event loop. */
  #state: 'steady' | 'held' | 'refused' = 'steady'
  /** More was asked for while held; it is not asked for twice. */
  #isReadDue = false
  #hasReader = false
  /** Small chunks of this turn. Bounded by what is read before `onChunk()` says to stop. */
  #gathered: ByteBlocks | null = null

  get isInCrumbs(): boolean {
    return this.#state === 'refused'
  }

  get isUninvited(): boolean {
    return this.#invite !== null && this.#bytes === 0
  }

  awaitInvitation(invite: () => void): void {
    this.#invite = invite
  }

  abstract onCrumbs(): void

  /** A request on the connection was let in. */
  abstract get isOfKnown(): boolean

  protected override onChunk(chunk: Buffer): boolean {
    if (this.#state === 'refused') return false
    this.#chunks += 1
    this.#bytes += chunk.byteLength
    if (this.#chunks > MIN_COUNTED_OF_STRANGER && this.#hasCrumbs) {
      this.#state = 'refused'
      this.#gathered?.clear()
      this.skipRead()
      this.onCrumbs()
      return false
    }
    // Most bodies come as one chunk: counts restart only after a turn with more.
    this.#chunksInTurn += 1
    if (this.#chunksInTurn === 2) setImmediate(() => this.#onNextTurn())
    if (this.#chunksInTurn > MAX_CHUNKS_A_TURN) this.#state = 'held'
    const isSteady = this.#state === 'steady'
    return this.#pass(chunk) && isSteady && this.#mayComeNow
  }

  #pass(chunk: Buffer): boolean {
    const isWhole = chunk.byteLength >= WHOLE_CHUNK_BYTES || declaredLength(this) !== null
    if (isWhole) {
      this.#passGathered()
      return this.pass(chunk)
    }
    this.#gathered ??= new ByteBlocks()
    if (this.#gathered.bytes === 0) setImmediate(() => this.#passGathered())
    this.#gathered.append(chunk)
    return this.readableLength + this.#gathered.bytes < this.readableHighWaterMark
  }

  protected override onLast(): void {
    this.#passGathered()
  }

  #passGathered(): void {
    if (this.#gathered !== null && this.#gathered.bytes > 0) this.pass(this.#gathered.take())
  }

  get #hasCrumbs(): boolean {
    if (this.#bytes >= this.#chunks * MIN_CHUNK_BYTES) return false
    return this.#chunks > MIN_COUNTED_CHUNKS || !(this.isOfKnown || this.hasKey)
  }

  /** A small body comes whole, wanted or not: only who reads on hears that the client has left. */
  get #mayComeNow(): boolean {
    return this.#hasReader || (declaredLength(this) ?? Infinity) <= UNREAD_BYTES
  }

  protected override onWanted(): boolean {
    this.#hasReader = true
    this.#invite?.()
    this.#invite = null
    const isSteady = this.#state === 'steady'
    this.#isReadDue ||= !isSteady
    return isSteady
  }

  /** A read may bring the chunks of many turns. */
  #onNextTurn(): void {
    this.#chunksInTurn = Math.max(0, this.#chunksInTurn - MAX_CHUNKS_A_TURN)
    if (this.#chunksInTurn > 0) setImmediate(() => this.#onNextTurn())
    if (this.#state !== 'held' || this.#chunksInTurn > 0) return
    this.#state = 'steady'
    const isWanted = this.#isReadDue || this.readableLength < this.readableHighWaterMark
    this.#isReadDue = false
    if (isWanted && this.#mayComeNow) this.readOn()
  }
}
