import { IncomingMessage } from 'node:http'
import type { Server, Socket } from 'node:net'

/*
 * All that this program relies on of Node's insides, as `upstream/connections/engine.ts` does of undici's. Its tests fail where a
 * version of Node is built in another way (docs/design/node-24-and-26.md).
 */

/**
 * Calls `onSocket` when a server has its socket, instead of accepting from it; `begin` does that. Workers of a cluster have
 * no public way to hold a shared socket without accepting. Returns false where Node has no such step, and accepts at once.
 *
 * Node begins to accept in `_listen2`, and keeps that name for those who put something in its place.
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

/** Return value that makes llhttp parse nothing behind a request's headers, not even a body. */
const PARSE_NO_MORE = 2

/**
 * Lets a connection be cut off behind a request (`cutOffBehind()`): thousands fit into one read, and Node parses all of them
 * before the first can be answered. Returns false where the connection has no such parser.
 *
 * Node 24 stops parsing at a request that it takes for an upgrade. Node 26 goes on with its body and all requests behind it,
 * and while the body is not whole hands out something else than the socket.
 */
export function stopAtUpgrades(socket: Socket): boolean {
  const parser: unknown = Reflect.get(socket, 'parser')
  const onIncoming: unknown = Reflect.get(Object(parser), 'onIncoming')
  if (typeof onIncoming !== 'function') return false
  Object.assign(Object(parser), {
    onIncoming(request: IncomingMessage, ...rest: readonly unknown[]): unknown {
      const next: unknown = Reflect.apply(onIncoming, parser, [request, ...rest])
      return Reflect.get(request, 'upgrade') === true ? PARSE_NO_MORE : next
    }
  })
  return true
}

/** Calls a new request an upgrade, whatever its headers say: Node parses no further then, and gives the socket away. */
export function cutOffBehind(request: IncomingMessage): void {
  Object.defineProperty(request, 'upgrade', { get: () => true, set: () => {} })
}

/** A request that decides how fast its body is read: Node's parser knows nothing but the buffer of its reader. */
export abstract class PausableRequest extends IncomingMessage {
  /** Called with each chunk. The parser stops reading the socket where it returns false. */
  protected abstract onChunk(chunk: Buffer): boolean

  /** Called when the reader has room. Nothing is read where it returns false, until `readOn()`. */
  protected abstract onWanted(): boolean

  /** Gives a chunk to the reader. Returns false where it has no more room. */
  protected pass(chunk: Buffer): boolean {
    return super.push(chunk)
  }

  protected readOn(): void {
    if (!this.complete) super._read(0) // oxlint-disable-line no-underscore-dangle
  }

  override push(chunk: Buffer | null): boolean {
    return chunk === null ? super.push(chunk) : this.onChunk(chunk)
  }

  override _read(bytes: number): void {
    if (this.onWanted()) super._read(bytes) // oxlint-disable-line no-underscore-dangle
  }
}
