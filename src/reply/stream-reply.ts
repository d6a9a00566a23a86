import type { Socket } from 'node:net'
import {
  type AnswerWriter,
  SseHeaders,
  byteLengthOf,
  glue,
  type Written
} from '../dialects/answer/answer-writer.ts'
import type { StreamPart } from '../dialects/answer/stream-part.ts'
import { GatewayError, unlessAborted } from '../shared/errors.ts'
import type { ClientResponse } from './client-response.ts'
import type { AnswerSink, AnswerSource } from './sinks.ts'

export interface StreamReplyOptions {
  readonly response: ClientResponse
  readonly writer: Pick<AnswerWriter, 'push' | 'fail' | 'heartbeat'>
  readonly heartbeatMs: number
  readonly stallTimeoutMs: number
  readonly headers: () => Readonly<Record<string, string>>
  /** Aborted if the client reads nothing for `stallTimeoutMs`. */
  readonly gone: AbortController
}

/** Longer text becomes bytes. Held text may come out at once. */
const LONG_TEXT_CHARS = 65_536

type Piece = Extract<StreamPart, { readonly text: string } | { readonly type: 'tool-delta' }>
/** The first pieces are not joined: a display of a line or two gains nothing. */
const FIRST_PIECES = 4
const JOINED_CHARS = 4096

/**
 * Makes one write per upstream chunk, and one event for pieces that came together, since what surrounds
 * each is five times its text. Status and headers go out with the first text or heartbeat. Holds at most
 * the text of one upstream chunk beyond the socket's buffer.
 */
export class StreamReply implements AnswerSink {
  readonly #options: StreamReplyOptions
  readonly #stall: StallTimer
  readonly #onDrain = (): void => this.#drained()
  /** Kind of the piece that is written with its continuation or at the next flush; `null` if there is none. */
  #joined: Piece['type'] | null = null
  #joinedText = ''
  #pieces = 0
  #text = ''
  /** Parts before a long text. Bounded by what one chunk of the upstream, or an end, comes to. */
  #parts: (string | Uint8Array)[] = []
  readonly #writer: ChunkWriter
  #hasBegun = false
  #wroteAt = 0
  #heartbeat: NodeJS.Timeout | null = null
  #source: AnswerSource | null = null
  /** Pending while the client reads too slowly. */
  #drain: PromiseWithResolvers<void> | null = null

  constructor(options: StreamReplyOptions) {
    this.#options = options
    const { response, stallTimeoutMs: timeoutMs, gone } = options
    this.#stall = new StallTimer({ response, timeoutMs, gone })
    this.#writer = new ChunkWriter(response)
  }

  get hasBegun(): boolean {
    return this.#hasBegun
  }

  attach(source: AnswerSource): void {
    this.#source = source
    if (this.#drain !== null) source.pause()
  }

  async whenDrained(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#drain !== null) await unlessAborted(this.#drain.promise, signal)
  }

  onSent(): void {
    this.#wroteAt = performance.now()
    this.#heartbeat ??= setTimeout(() => this.#beat(), this.#options.heartbeatMs)
  }

  onIdle(): void {
    if (this.#heartbeat !== null) clearTimeout(this.#heartbeat)
    this.#heartbeat = null
  }

  push(part: StreamPart): void {
    if (part.type === 'text' || part.type === 'reasoning' || part.type === 'tool-delta')
      this.#join(part)
    else {
      this.#writeJoined()
      this.#add(this.#options.writer.push(part))
    }
  }

  flush(): void {
    const text = this.#take()
    if (text !== '') this.#write(text)
  }

  end(): void {
    this.#begin()
    this.#finish()
  }

  fail(error: GatewayError): void {
    this.#writeJoined()
    this.#add(this.#options.writer.fail(error))
    this.#finish()
  }

  dispose(): void {
    if (this.#heartbeat !== null) clearTimeout(this.#heartbeat)
    const { response } = this.#options
    this.#writer.off(this.#onDrain)
    this.#source = null
    if (!response.writableEnded) this.#stall.stop()
  }

  #join(piece: Piece): void {
    const text = textOf(piece)
    const isLong = text.length >= JOINED_CHARS
    const isFull = this.#joinedText.length >= JOINED_CHARS
    if (isLong || isFull || this.#joined !== piece.type) this.#writeJoined()
    // A long piece has memory only while it is read.
    if (++this.#pieces <= FIRST_PIECES || isLong) return this.#add(this.#options.writer.push(piece))
    this.#joined = piece.type
    this.#joinedText += text
  }

  #writeJoined(): void {
    if (this.#joined === null) return
    const part = toPiece(this.#joined, this.#joinedText)
    this.#joined = null
    this.#joinedText = ''
    this.#add(this.#options.writer.push(part))
  }

  #add(written: Written): void {
    if (typeof written === 'string') this.#text += written
    else {
      this.#parts.push(this.#text, ...written)
      this.#text = ''
    }
    // As text it would cost a multiple of the heap at once.
    if (this.#text.length < LONG_TEXT_CHARS) return
    this.#parts.push(Buffer.from(this.#text))
    this.#text = ''
  }

  #take(): Written {
    this.#writeJoined()
    const text = this.#parts.length === 0 ? this.#text : glue(this.#parts, this.#text)
    this.#text = ''
    this.#parts = []
    return text
  }

  #finish(): void {
    const { response } = this.#options
    const text = this.#take()
    if (typeof text === 'string') response.end(text)
    else {
      this.#writer.write(text)
      response.end()
    }
    this.#stall.watchEnd()
  }

  #begin(): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    const { response, headers } = this.#options
    response.writeHead(200, { ...SseHeaders, ...headers() })
  }

  #write(text: Written): void {
    this.#begin()
    this.#wroteAt = performance.now()
    if (this.#writer.write(text) || this.#drain !== null) return
    this.#drain = Promise.withResolvers()
    this.#source?.pause()
    this.#writer.onceDrained(this.#onDrain)
    this.#stall.start()
  }

  #drained(): void {
    this.#stall.stop()
    this.#drain?.resolve()
    this.#drain = null
    this.#source?.resume()
  }

  /** Runs at most once per `heartbeatMs`: a write only notes its time. */
  #beat(): void {
    const { heartbeatMs, writer } = this.#options
    const silentMs = performance.now() - this.#wroteAt
    const isDue = silentMs >= heartbeatMs - 1
    // A heartbeat would only fill the buffer of a client that does not read.
    const text = isDue && this.#drain === null ? writer.heartbeat() : ''
    if (text !== '') this.#write(text)
    const waitMs = isDue ? heartbeatMs : heartbeatMs - silentMs
    this.#heartbeat = setTimeout(() => this.#beat(), waitMs)
  }
}

