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
 * Enables `cutOffBehind()`: thousands of requests fit into one read, and Node parses all before the first
 * can be answered. Returns false without such a parser.
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
      return Reflect.get(request, 'upgrade') === true ? PARSE_NO_MORE : next
    }
  })
  return true
}

/** Marks a new request as an upgrade: Node parses no further and gives the socket away. */
export function cutOffBehind(request: IncomingMessage): void {
  Object.defineProperty(request, 'upgrade', { get: () => true, set: () => {} })
}

/** Lets a request pace the reading of its body: Node's parser knows only the reader's buffer. */
export abstract class PausableRequest extends IncomingMessage {
  /** False stops reading the socket. */
  protected abstract onChunk(chunk: Buffer): boolean

  /** The reader has room; false reads nothing until `readOn()`. */
  protected abstract onWanted(): boolean

  /** False if the reader has no more room. */
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
