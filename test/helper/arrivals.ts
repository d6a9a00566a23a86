import type { IncomingMessage, ServerResponse } from 'node:http'
import { CountingUpstream } from './counting-upstream.ts'
import { endFrame, textFrame } from './upstream-frames.ts'

export interface Arrival {
  /** `performance.now()`. */
  readonly at: number
  /** What the prompt says behind `key-`. */
  readonly key: string
}

/** An upstream that notes when generations arrive, and answers each at once. */
export class ArrivalUpstream {
  readonly url: string
  /** In the order of their coming. */
  readonly arrivals: Arrival[] = []
  /** Answers instead, if it gives true; replaceable at any time. */
  refuse: (response: ServerResponse) => boolean = () => false

  private constructor(upstream: CountingUpstream) {
    this.url = upstream.url.origin
    upstream.onRequest = (request, response) => void this.#serve(request, response) // never rejects
  }

  static async start(t: { teardown(close: () => unknown): void }): Promise<ArrivalUpstream> {
    return new ArrivalUpstream(await CountingUpstream.start(t))
  }

  /** How many came with a key. */
  ofKey(key: string): number {
    return this.arrivals.filter((arrival) => arrival.key === key).length
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url?.includes('generateAssistantResponse') !== true) {
      response.writeHead(404).end()
      return
    }
    const at = performance.now()
    const index = this.arrivals.push({ at, key: '' }) - 1
    let body = ''
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) body += chunk.toString()
    } catch {
      return // its worker was killed
    }
    this.arrivals[index] = { at, key: /key-(\w+)/.exec(body)?.[1] ?? '' }
    if (!this.refuse(response)) response.end(Buffer.concat([textFrame('x'), endFrame]))
  }
}

/** Most arrivals within any window of this length. */
export function mostWithin(arrivals: readonly Arrival[], windowMs: number): number {
  const times = arrivals.map(({ at }) => at).toSorted((a, b) => a - b)
  let first = 0
  let most = 0
  for (const [index, at] of times.entries()) {
    while ((times[first] ?? at) <= at - windowMs) first += 1
    most = Math.max(most, index + 1 - first)
  }
  return most
}