function textOf(piece: Piece): string {
  return piece.type === 'tool-delta' ? piece.json : piece.text
}

function toPiece(type: Piece['type'], text: string): Piece {
  return type === 'tool-delta' ? { type, json: text } : { type, text }
}

/**
 * Writes the body of a streamed answer.
 *
 * Node's `write` makes four writes of a chunk (length, line end, text, line end) and one system call of them in a later
 * task. Once the head is out, a chunk is framed here and goes to the socket at once, which saves an eighth of a slow
 * stream's cost (`npm run bench -- --row paced`). Node still writes the end, and what follows a write of its own in the
 * same task: Node 26 holds that back in the response until the task is over.
 *
 *   "1f\r\n" text "\r\n"     RFC 9112, section 7.1
 */
export class ChunkWriter {
  readonly #response: ClientResponse
  #isHeadWritten = false

  constructor(response: ClientResponse) {
    this.#response = response
  }

  /** False: wait for `onceDrained` before more. */
  write(text: Written): boolean {
    const response = this.#response
    const { socket } = response
    // An empty chunk would end the body.
    if (text === '') return !(response.writableNeedDrain || socket?.writableNeedDrain === true)
    // A response behind another on its connection has no socket yet.
    const isFlushed = this.#isHeadWritten && response.writableCorked === 0
    const isOurs = isFlushed && response.chunkedEncoding && socket !== null
    this.#isHeadWritten = true
    if (typeof text === 'string') {
      if (!isOurs) return response.write(text)
      return socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`)
    }
    const size = byteLengthOf(text).toString(16)
    if (isOurs) return writeAll(socket, [`${size}\r\n`, ...text, '\r\n'])
    // Node 24 has reported the drain by now if the system took all at once.
    return writeAll(response, text) || !response.writableNeedDrain
  }

  onceDrained(listener: () => void): void {
    const { socket, writableNeedDrain } = this.#response
    if (writableNeedDrain || socket === null) this.#response.once('drain', listener)
    else socket.once('drain', listener)
  }

  off(listener: () => void): void {
    this.#response.off('drain', listener)
    this.#response.socket?.off('drain', listener)
  }
}

/** Bytes are never copied, however long they wait for the client. */
function writeAll(
  stream: Socket | ClientResponse,
  parts: readonly (string | Uint8Array)[]
): boolean {
  stream.cork()
  let isRoomy = true
  for (const part of parts) isRoomy = stream.write(part)
  stream.uncork()
  return isRoomy
}

export interface StallTimerOptions {
  readonly response: ClientResponse
  readonly timeoutMs: number
  /** Ends everything that is done for the client. */
  readonly gone: AbortController
}

/** Resets the connection of a client that does not read: a closed one would live on in the system for minutes. */
export class StallTimer {
  readonly #options: StallTimerOptions
  #timer: NodeJS.Timeout | null = null

  constructor(options: StallTimerOptions) {
    this.#options = options
  }

  start(): void {
    const { response, timeoutMs, gone } = this.#options
    this.#timer ??= setTimeout(() => {
      gone.abort(new GatewayError('GW_CLIENT_STALLED'))
      response.socket?.resetAndDestroy()
      response.destroy()
    }, timeoutMs)
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  /** Runs until the client has taken the whole answer or is gone. */
  watchEnd(): void {
    const { response } = this.#options
    if (isTaken(response)) return this.stop()
    this.start()
    response.once('close', () => this.stop())
  }
}

/** True when the system has everything or the client is gone; `finish` follows a moment later. */
function isTaken(response: ClientResponse): boolean {
  const { destroyed, writableEnded, writableLength } = response
  return destroyed || (writableEnded && writableLength === 0)
}

/** Resolves when the system has the whole answer or the client is gone. */
export function whenSent(response: ClientResponse): Promise<void> {
  if (response.writableFinished || response.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    response.once('finish', resolve).once('close', resolve)
  })
}
