import type { IncomingMessage } from 'node:http'
import { Writable } from 'node:stream'
import { type JsonObject, parseJsonObject } from '../../shared/json.ts'
import type { ClientResponse } from '../../reply/client-response.ts'
import { SseLines } from './sse-lines.ts'

/** The connection that the frames of an answer go to. */
export interface FrameTarget {
  /** `onSent` is called when the system has the frame, or the connection is gone. */
  send(json: string | Buffer, onSent: () => void): void
  /** Sends all that `send` sends at once. */
  gather(send: () => void): void
  /** Keeps the connection alive while there are no words. */
  beat(): void
  /** The answer cannot go on: ends the connection at once. */
  cut(): void
}

type Headers = Readonly<Record<string, number | string>>

/** Bytes that may wait for the client before the upstream is stopped; as much as Node's own sockets. */
const HIGH_WATER_BYTES = 65_536
/** Errors and warm-ups are short. */
const MAX_JSON_CHARS = 4 * 1024 * 1024
/** Headers of an HTTP error that an event repeats. */
const TOLD_HEADERS: ReadonlySet<string> = new Set([
  'retry-after',
  'x-kiro-gateway-code',
  'x-request-id',
  'x-should-retry'
])

/**
 * An answer's end of a WebSocket, with the face of Node's response: what a `Turn` writes as HTTP becomes frames. An event
 * stream becomes one frame for each event, without its framing; an error that would have a status becomes an `error` event
 * with that status; one object in JSON, a response that needed no model, becomes its first and its last event.
 */
export class FrameResponse extends Writable implements ClientResponse {
  readonly #target: FrameTarget
  /** JSON text of members that go into each event, after a `{`; `''` for none. */
  readonly #members: string
  readonly #lines = new SseLines()
  #headers: Headers = {}
  /** Bounded by MAX_JSON_CHARS. */
  #json = ''
  statusCode = 200
  headersSent = false
  readonly chunkedEncoding = false
  readonly socket = null
  /** The handshake's request: the answered one was a message. */
  readonly req: IncomingMessage

  constructor(req: IncomingMessage, target: FrameTarget, streamId: string | null) {
    super({ decodeStrings: false, highWaterMark: HIGH_WATER_BYTES })
    this.req = req
    this.#target = target
    this.#members = streamId === null ? '' : `"stream_id":${JSON.stringify(streamId)},`
    this.on('error', () => {}) // its close says it all
  }

  setHeader(name: string, value: string): this {
    this.#headers = { ...this.#headers, [name.toLowerCase()]: value }
    return this
  }

  writeHead(status: number, headers: Headers): this {
    this.statusCode = status
    this.headersSent = true
    this.#headers = { ...this.#headers, ...headers }
    return this
  }

  override _write(
    chunk: string | Uint8Array,
    _encoding: BufferEncoding,
    done: (error?: Error | null) => void
  ): void {
    if (this.#isJson) {
      this.#json += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString()
      return done(this.#json.length > MAX_JSON_CHARS ? new Error('it is too long') : null)
    }
    let left = 1
    const onSent = (): void => {
      left -= 1
      if (left === 0) done()
    }
    this.#target.gather(() => {
      for (const line of this.#lines.push(chunk)) {
        if (line.type === 'heartbeat') this.#target.beat()
        else {
          left += 1
          this.#send(line.json, onSent)
        }
      }
    })
    onSent()
  }

  override _final(done: (error?: Error | null) => void): void {
    const events = this.#isJson ? this.#eventsOf(parseJsonObject(this.#json)) : []
    if (events.length === 0) return done()
    let left = events.length
    for (const event of events) {
      this.#send(JSON.stringify(event), () => {
        left -= 1
        if (left === 0) done()
      })
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.writableFinished) this.#target.cut()
    done(error)
  }

  get #isJson(): boolean {
    return String(this.#headers['content-type'] ?? '').startsWith('application/json')
  }

  #eventsOf(json: JsonObject | null): readonly JsonObject[] {
    if (this.statusCode !== 200) {
      const told = Object.entries(this.#headers).filter(([name]) => TOLD_HEADERS.has(name))
      return [
        {
          type: 'error',
          status: this.statusCode,
          error: json?.['error'] ?? null,
          headers: Object.fromEntries(told)
        }
      ]
    }
    const begun = { ...json, status: 'in_progress', completed_at: null, usage: null }
    return [
      { type: 'response.created', sequence_number: 0, response: begun },
      { type: 'response.completed', sequence_number: 1, response: json }
    ]
  }

  #send(json: string | Buffer, onSent: () => void): void {
    if (this.#members === '') return this.#target.send(json, onSent)
    const head = `{${this.#members}`
    const rest = json.slice(1)
    const whole = typeof rest === 'string' ? head + rest : Buffer.concat([Buffer.from(head), rest])
    this.#target.send(whole, onSent)
  }
}
