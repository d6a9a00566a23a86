import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { endFrame, eventFrame, textFrame } from '../../helper/upstream-frames.ts'
import type { Random } from '../random.ts'

/** An answer that the upstream has metered. */
export interface MeteredCall {
  /** Number of the client's request, as its prompt says. */
  readonly request: number
  /** Micro-credits. No two calls cost the same, so that a row of the book can be told from all others. */
  readonly credits: number
}

/** The cheapest answer, and how many others there are. In micro-credits. */
const CHEAPEST = 20_000
/** A prime, like the step: each remainder comes once before the first one comes again. */
const PRICES = 100_003
const STEP = 7_919
/** No answer costs more. */
export const DEAREST = CHEAPEST + PRICES

const FATES = {
  whole: 88,
  // Ends whole, and is never metered.
  unmetered: 1,
  'late-metering': 4,
  reset: 2,
  ended: 2,
  stalled: 1,
  refused: 2
} as const

/** An upstream that writes down what it meters, and fails in some of the ways that upstreams fail. */
export class MeteringUpstream {
  readonly origin: string
  readonly metered: MeteredCall[] = []
  readonly #random: Random
  #next = Promise.withResolvers<void>()

  private constructor(counting: CountingUpstream, random: Random) {
    this.origin = counting.url.origin
    this.#random = random
    counting.onRequest = (request, response) => void this.#answer(request, response)
  }

  static async start(
    owner: Parameters<typeof CountingUpstream.start>[0],
    random: Random
  ): Promise<MeteringUpstream> {
    return new MeteringUpstream(await CountingUpstream.start(owner), random)
  }

  /** Resolves when it meters the next answer. */
  get next(): Promise<void> {
    return this.#next.promise
  }

  async #answer(asked: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    asked.setEncoding('utf8').on('data', (piece: string) => (body += piece))
    asked.on('error', () => {}) // the gateway may be killed at any time
    response.on('error', () => {})
    const [, request, word = ''] = await new Promise<readonly string[]>((resolve) => {
      asked.on('close', () => resolve(/request (\d+) (\w+)/.exec(body) ?? []))
    })
    if (asked.url?.includes('getUsageLimits') === true) {
      response.writeHead(200, { 'content-type': 'application/json' }).end(this.#account())
      return
    }
    if (asked.url?.includes('generateAssistantResponse') !== true || request === undefined) {
      response.writeHead(404).end()
      return
    }
    const fate = this.#random.weighted(FATES)
    if (fate === 'refused') {
      response.writeHead(500, { 'content-type': 'application/json' }).end('{"message":"try again"}')
      return
    }
    const words = this.#random.between(3, 25)
    const gapMs = this.#random.pick([0, 5, 20, 60]) ?? 0
    const sent = fate === 'whole' || fate === 'unmetered' || fate === 'late-metering' ? words : 2
    for (let n = 0; n < sent && !response.destroyed; n++) {
      response.write(textFrame(n === 1 ? ` ${word} ` : 'word '))
      if (gapMs > 0) await delay(gapMs)
    }
    if (fate === 'reset') asked.socket.resetAndDestroy()
    else if (fate === 'ended') response.end()
    else if (fate === 'unmetered') response.end(endFrame)
    else if (fate !== 'stalled') {
      if (fate === 'late-metering') {
        response.write(endFrame)
        await delay(this.#random.between(50, 800))
      }
      this.#meter(Number(request), response, fate === 'late-metering')
    }
  }

  /** What Kiro says of the account: all that was metered, of a plan that is large enough. */
  #account(): string {
    const currentUsage = this.metered.reduce((sum, { credits }) => sum + credits, 0) / 1e6
    const plan = { resourceType: 'CREDIT', currentUsage, usageLimit: 1_000_000 }
    return JSON.stringify({ usageBreakdownList: [plan] })
  }

  #meter(request: number, response: ServerResponse, isEnded: boolean): void {
    if (response.destroyed) return
    const credits = CHEAPEST + ((this.metered.length * STEP) % PRICES)
    this.metered.push({ request, credits })
    this.#next.resolve()
    this.#next = Promise.withResolvers()
    const metering = eventFrame('meteringEvent', { unit: 'credit', usage: credits / 1e6 })
    response.end(isEnded ? metering : Buffer.concat([endFrame, metering]))
  }
}
