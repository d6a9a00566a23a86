import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ErrorReply } from '../../dialects/dialect.ts'
import { isInCrumbs, isUninvited } from '../plane/request-body.ts'

/** Many clients read no answer before they have sent their body. How much of it is read and discarded, and for how long. */
export interface Patience {
  readonly maxBytes: number
  readonly timeoutMs: number
}

/** Towards a client that has shown no key: an ordinary body is read to its end. */
export const STRANGER: Patience = { maxBytes: 8 * 1024 * 1024, timeoutMs: 10_000 }
/** Towards one that has: it is to read that its body is too large. */
export const KNOWN: Patience = { maxBytes: 256 * 1024 * 1024, timeoutMs: 10_000 }

/**
 * Answers a request whose body may not have been read. The answer is sent whole at once, but ended only when the rest
 * of the body has been discarded: the end of an answer may close the connection, and a client that is still
 * sending would then see a reset instead of the answer. A body that its client has not been asked for is not waited for.
 */
export function answerEarly(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, body }: Omit<ErrorReply, 'body'> & { readonly body: string | Buffer },
  patience = STRANGER
): void {
  const own = { ...headers, 'content-length': Buffer.byteLength(body) }
  if (isUninvited(request)) {
    // Its client may send the body or not: only a connection that ends is clear to both.
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

/**
 * Discards the rest of a body and then calls `onOver`. What does not come to an end loses its connection:
 * clients that have vanished say nothing, and would keep it for ever.
 */
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
    else PACE.note(request, chunk.byteLength)
  }
  const timer = setTimeout(end, timeoutMs)
  if (isInCrumbs(request)) return end()
  request.on('data', onData).once('end', end).once('error', end).once('close', end)
  PACE.join(request)
}

const TICK_MS = 20
/** Limit for all connections together: 20 MB in a second cost a twentieth of a core. */
const BYTES_A_TICK = 400 * 1024
/** Bytes that a connection may send in its turn; the system gives out no less at once. */
const MIN_SHARE_BYTES = 64 * 1024

/**
 * Pace of reading unwanted bytes: clients that send as fast as they can would otherwise occupy the event loop. Each may
 * send a share, and then waits for its next turn; one that is alone is soon through.
 */
class DiscardPace {
  /** Remaining share of each, those first whose turn is next. Bounded by the number of connections. */
  readonly #shares = new Map<IncomingMessage, number>()
  #ticks: NodeJS.Timeout | null = null

  /** Begins to read. */
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
