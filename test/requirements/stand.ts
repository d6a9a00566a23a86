import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { Test } from 'tap'
import type { UpstreamPayload } from '../../src/kiro/wire/payload.ts'
import { Simulator } from '../strict-simulator/simulator.ts'
import { forwardGeneration } from '../helper/altered-generation.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { serverUrl } from '../helper/server-url.ts'

export const KEY = 'key-one'
export const OTHER_KEY = 'key-two'
/** Without reasoning of its own, window of 200 000. */
export const MODEL = 'claude-haiku-4.5'
/** With reasoning of its own, window of 1 000 000. */
export const THINKING_MODEL = 'claude-sonnet-5'
/** Of the gateway that says something in each silence. */
export const HEARTBEAT_MS = 250
/** Of the other one: a refusal comes before it, also on a busy machine, and is no event of a stream that has begun. */
const RARE_HEARTBEAT_MS = 240_000

/** In a prompt: the upstream takes its time before it says anything. */
export const LATE = 'stand:late'
const LATE_MS = 8 * HEARTBEAT_MS

type Json = Record<string, unknown>

export interface Call {
  readonly method?: string
  readonly body?: unknown
  /** Sent as they are; without any, `authorization` has a good key. */
  readonly headers?: Readonly<Record<string, string>>
  readonly onText?: (text: string) => void
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly text: string
  /** The parsed body. */
  readonly json: Json
  /** The connection broke before the answer was whole. */
  readonly isBroken: boolean
}

/** A gateway of two workers, and the simulator behind an ear that hears what is sent upstream. */
export class Stand {
  readonly url: string
  /** The same with a gateway whose streams say something in each silence of `HEARTBEAT_MS`. */
  readonly talkative: Stand
  /** Size of the largest body to be sent. */
  readonly largestMb: number
  readonly #sent: UpstreamPayload[]

  private constructor(
    url: string,
    {
      sent,
      talkative = null,
      largestMb
    }: {
      readonly sent: UpstreamPayload[]
      readonly talkative?: Stand | null
      readonly largestMb: number
    }
  ) {
    this.url = url
    this.largestMb = largestMb
    this.#sent = sent
    this.talkative = talkative ?? this
  }

  static async start(t: Test, largestMb: number): Promise<Stand> {
    const simulator = new Simulator({ gapMs: 0 })
    const { url } = await simulator.start()
    t.teardown(() => simulator.close())
    const sent: UpstreamPayload[] = []
    const alter = (payload: UpstreamPayload) => hear(payload, sent)
    const ear = createServer((incoming, response) => {
      void forwardGeneration({ incoming, response, upstreamUrl: url, alter })
    })
    const upstreamUrl = (await serverUrl(ear, 'http')).href
    t.teardown(() => {
      ear.close()
      ear.closeAllConnections()
    })
    const start = async (heartbeatMs: number): Promise<string> => {
      const gateway = await startGateway({
        upstreamUrl: upstreamUrl.replace(/\/$/, ''),
        env: {
          PROXY_API_KEY: `${KEY},${OTHER_KEY}`,
          WORKERS: '2',
          MEMORY_LIMIT: '2G',
          TRANSFORM_TIMEOUT: '120', // 31 MB take twice their CPU time where processes share a core
          HEARTBEAT_INTERVAL: String(heartbeatMs / 1000),
          UPSTREAM_MAX_ATTEMPTS: '1'
        }
      })
      t.teardown(() => gateway.destroy())
      return gateway.url
    }
    const [own, talkative] = await Promise.all([start(RARE_HEARTBEAT_MS), start(HEARTBEAT_MS)])
    const common = { sent, largestMb }
    return new Stand(own, { ...common, talkative: new Stand(talkative, common) })
  }

  /** The request that the upstream got last. */
  get lastSent(): UpstreamPayload {
    const last = this.#sent.at(-1)
    if (last === undefined) throw new Error('nothing was sent upstream')
    return last
  }

  get sentCount(): number {
    return this.#sent.length
  }

  /** One request on a connection of its own, so that both workers get some. */
  async call(path: string, { method, body, headers, onText }: Call = {}): Promise<Answer> {
    const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
    const outgoing = request(this.url + path, {
      agent: false,
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      headers: {
        ...(text !== undefined && { 'content-type': 'application/json' }),
        ...(headers ?? { authorization: `Bearer ${KEY}` })
      }
    })
    outgoing.end(text)
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    let received = ''
    response.setEncoding('utf8').on('data', (chunk: string) => {
      received += chunk
      onText?.(chunk)
    })
    const isBroken = await new Promise<boolean>((resolve) => {
      response.once('error', () => resolve(true)).once('end', () => resolve(false))
    })
    const { statusCode: status = 0 } = response
    return {
      status,
      headers: response.headers,
      text: received,
      isBroken,
      get json() {
        return JSON.parse(received) as Json
      }
    }
  }
}

async function hear(payload: UpstreamPayload, sent: UpstreamPayload[]): Promise<UpstreamPayload> {
  sent.push(payload)
  const { content } = payload.conversationState.currentMessage.userInputMessage
  if (content.includes(LATE)) await new Promise((resolve) => setTimeout(resolve, LATE_MS))
  return payload
}
