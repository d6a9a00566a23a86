import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'

export interface LoadOptions {
  /** Of whatever stands before the gateways. */
  readonly url: string
  readonly key: string
  /** Streams at once. */
  readonly clients: number
  /** What is asked: control words of the simulator say how the answer goes. */
  readonly prompt: string
}

/** What became of the streams. */
export interface LoadResult {
  readonly whole: number
  /** What went wrong, each by its words. */
  readonly failures: readonly string[]
  /** From request to the first byte of the answer, in milliseconds. */
  readonly firstByteMs: { readonly p50: number; readonly p99: number; readonly max: number }
}

/** Clients that ask for one stream after the other until they are stopped. */
export class StreamLoad {
  readonly #options: LoadOptions
  readonly #clients: Promise<void>[] = []
  readonly #failures: string[] = []
  readonly #firstByteMs: number[] = []
  #whole = 0
  #isOver = false

  constructor(options: LoadOptions) {
    this.#options = options
    for (let n = 0; n < options.clients; n++) this.#clients.push(this.#run(n))
  }

  get whole(): number {
    return this.#whole
  }

  /** Lets the streams that run end. */
  async stop(): Promise<LoadResult> {
    this.#isOver = true
    await Promise.all(this.#clients)
    const sorted = this.#firstByteMs.toSorted((a, b) => a - b)
    const at = (share: number): number =>
      Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? 0)
    const firstByteMs = { p50: at(0.5), p99: at(0.99), max: at(1) }
    return { whole: this.#whole, failures: this.#failures, firstByteMs }
  }

  /** From then on they count anew. */
  restartTimes(): void {
    this.#firstByteMs.length = 0
  }

  async #run(n: number): Promise<void> {
    await delay(n * 20)
    while (!this.#isOver) {
      const problem = await this.#ask().catch((cause: unknown) => String(cause))
      if (problem === null) this.#whole += 1
      else {
        this.#failures.push(problem)
        await delay(100)
      }
    }
  }

  /** Gives what was wrong with the answer. */
  async #ask(): Promise<string | null> {
    const { url, key, prompt } = this.#options
    const body = JSON.stringify({
      model: 'claude-haiku-4.5',
      max_tokens: 1000,
      stream: true,
      messages: [{ role: 'user', content: prompt }]
    })
    const startedAt = performance.now()
    const response = await send(`${url}/v1/messages`, key, body)
    let text = ''
    for await (const chunk of response as AsyncIterable<Buffer>) {
      if (text === '') this.#firstByteMs.push(performance.now() - startedAt)
      text += chunk.toString()
    }
    if (response.statusCode !== 200) return `status ${response.statusCode}: ${text.slice(0, 200)}`
    return text.includes('event: message_stop') ? null : `cut off: ${text.slice(-200)}`
  }
}

/** Sends a request over a connection of its own, as most clients of a proxy have. */
export function send(url: string, key: string, body: string): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const options = {
    method: 'POST',
    agent: false as const,
    rejectUnauthorized: false,
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${key}`,
      'content-length': Buffer.byteLength(body)
    }
  }
  const start = url.startsWith('https:') ? httpsRequest : httpRequest
  start(url, options, resolve).once('error', reject).end(body)
  return promise
}
