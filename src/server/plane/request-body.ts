import type { IncomingMessage } from 'node:http'
import { abortErrorOf, GatewayError } from '../../shared/errors.ts'
import { ByteBlocks, freeMemory, UnwrittenMemory } from '../../shared/own-memory.ts'
import { PausableRequest } from './node-insides.ts'

export interface BodyLimits {
  readonly maxBytes: number
  readonly timeoutMs: number
}

/** Memory set aside for one body; given back by its owner. */
export interface BodyRoom {
  /** The largest body for which there could ever be room. */
  readonly largestBytes: number
  /**
   * Sets aside room for a body of this size; resolves when there is. Until then nothing is read.
   *
   * @throws {GatewayError} GW_MEMORY_FULL when it takes too long
   */
  reserve(bodyBytes: number): Promise<void>
  /** Others wait for room, and have none while this body is as slow as it is. */
  readonly isContested: boolean
  /** Gives room back: the body comes so slowly that others would wait for it, and has room for this much for now. */
  loosenTo(bodyBytes: number): void
  /**
   * Waits until there is room for this much of a body that is being read.
   *
   * @throws {GatewayError} GW_MEMORY_FULL at once where all bodies would wait for each other
   */
  extend(bodyBytes: number): Promise<void>
  /**
   * Makes the room that is held large enough for this size, at once or not at all.
   *
   * @throws {GatewayError} GW_MEMORY_FULL
   */
  grow(bodyBytes: number): void
  /**
   * The same for a payload of more than the usual size beside the body that it is made of.
   *
   * @throws {GatewayError} GW_MEMORY_FULL; GW_BODY_TOO_LARGE where there could never be room
   */
  growForPayload(payloadBytes: number, bodyBytes: number): void
}

/** Room for a body that comes slowly or whose size the client did not declare, and by how much it grows. */
const STEP_BYTES = 256 * 1024

/**
 * A body has all its room while it is on its way to be whole within this time; one of unknown size while each step
 * comes within it.
 */
const WHOLE_WITHIN_MS = 5_000
const PACE_CHECK_MS = 250
/** Room beyond what has come of a slow one; a silent one has none. */
const SLACK_BYTES = 32 * 1024
/** No client is too slow before this. */
const PATIENCE_MS = 1_000

/**
 * Reads a request's body as bytes, not before there is memory for it.
 *
 * @throws {GatewayError} GW_BODY_ENCODED, GW_BODY_INVALID, GW_BODY_TOO_LARGE, GW_BODY_TIMEOUT, GW_MEMORY_FULL; the signal's reason when
 *   the client leaves.
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
  const whole = declared === null ? null : takeWhole(request, declared)
  if (whole !== null) return whole
  return new BodyReader({ request, timeoutMs: limits.timeoutMs, room, size, declared }).read(signal)
}

/**
 * Takes a body that has come whole, as most of a few kilobytes have when they are wanted: nothing is waited for, and no
 * timer is set. The body gets memory of its own, since that of the head beside it would live as long. Returns `null` if
 * some of it is still to come.
 *
 * `read()` without a size gives all that is buffered on Node 24, and one chunk of it on Node 26.
 */
function takeWhole(request: IncomingMessage, declared: number): Uint8Array | null {
  if (!request.complete || request.readableLength !== declared) return null
  const own = new UnwrittenMemory(declared)
  for (let chunk = readChunk(request); chunk !== null; chunk = readChunk(request)) own.append(chunk)
  return own.whole()
}

function readChunk(request: IncomingMessage): Buffer | null {
  return request.read()
}

/** Size limit of a body: as configured, or less if the memory for bodies is small. */
class BodySize {
  readonly #maxBytes: number
  readonly #isMemory: boolean

  constructor({ maxBytes }: BodyLimits, { largestBytes }: BodyRoom) {
    this.#isMemory = largestBytes < maxBytes
    this.#maxBytes = this.#isMemory ? largestBytes : maxBytes
  }

