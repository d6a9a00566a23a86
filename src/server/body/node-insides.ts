import { IncomingMessage } from 'node:http'
import type { Server, Socket } from 'node:net'

/*
 * Everything that depends on Node's insides, as `upstream/connections/engine.ts` does on undici's. The
 * tests fail if a version differs (docs/design/node-24-and-26.md).
 */

/**
 * Calls `onSocket` instead of accepting; `begin` accepts. Workers have no public way to hold a shared
 * socket without accepting. Returns false if Node lacks the step.
 * Node begins to accept in `_listen2`, a name kept for those who replace it.
 */
export function holdListening(server: Server, onSocket: (begin: () => void) => void): boolean {
  const listen: unknown = Reflect.get(server, '_listen2')
  if (typeof listen !== 'function') return false
  Object.assign(server, {
    _listen2: (...args: readonly unknown[]): void =>
      onSocket(() => void Reflect.apply(listen, server, args))
  })
  return true
}

/** Makes llhttp parse nothing after a request's headers, not even a body. */
const PARSE_NO_MORE = 2

/**
 * Enables `cutOffBehind()`: thousands of requests fit into one read, and Node parses all before the first can be answered.
 * Goes on behind an upgrade that nobody takes. Returns false without such a parser.
 * Node 24 stops parsing at an upgrade. Node 26 goes on with its body and all requests behind it, and hands
 * out something else than the socket while the body is incomplete.
 */
export function stopAtUpgrades(socket: Socket): boolean {
  const parser: unknown = Reflect.get(socket, 'parser')
  const onIncoming: unknown = Reflect.get(Object(parser), 'onIncoming')
  if (typeof onIncoming !== 'function') return false
  Object.assign(Object(parser), {
    onIncoming(request: IncomingMessage, ...rest: readonly unknown[]): unknown {
      const next: unknown = Reflect.apply(onIncoming, parser, [request, ...rest])
      if (Reflect.get(request, 'upgrade') === true) return PARSE_NO_MORE
      if (request.headers.upgrade !== undefined) goOnBehind(request, Object(parser))
      return next
    }
  })
  return true
}

/** The last request that each of `goOnBehind()`'s handlers waits for. */
const awaited = new WeakMap<object, IncomingMessage>()

/**
 * Parses what follows a request whose upgrade nobody takes, as of a client that would rather speak HTTP/2. The parser stops
 * behind it for the other protocol, and Node drops what it has read of that: requests that would have no answer.
 */
function goOnBehind(request: IncomingMessage, parser: object): void {
  const slot = slotOf(parser, 'kOnExecute')
  const onExecute: unknown = slot === null ? null : Reflect.get(parser, slot)
  if (slot === null || typeof onExecute !== 'function') return
  if (awaited.has(onExecute)) return void awaited.set(onExecute, request)
  /** `parsed`: bytes, or an error. `read`: what they are of; without it, what the parser itself has read. */
  const goOn = (parsed: unknown, read: unknown = call(parser, 'getCurrentBuffer')): void => {
    const isWhole = awaited.get(goOn)?.complete === true
    if (isWhole) Reflect.set(parser, slot, onExecute)
    Reflect.apply(onExecute, undefined, [parsed, read])
    const isOpen = Reflect.get(request.socket, 'parser') === parser
    if (!isWhole || !isOpen || typeof parsed !== 'number' || !(read instanceof Buffer)) return
    const left = read.subarray(parsed)
    if (left.byteLength > 0) call(parser, slot, call(parser, 'execute', left), left)
  }
  awaited.set(goOn, request)
  Reflect.set(parser, slot, goOn)
}

function call(parser: object, name: string | number, ...args: readonly unknown[]): unknown {
  const method: unknown = Reflect.get(parser, name)
  return typeof method === 'function' ? Reflect.apply(method, parser, args) : undefined
}

/** Marks a new request as an upgrade: Node parses no further and gives the socket away. */
export function cutOffBehind(request: IncomingMessage): void {
  Object.defineProperty(request, 'upgrade', { get: () => true, set: () => {} })
}

/** Node's handler for a chunk of a body, the same for all parsers. */
let onBody: unknown = null

/** The place of a handler in a parser. */
function slotOf(parser: unknown, name: 'kOnBody' | 'kOnExecute'): number | null {
  const slot: unknown = Reflect.get(Object(Reflect.get(Object(parser), 'constructor')), name)
  return typeof slot === 'number' ? slot : null
}

/**
 * Gives a connection's parser its handler of chunks, which `skipRead()` may have taken while another connection had the
 * parser. Returns false without such a parser.
 */
export function takeChunks(socket: Socket): boolean {
  const parser: unknown = Reflect.get(socket, 'parser')
  const slot = slotOf(parser, 'kOnBody')
  if (slot === null) return false
  onBody ??= Reflect.get(Object(parser), slot)
  return Reflect.set(Object(parser), slot, onBody)
}

/**
 * Skips the chunks that are left of one read of the socket, up to ten thousand. Without a handler the parser looks only
 * for the end of the body, which takes a tenth of the time. Takes chunks again in the next turn of the event loop.
 */
function skipRead(socket: Socket): void {
  const parser: unknown = Reflect.get(socket, 'parser')
  const slot = slotOf(parser, 'kOnBody')
  if (slot === null || onBody === null) return
  Reflect.set(Object(parser), slot, null)
  setImmediate(() => Reflect.set(Object(parser), slot, onBody))
}

/** Lets a request pace the reading of its body: Node's parser knows only the reader's buffer. */
export abstract class PausableRequest extends IncomingMessage {
  /** False stops reading the socket. */
  protected abstract onChunk(chunk: Buffer): boolean

  /** Nothing comes any more. */
  protected abstract onLast(): void

  /** The reader has room; false reads nothing until `readOn()`. */
  protected abstract onWanted(): boolean

  /** Drops what is left of the body in the bytes that were read already. */
  protected skipRead(): void {
    skipRead(this.socket)
  }

  /** False if the reader has no more room. */
  protected pass(chunk: Buffer): boolean {
    return super.push(chunk)
  }

  protected readOn(): void {
    if (!this.complete) super._read(0) // oxlint-disable-line no-underscore-dangle
  }

  override push(chunk: Buffer | null): boolean {
    if (chunk !== null) return this.onChunk(chunk)
    this.onLast()
    return super.push(chunk)
  }

  override _read(bytes: number): void {
    if (this.onWanted()) super._read(bytes) // oxlint-disable-line no-underscore-dangle
  }
}
