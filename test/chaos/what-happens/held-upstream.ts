import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

/** A stream that the gateway has asked for: it has begun, and ends when it is told to. */
export interface HeldCall {
  /** `performance.now()` of the moment the upstream had the request. */
  readonly arrivedAt: number
  finish(): void
}

/** The access token that `refuseToken()` is about. */
const REFUSED = 'test-access-token'
const Expired = { __type: 'AccessDeniedException', message: 'The bearer token has expired.' }
const Renewed = { accessToken: 'next-access-token', refreshToken: 'next', expiresIn: 3600 }

/** An upstream whose streams last until they are told to end; it counts its connections at every accept. */
export class HeldUpstream {
  readonly calls: HeldCall[] = []
  readonly counting: CountingUpstream
  /** When a token was refused first, and when a renewal was asked for first; 0 before. */
  refusedAt = 0
  renewedAt = 0
  /** What happens to the next requests instead. */
  onStream: ((request: IncomingMessage, response: ServerResponse) => void) | null = null
  #refusesToken = false

  private constructor(counting: CountingUpstream) {
    this.counting = counting
  }

  static async start(teardown: (close: () => unknown) => void): Promise<HeldUpstream> {
    const counting = await CountingUpstream.start({ teardown })
    const upstream = new HeldUpstream(counting)
    counting.onRequest = (request, response) => upstream.#onRequest(request, response)
    return upstream
  }

  get url(): string {
    return this.counting.url.origin
  }

  /** From now on the first token is refused until it has been renewed. */
  refuseToken(): void {
    this.#refusesToken = true
  }

  /** Resolves when so many streams have been asked for since the start. */
  async arrived(count: number): Promise<HeldCall> {
    while (this.calls.length < count) await delay(1)
    return this.calls[count - 1]!
  }

  finishAll(): void {
    for (const call of this.calls) call.finish()
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    request.resume()
    if (request.url?.includes('refreshToken') === true) {
      this.renewedAt ||= performance.now()
      response.end(JSON.stringify(Renewed))
    } else if (request.url?.startsWith('/generate') !== true) {
      response.writeHead(404).end()
    } else if (this.#refusesToken && request.headers.authorization === `Bearer ${REFUSED}`) {
      this.refusedAt ||= performance.now()
      response.writeHead(403, { 'content-type': 'application/json' }).end(JSON.stringify(Expired))
    } else if (this.onStream === null) {
      this.#hold(response)
    } else {
      this.onStream(request, response)
    }
  }

  #hold(response: ServerResponse): void {
    response.write(textFrame('begun '))
    const finish = (): void => void (response.writableEnded || response.end(endFrame))
    this.calls.push({ arrivedAt: performance.now(), finish })
  }
}
