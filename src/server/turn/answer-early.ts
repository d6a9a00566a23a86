import type { IncomingMessage } from 'node:http'
import type { ErrorReply } from '../../dialects/dialect.ts'
import type { ClientResponse } from '../../reply/client-response.ts'
import { isInCrumbs, isUninvited } from '../body/request-body.ts'

/** Bounds of discarding a body: many clients read no answer before they have sent theirs. */
export interface Patience {
  readonly maxBytes: number
  readonly timeoutMs: number
}

/** Patience with a client without a key: an ordinary body is read to its end. */
export const STRANGER: Patience = { maxBytes: 8 * 1024 * 1024, timeoutMs: 10_000 }
/** Patience with a client with a key, which should learn that its body is too large. */
export const KNOWN: Patience = { maxBytes: 256 * 1024 * 1024, timeoutMs: 10_000 }

/**
 * Sends the answer at once, but ends it only when the rest of the body was discarded: an end may close the
 * connection, and a client that still sends would see a reset instead. A body that was not asked for
 * (`expect`) is not awaited.
 */
export function answerEarly(
  request: IncomingMessage,
  response: Pick<ClientResponse, 'end' | 'write' | 'writeHead'>,
  { status, headers, body }: Omit<ErrorReply, 'body'> & { readonly body: string | Buffer },
  patience = STRANGER
): void {
  const own = { ...headers, 'content-length': Buffer.byteLength(body) }
  if (isUninvited(request)) {
    // The client may send the body or not: only closing is unambiguous.
    response.writeHead(status, { ...own, connection: 'close' }).end(body)
    return
  }
  response.writeHead(status, own)
  if (request.complete || request.destroyed) {
    response.end(body)
    return
  }
  response.write(body)
  discardRest(request, () => response.end(), patience)
}

/** Cuts the connection when patience is over: vanished clients send no end. */
export function discardRest(
  request: IncomingMessage,
  onOver: () => void,
  { maxBytes, timeoutMs }: Patience = STRANGER
): void {
  let left = maxBytes
  const end = (): void => {
    clearTimeout(timer)
    request.off('data', onData).off('end', end).off('error', end).off('close', end)
    PACE.leave(request)
    onOver()
    if (request.complete) return
    request.pause() // its connection ends in time, whatever it goes on to send
    request.socket.destroySoon() // what was written goes out first
  }
  const onData = (chunk: Buffer): void => {
    left -= chunk.byteLength
    if (left < 0) end()
    else PACE.note(request, chunk.byteLength + CHUNK_BYTES)
  }
  const timer = setTimeout(end, timeoutMs)
  if (isInCrumbs(request)) return end()
  request.on('data', onData).once('end', end).once('error', end).once('close', end)
  PACE.join(request)
}

const TICK_MS = 20
/** Limit of all connections: 20 MB a second cost a twentieth of a core. */
const BYTES_A_TICK = 400 * 1024
/** Share of one connection in its turn; the system delivers no less at once. */
const MIN_SHARE_BYTES = 64 * 1024
/** A chunk counts as so many bytes more: it takes a microsecond, however small it is. */
const CHUNK_BYTES = 512

/** Paces the reading of unwanted bytes, which would otherwise occupy the event loop, by turns. */
class DiscardPace {
  /** Remaining shares, in order of turns. Bounded by the number of connections. */
  readonly #shares = new Map<IncomingMessage, number>()
  #ticks: NodeJS.Timeout | null = null

  join(request: IncomingMessage): void {
    this.#shares.set(request, MIN_SHARE_BYTES)
    this.#ticks ??= setInterval(() => this.#tick(), TICK_MS).unref()
    request.resume()
  }

  leave(request: IncomingMessage): void {
    this.#shares.delete(request)
    if (this.#shares.size > 0 || this.#ticks === null) return
    clearInterval(this.#ticks)
    this.#ticks = null
  }

  note(request: IncomingMessage, bytes: number): void {
    const left = (this.#shares.get(request) ?? 0) - bytes
    this.#shares.set(request, left)
    if (left <= 0) request.pause()
  }

  #tick(): void {
    const share = Math.max(MIN_SHARE_BYTES, Math.ceil(BYTES_A_TICK / this.#shares.size))
    const due = [...this.#shares].filter(([, left]) => left <= 0)
    for (const [request, left] of due.slice(0, Math.ceil(BYTES_A_TICK / share))) {
      this.#shares.delete(request) // to the end of the line
      this.#shares.set(request, left + share)
      if (left + share > 0) request.resume()
    }
  }
}

const PACE = new DiscardPace()
