import type { Socket } from 'node:net'
import { socketStep } from './socket-step.ts'

/** What a proxy's bytes lead to. */
export type HandshakeStep =
  | { readonly name: 'more' }
  | { readonly name: 'send'; readonly bytes: Buffer }
  /** The way to the upstream is open; `rest` came from there already. */
  | { readonly name: 'open'; readonly rest: Buffer }

/** Talks a proxy into opening a connection. Pure: bytes in, steps out, however the bytes are cut. */
export interface ProxyHandshake {
  /** What to send first. */
  readonly greeting: Buffer
  /**
   * Takes bytes of the proxy, until the step is `open`.
   *
   * @throws {ProxyRefusal} when the proxy will not do it.
   */
  feed(chunk: Buffer): HandshakeStep
}

/** Why a proxy opens no connection; each has its own advice. */
export type RefusalKind =
  | 'credentials-missing'
  | 'credentials-refused'
  | 'denied'
  | 'unreachable'
  | 'not-a-proxy'

/** The proxy has answered, and not with a connection. */
export class ProxyRefusal extends Error {
  readonly code: RefusalKind

  /** `fact` is what it said, in a few words: `HTTP 407`. */
  constructor(kind: RefusalKind, fact: string) {
    super(fact)
    this.code = kind
  }
}

/** Runs a handshake. What the upstream has sent already is put back, so that whoever reads next finds it. */
export function shakeHands(
  socket: Socket,
  handshake: ProxyHandshake,
  signal: AbortSignal
): Promise<void> {
  return socketStep(socket, signal, ({ done, fail, onGone }) => {
    const read = (): void => {
      for (let chunk = readChunk(socket); chunk !== null; chunk = readChunk(socket)) {
        const step = handshake.feed(chunk)
        if (step.name === 'send') socket.write(step.bytes)
        if (step.name !== 'open') continue
        stop()
        if (step.rest.length > 0) socket.unshift(step.rest)
        done()
        return
      }
    }
    const onReadable = (): void => {
      try {
        read()
      } catch (cause) {
        stop()
        fail(cause)
      }
    }
    const stop = (): void => {
      socket.off('readable', onReadable).off('end', onGone)
    }
    socket.on('readable', onReadable).once('end', onGone)
    socket.write(handshake.greeting)
    return stop
  })
}

function readChunk(socket: Socket): Buffer | null {
  const chunk: unknown = socket.read()
  return Buffer.isBuffer(chunk) ? chunk : null
}
