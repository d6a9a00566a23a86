import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse
} from 'node:http'
import { buffer as readBuffer } from 'node:stream/consumers'
import { serverUrl } from './server-url.ts'

export interface ReceivedAlert {
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly json: Readonly<Record<string, unknown>>
}

/** Stands for one that never came. */
export const UNSENT: ReceivedAlert = { headers: {}, body: Buffer.alloc(0), json: {} }

/** A receiver of alerts on loopback. */
export class AlertReceiver {
  readonly received: ReceivedAlert[] = []
  /** How it answers each; may change. */
  answer: (response: ServerResponse) => void
  url = ''
  readonly #news = new EventTarget()

  private constructor(answer: AlertReceiver['answer']) {
    this.answer = answer
  }

  static async start(
    t: { teardown(close: () => unknown): void },
    answer: AlertReceiver['answer'] = (response) => void response.writeHead(204).end()
  ): Promise<AlertReceiver> {
    const receiver = new AlertReceiver(answer)
    const server = createServer((request, response) => {
      void receiver.#receive(request, response)
    })
    receiver.url = (await serverUrl(server)).href
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    return receiver
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBuffer(request)
    const json = JSON.parse(body.toString()) as ReceivedAlert['json']
    this.received.push({ headers: request.headers, body, json })
    this.#news.dispatchEvent(new Event('alert'))
    this.answer(response)
  }

  /** All that it was told. */
  get text(): string {
    return this.received.map(({ body }) => body.toString()).join('\n')
  }

  /** The first alert of a type, past or future; undefined when none came in time. */
  async told(type: string, withinMs: number): Promise<ReceivedAlert['json'] | undefined> {
    const signal = AbortSignal.timeout(withinMs)
    for (;;) {
      const found = this.received.find(({ json }) => json['type'] === type)
      if (found !== undefined || signal.aborted) return found?.json
      await once(this.#news, 'alert', { signal }).catch(() => {})
    }
  }

  /** Resolves when it was told so many. */
  async count(least: number): Promise<void> {
    while (this.received.length < least) await once(this.#news, 'alert')
  }
}
