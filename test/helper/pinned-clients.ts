import { Agent, type IncomingHttpHeaders, request } from 'node:http'

export interface PinnedAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/**
 * Clients whose connections are all to one worker of a gateway, and stay open: they come while the other workers are
 * stopped for a moment.
 */
export class PinnedClients {
  readonly #url: string
  readonly agent: Agent

  private constructor(url: string, count: number) {
    this.#url = url
    this.agent = new Agent({ keepAlive: true, maxSockets: count, maxFreeSockets: count })
  }

  /** `others` are the process ids of the other workers. */
  static async connect(
    t: { teardown(close: () => unknown): void },
    url: string,
    { count, others }: { readonly count: number; readonly others: readonly number[] }
  ): Promise<PinnedClients> {
    const clients = new PinnedClients(url, count)
    t.teardown(() => clients.agent.destroy())
    for (const pid of others) process.kill(pid, 'SIGSTOP')
    try {
      await Promise.all(Array.from({ length: count }, () => clients.#ask('GET', '/health')))
    } finally {
      for (const pid of others) process.kill(pid, 'SIGCONT')
    }
    return clients
  }

  /** A streamed chat completion, read to its end. */
  chat(prompt: string, key = 'none'): Promise<PinnedAnswer> {
    const messages = [{ role: 'user', content: prompt }]
    const body = JSON.stringify({ model: 'claude-haiku-4.5', stream: true, messages })
    return this.#ask('POST', '/v1/chat/completions', { body, key })
  }

  #ask(method: string, path: string, { body = '', key = 'none' } = {}): Promise<PinnedAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<PinnedAnswer>()
    const headers = { authorization: `Bearer ${key}` }
    request(`${this.#url}${path}`, { method, agent: this.agent, headers }, (response) => {
      const { statusCode: status = 0, headers } = response
      let text = ''
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
      })
      response.on('end', () => resolve({ status, headers, text })).on('error', reject)
    })
      .on('error', reject)
      .end(body)
    return promise
  }
}

/** How long an answer's request waited for its permit, in ms, as the gateway tells. */
export function queuedMs({ headers }: PinnedAnswer): number {
  return Number(/queue;dur=([\d.]+)/.exec(String(headers['server-timing']))?.[1])
}
