import { Agent, type IncomingMessage, request as requestHttp } from 'node:http'
import { Agent as TlsAgent, request as requestHttps } from 'node:https'
import { codeOf } from '../shared/errors.ts'

export interface SenderOptions {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly contentType: string
  readonly timeoutMs: number
}

export type SendOutcome =
  | { readonly type: 'taken' }
  | { readonly type: 'later'; readonly why: string; readonly afterMs: number | null }
  | { readonly type: 'refused'; readonly why: string }

/** OTLP's statuses for another attempt. */
const LATER_STATUSES: readonly number[] = [429, 502, 503, 504]
const MAX_ANSWER_BYTES = 64 * 1024
const MAX_AFTER_MS = 60_000

/** Has one connection of its own, outside the upstream's budget. No redirects and proxies. */
export class OtlpSender {
  readonly #options: SenderOptions
  readonly #agent: Agent
  readonly #isTls: boolean

  constructor(options: SenderOptions) {
    this.#options = options
    this.#isTls = new URL(options.url).protocol === 'https:'
    const keep = { keepAlive: true, maxSockets: 1 }
    this.#agent = this.#isTls ? new TlsAgent(keep) : new Agent(keep)
  }

  /** Never rejects. */
  async send(body: Uint8Array, signal: AbortSignal): Promise<SendOutcome> {
    const limit = AbortSignal.timeout(this.#options.timeoutMs)
    try {
      return await this.#post(body, AbortSignal.any([signal, limit]))
    } catch (cause) {
      if (signal.aborted) return { type: 'later', why: 'given up', afterMs: null }
      // A word: messages of others may have addresses and more.
      const why = limit.aborted ? 'no answer in time' : codeOf(cause) || 'no connection'
      return { type: 'later', why, afterMs: null }
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  #post(body: Uint8Array, signal: AbortSignal): Promise<SendOutcome> {
    const { url, headers, contentType } = this.#options
    const { promise, resolve, reject } = Promise.withResolvers<SendOutcome>()
    const own = { 'content-type': contentType, 'content-length': body.byteLength }
    const call = (this.#isTls ? requestHttps : requestHttp)(url, {
      method: 'POST',
      agent: this.#agent,
      headers: { 'user-agent': 'kiro-gateway', ...headers, ...own },
      signal
    })
    call.on('error', reject)
    call.on('response', (response) => {
      const outcome = outcomeOf(response)
      let left = MAX_ANSWER_BYTES
      response.on('error', reject)
      response.on('data', (chunk: Buffer) => {
        left -= chunk.byteLength
        if (left >= 0) return
        resolve(outcome)
        response.destroy()
      })
      response.on('end', () => resolve(outcome))
      response.on('close', () => resolve(outcome))
    })
    call.end(body)
    return promise
  }
}

function outcomeOf({ statusCode: status = 0, headers }: IncomingMessage): SendOutcome {
  if (status >= 200 && status < 300) return { type: 'taken' }
  const why = `status ${status}`
  if (!LATER_STATUSES.includes(status)) return { type: 'refused', why }
  const afterMs = Number(headers['retry-after'] ?? Number.NaN) * 1000
  const isUsable = Number.isFinite(afterMs) && afterMs >= 0
  return { type: 'later', why, afterMs: isUsable ? Math.min(afterMs, MAX_AFTER_MS) : null }
}
