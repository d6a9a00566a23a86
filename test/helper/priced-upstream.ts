import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { CountingUpstream } from './counting-upstream.ts'
import { endFrame, eventFrame, textFrame } from './upstream-frames.ts'

/** An upstream whose answers cost what the test says. */
export class PricedUpstream {
  /** Credits of each answer. */
  cost = 1
  /** How many events an answer has, and how far apart they are. */
  events = 1
  paceMs = 0
  /** Answers that were metered. */
  answers = 0
  /** Credits of all answers. */
  metered = 0
  readonly origin: string

  private constructor(counting: CountingUpstream) {
    this.origin = counting.url.origin
    counting.onRequest = (request, response) => this.#answer(request, response)
  }

  static async start(t: Test): Promise<PricedUpstream> {
    return new PricedUpstream(await CountingUpstream.start(t))
  }

  #answer({ url }: IncomingMessage, response: ServerResponse): void {
    if (url?.includes('generateAssistantResponse') !== true) {
      response.writeHead(404).end()
      return
    }
    let left = this.events
    const next = (): void => {
      if (response.destroyed) return
      response.write(textFrame('x'))
      left -= 1
      if (left > 0) setTimeout(next, this.paceMs)
      else this.#end(response)
    }
    next()
  }

  #end(response: ServerResponse): void {
    this.answers += 1
    this.metered += this.cost
    const metering = eventFrame('meteringEvent', { unit: 'credit', usage: this.cost })
    response.end(Buffer.concat([endFrame, metering]))
  }
}
