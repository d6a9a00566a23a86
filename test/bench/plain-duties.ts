import { createHash, randomUUID, timingSafeEqual } from 'node:crypto'
import { openSync, writeSync } from 'node:fs'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

const Key = digest('bench')
const IdleMs = 300_000
const HeartbeatMs = 15_000
const CharsPerToken = 4

/** What the bench's clients send. */
interface ChatBody {
  readonly model: string
  readonly messages: readonly { readonly role: string; readonly content: string }[]
}

/** Where all requests of a process are written down. */
interface Files {
  readonly log: number
  readonly usage: number
}

/**
 * What a gateway has to do with each request besides handing it on, written as plainly as it can be and for the bench's short
 * question alone: it compares a key, reads the body and writes the upstream's, estimates tokens, watches for silence, and writes
 * a log line and a row of usage. It repairs and refuses nothing, bounds nothing, and knows one client API.
 */
export class PlainDuties {
  /** For the upstream. */
  readonly body: Buffer
  readonly headers: IncomingHttpHeaders
  readonly #files: Files
  readonly #startedAt = performance.now()
  readonly #model: string
  readonly #inputTokens: number
  readonly #idle = setTimeout(() => {}, IdleMs)
  readonly #heartbeat = setTimeout(() => {}, HeartbeatMs)
  #firstMs = 0
  #bytes = 0

  constructor(request: IncomingMessage, body: Buffer, files: Files) {
    this.#files = files
    timingSafeEqual(digest(request.headers.authorization ?? ''), Key) // the bench sends none
    const { model, messages }: ChatBody = JSON.parse(body.toString())
    this.#model = model
    this.#inputTokens = messages.reduce((sum, { content }) => sum + tokensOf(content.length), 0)
    const [last, ...before] = messages.toReversed()
    const message = (content = ''): object => ({
      userInputMessage: { content, modelId: model, origin: 'AI_EDITOR' }
    })
    const history = before
      .toReversed()
      .map(({ role, content }) =>
        role === 'assistant' ? { assistantResponseMessage: { content } } : message(content)
      )
    const conversationState = {
      chatTriggerType: 'MANUAL',
      conversationId: randomUUID(),
      currentMessage: message(last?.content),
      history
    }
    this.body = Buffer.from(JSON.stringify({ conversationState }))
    this.headers = {
      'content-type': 'application/json',
      authorization: 'Bearer bench',
      'amz-sdk-invocation-id': randomUUID()
    }
  }

  heard(chunk: Buffer): void {
    this.#firstMs ||= performance.now() - this.#startedAt
    this.#bytes += chunk.byteLength
    this.#idle.refresh()
    this.#heartbeat.refresh()
  }

  end(status: number): void {
    clearTimeout(this.#idle)
    clearTimeout(this.#heartbeat)
    const facts = {
      time: new Date().toISOString(),
      request_id: randomUUID(),
      status,
      model: this.#model,
      first_ms: this.#firstMs,
      total_ms: performance.now() - this.#startedAt,
      bytes_out: this.#bytes,
      input_tokens: this.#inputTokens,
      output_tokens: tokensOf(this.#bytes)
    }
    writeSync(this.#files.log, `${JSON.stringify({ level: 'info', ...facts })}\n`)
    writeSync(this.#files.usage, `${JSON.stringify(Object.values(facts))}\n`)
  }
}

/** In the folder that the process runs in. */
export function openFiles(): Files {
  return { log: openSync('requests.log', 'a'), usage: openSync('usage.jsonl', 'a') }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function tokensOf(chars: number): number {
  return Math.ceil(chars / CharsPerToken)
}
