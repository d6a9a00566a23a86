import { once } from 'node:events'
import { WebSocket } from 'ws'

export type ServerEvent = Readonly<Record<string, unknown>> & { readonly type: string }

const LAST = ['response.completed', 'response.incomplete', 'response.failed', 'error']

/** A client of the Responses API on a WebSocket, which keeps all that it is sent. */
export class FrameClient {
  readonly socket: WebSocket
  readonly events: ServerEvent[] = []
  /** Close code and reason. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  #taken = 0
  #wake = Promise.withResolvers<void>()

  private constructor(socket: WebSocket) {
    this.socket = socket
    socket
      .on('error', () => {})
      .on('message', (text: Buffer) => {
        this.events.push(JSON.parse(text.toString()))
        this.#tell()
      })
    this.closed = new Promise((resolve) =>
      socket.once('close', (code, reason) => {
        resolve({ code, reason: reason.toString() })
        this.#tell()
      })
    )
  }

  static async open(
    t: { teardown(close: () => unknown): void },
    url: string,
    { key = 'good-key', path = '/v1/responses', headers = {} } = {}
  ): Promise<FrameClient> {
    const own = key === '' ? {} : { authorization: `Bearer ${key}` }
    const address = new URL(path, url.replace('http', 'ws'))
    const socket = new WebSocket(address, { headers: { ...own, ...headers } })
    t.teardown(() => socket.terminate())
    const client = new FrameClient(socket)
    await once(socket, 'open')
    return client
  }

  create(members: Readonly<Record<string, unknown>>): void {
    this.send({ type: 'response.create', model: 'auto', ...members })
  }

  send(message: unknown): void {
    this.socket.send(JSON.stringify(message))
  }

  /** Next event; rejects when there comes none. */
  async next(): Promise<ServerEvent> {
    for (;;) {
      const event = this.events[this.#taken]
      if (event !== undefined) {
        this.#taken += 1
        return event
      }
      if (this.socket.readyState === WebSocket.CLOSED) throw new Error('the connection has ended')
      await this.#wake.promise
    }
  }

  /** Events up to the one that ends an answer. */
  async answer(): Promise<readonly ServerEvent[]> {
    const events: ServerEvent[] = []
    for (;;) {
      const event = await this.next()
      events.push(event)
      if (LAST.includes(event.type)) return events
    }
  }

  async ask(members: Readonly<Record<string, unknown>>): Promise<readonly ServerEvent[]> {
    this.create(members)
    return this.answer()
  }

  /** Resolves when all that was sent before is read, while no answer goes on: this is declined at once. */
  async isRead(): Promise<void> {
    this.send({ type: 'response.steer', input: [] })
    while ((await this.next()).type !== 'response.steer.failed');
  }

  #tell(): void {
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
  }
}

/** Id of the response that the last event is about. */
export function responseIdOf(events: readonly ServerEvent[]): string {
  const response: unknown = events.at(-1)?.['response']
  return String(Reflect.get(Object(response), 'id'))
}
