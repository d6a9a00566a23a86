import type { IncomingMessage } from 'node:http'
import { GatewayError } from '../shared/errors.ts'

export interface BodyLimits {
  readonly maxBytes: number
  readonly timeoutMs: number
}

/** Memory set aside for one body; given back by its owner. */
export interface BodyRoom {
  /** Sets aside room for a body of this size; resolves when there is. Until then nothing is read. */
  reserve(bodyBytes: number): Promise<void>
}

/** Room for a body whose size the client did not declare, and by how much it grows. */
const UNDECLARED_STEP_BYTES = 256 * 1024

/**
 * Reads a request's body as bytes, not before there is memory for it.
 *
 * @throws {GatewayError} GW_BODY_TOO_LARGE, GW_BODY_TIMEOUT, GW_MEMORY_FULL; the signal's reason when the client
 *   leaves.
 */
export async function readBody(
  request: IncomingMessage,
  limits: BodyLimits,
  room: BodyRoom,
  signal: AbortSignal
): Promise<Uint8Array> {
  const declared = declaredLength(request)
  if (declared !== null && declared > limits.maxBytes) throw tooLarge(limits.maxBytes)
  if (declared === 0) return new Uint8Array()
  await room.reserve(declared ?? UNDECLARED_STEP_BYTES)
  return new BodyReader(request, limits, room, declared).read(signal)
}

/** Clients read no answer before they have sent their body; more or longer than this nobody is listened to. */
const DISCARD_MAX_BYTES = 256 * 1024 * 1024
const DISCARD_TIMEOUT_MS = 10_000

/** Reads what is left of an unwanted body to nowhere, so that its client gets to read our answer and not a reset. */
export function discardBody(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return
  let left = DISCARD_MAX_BYTES
  const give = (): void => void request.destroy()
  const timer = setTimeout(give, DISCARD_TIMEOUT_MS)
  request.on('data', (chunk: Buffer) => {
    left -= chunk.byteLength
    if (left < 0) give()
  })
  request.once('close', () => clearTimeout(timer))
  request.resume()
}

class BodyReader {
  readonly #request: IncomingMessage
  readonly #limits: BodyLimits
  readonly #room: BodyRoom
  /** With a declared length the body is read into its place at once: no second copy of it ever exists. */
  readonly #target: Buffer | null
  readonly #chunks: Buffer[] = []
  readonly #done = Promise.withResolvers<Uint8Array>()
  #bytes = 0
  #reserved: number

  constructor(
    request: IncomingMessage,
    limits: BodyLimits,
    room: BodyRoom,
    declared: number | null
  ) {
    this.#request = request
    this.#limits = limits
    this.#room = room
    this.#target = declared === null ? null : Buffer.allocUnsafeSlow(declared)
    this.#reserved = declared ?? UNDECLARED_STEP_BYTES
  }

  async read(signal: AbortSignal): Promise<Uint8Array> {
    const request = this.#request
    const { promise, resolve, reject } = this.#done
    const onData = (chunk: Buffer): void => this.#take(chunk)
    const onEnd = (): void => resolve(this.#target ?? Buffer.concat(this.#chunks))
    const onGone = (): void => {
      // A request that was read to its end closes, too.
      if (!request.complete) reject(signal.reason ?? new GatewayError('GW_CLIENT_CLOSED'))
    }
    const timer = setTimeout(
      () => reject(new GatewayError('GW_BODY_TIMEOUT')),
      this.#limits.timeoutMs
    )
    request.on('data', onData).once('end', onEnd).once('error', onGone).once('close', onGone)
    signal.addEventListener('abort', onGone, { once: true })
    try {
      if (signal.aborted) onGone()
      return await promise
    } finally {
      clearTimeout(timer)
      request.off('data', onData).off('end', onEnd).off('error', onGone).off('close', onGone)
      signal.removeEventListener('abort', onGone)
    }
  }

  #take(chunk: Buffer): void {
    if (this.#target !== null) {
      chunk.copy(this.#target, this.#bytes) // Node ends the message at its declared length
      this.#bytes += chunk.byteLength
      return
    }
    this.#chunks.push(chunk)
    this.#bytes += chunk.byteLength
    if (this.#bytes > this.#limits.maxBytes) this.#done.reject(tooLarge(this.#limits.maxBytes))
    else if (this.#bytes > this.#reserved) this.#reserveMore()
  }

  #reserveMore(): void {
    const step = this.#reserved
    this.#reserved += step
    this.#request.pause()
    this.#room.reserve(step).then(
      () => this.#request.resume(),
      (error: unknown) => this.#done.reject(error)
    )
  }
}

function declaredLength(request: IncomingMessage): number | null {
  const length = request.headers['content-length']
  if (length !== undefined) return Number(length) // the parser has checked that it is one
  return request.headers['transfer-encoding'] === undefined ? 0 : null
}

function tooLarge(maxBytes: number): GatewayError {
  const message = `The request body is larger than ${maxBytes} bytes (MAX_BODY_BYTES).`
  return new GatewayError('GW_BODY_TOO_LARGE', undefined, { message })
}