  /** @throws {GatewayError} GW_BODY_TOO_LARGE, which names the setting to change. */
  check(bytes: number): void {
    if (bytes <= this.#maxBytes) return
    const largest = `The request body is larger than ${this.#maxBytes} bytes`
    const message = this.#isMemory
      ? `${largest}, the most that memory allows. Give the container more memory, or raise MEMORY_LIMIT.`
      : `${largest} (MAX_BODY_BYTES).`
    throw new GatewayError('GW_BODY_TOO_LARGE', undefined, { message })
  }

  /** For how many bytes to have room next, beyond so many. */
  step(bytes: number, declared: number | null): number {
    return Math.min(bytes + STEP_BYTES, declared ?? this.#maxBytes)
  }
}

/** Smaller chunks may share the memory of a pool, and are not worth the trouble. */
const MIN_FREED_BYTES = 16 * 1024

interface BodyReaderOptions {
  readonly request: IncomingMessage
  readonly timeoutMs: number
  readonly room: BodyRoom
  readonly size: BodySize
  /** `null` when the client did not say. */
  readonly declared: number | null
}

class BodyReader {
  readonly #options: BodyReaderOptions
  /**
   * With a declared length the body is read into its place at once: no second copy of it ever exists. It is made for the first
   * bytes: where none come, none is needed.
   */
  #target: UnwrittenMemory | null = null
  readonly #blocks = new ByteBlocks()
  readonly #done = Promise.withResolvers<Uint8Array>()
  /** Were copied; to be freed once the parser that gave them is through with them. Bounded by a turn of the loop. */
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
    const onData = (chunk: Buffer): void => this.#take(chunk)
    const onEnd = (): void => {
      try {
        resolve(this.#whole())
      } catch (error) {
        reject(error)
      }
    }
    const onGone = (): void => {
      // A request that was read to its end closes, too.
      if (!request.complete) reject(abortErrorOf(signal))
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

  /** Returns all bytes of a body that has ended. */
  #whole(): Buffer {
    return this.#target?.whole() ?? this.#blocks.take()
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

  /** Memory of buffers makes V8 collect its whole heap every few dozen bodies; freed here, it does not count. */
  #freeSoon(chunk: Buffer): void {
    if (chunk.byteLength < MIN_FREED_BYTES) return
    if (this.#spent.push(chunk) > 1) return
    setImmediate(() => {
      for (const spent of this.#spent) freeMemory(spent)
      this.#spent = []
    })
  }

  /** Reads on when there is room for what has come. */
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
      this.#blocks.clear()
      this.#done.reject(error)
    }
  }

  /**
   * Enforces the pace of a body: a slow one has memory only for what has come, and gets more as it comes. If others
   * wait for the memory of one key's slow bodies, it has to go.
   */
  #checkPace(elapsedMs: number): void {
    const { room, declared } = this.#options
    if (this.#bytes >= ((declared ?? STEP_BYTES) * elapsedMs) / WHOLE_WITHIN_MS) return
    if (elapsedMs > PATIENCE_MS && this.#reserved > 0 && room.isContested) {
      this.#blocks.clear()
      this.#done.reject(tooSlow())
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

/** Bytes of an unread body in memory: what one read of its socket gives (`PacedRequest`). */
const UNREAD_BYTES = 64 * 1024

/** Bytes of a request's unread body that may be in memory. */
export function unreadBytesOf(request: IncomingMessage): number {
  return Math.min(declaredLength(request) ?? UNREAD_BYTES, UNREAD_BYTES)
}

/**
 * Each chunk of a body costs a microsecond, however small it is, and libuv reads up to 2 MiB of one connection before it
 * looks at another. A client that sends more chunks is read on in the next turn of the event loop.
 */
const MAX_CHUNKS_A_TURN = 256
/** A body of more chunks than that has so many bytes in each on average. The chunks of real clients have kilobytes. */
const MIN_COUNTED_CHUNKS = 4_096
const MIN_CHUNK_BYTES = 16

/** A body comes in chunks of so few bytes that reading it would cost others more than it can be worth to its client. */
export class BodyInCrumbs extends Error {
  readonly code = 'BODY_IN_CRUMBS'
}

/** Nothing more of its body is read. Its reader has heard a `BodyInCrumbs`, or will find out here. */
export function isInCrumbs(request: IncomingMessage): boolean {
  return request instanceof PacedRequest && request.isInCrumbs
}

/** Its client waits to be asked for its body (`Expect: 100-continue`), of which nothing has come. */
export function isUninvited(request: IncomingMessage): boolean {
  return request instanceof PacedRequest && request.isUninvited
}

/**
 * A request of a client, whose body is read no faster than is fair to others, and is asked for when it is read first. Until then
 * one read of its socket is all that is in memory: the system keeps the rest, and lets the client wait.
 */
export abstract class PacedRequest extends PausableRequest {
  #invite: (() => void) | null = null
  #chunks = 0
  #bytes = 0
  #chunksInTurn = 0
  /** `held`: until the next turn of the event loop. */
  #state: 'steady' | 'held' | 'refused' = 'steady'
  /** More was asked for while it was held; it is not asked for twice. */
  #isReadDue = false
  #hasReader = false

  get isInCrumbs(): boolean {
    return this.#state === 'refused'
  }

  get isUninvited(): boolean {
    return this.#invite !== null && this.#bytes === 0
  }

  /** Its client waits: `invite` asks for its body. */
  awaitInvitation(invite: () => void): void {
    this.#invite = invite
  }

  /** Called once, when it is found to be in crumbs. */
  abstract onCrumbs(): void

  protected override onChunk(chunk: Buffer): boolean {
    if (this.#state === 'refused') return false
    this.#chunks += 1
    this.#bytes += chunk.byteLength
    if (this.#chunks > MIN_COUNTED_CHUNKS && this.#bytes < this.#chunks * MIN_CHUNK_BYTES) {
      this.#state = 'refused'
      this.onCrumbs()
      return false
    }
    // Most bodies come as one chunk: counting begins anew only after a turn that had more.
    this.#chunksInTurn += 1
    if (this.#chunksInTurn === 2) setImmediate(() => this.#onNextTurn())
    if (this.#chunksInTurn > MAX_CHUNKS_A_TURN) this.#state = 'held'
    const isSteady = this.#state === 'steady'
    return this.pass(chunk) && isSteady && (this.#hasReader || this.#isWhole)
  }

  /** A stop at the last chunk would be undone at once. */
  get #isWhole(): boolean {
    return this.#bytes === declaredLength(this)
  }

  protected override onWanted(): boolean {
    this.#hasReader = true
    this.#invite?.()
    this.#invite = null
    const isSteady = this.#state === 'steady'
    this.#isReadDue ||= !isSteady
    return isSteady
  }

  #onNextTurn(): void {
    this.#chunksInTurn = 0
    if (this.#state !== 'held') return
    this.#state = 'steady'
    const isWanted = this.#isReadDue || this.readableLength < this.readableHighWaterMark
    this.#isReadDue = false
    if (isWanted && this.#hasReader) this.readOn()
  }
}
