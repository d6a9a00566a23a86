import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { CountingUpstream } from './counting-upstream.ts'
import { endFrame, eventFrame, textFrame } from './upstream-frames.ts'

/** A request as an upstream sees it. */
export interface SeenRequest {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly json: Readonly<Record<string, unknown>>
  /** The body. */
  readonly text: string
  readonly form: 'path' | 'target'
  /** `generate`, `search`, `models`, or what the path or the target says. */
  readonly operation: string
  /** Milliseconds on a clock that never goes back. */
  readonly at: number
}

/** How a request is answered; `null` leaves it to the simulator. */
export type ProbeRule = (request: SeenRequest) => ProbeReply | null

export type ProbeReply =
  | { readonly status: number; readonly json: object }
  | { readonly frames: readonly Buffer[] }

/** A 400 as the upstream words it. */
export const REFUSED: ProbeReply = {
  status: 400,
  json: { message: 'Improperly formed request.', reason: 'REQUEST_BODY_INVALID' }
}

/** A whole answer. */
export function answerOf(text: string, credits = 0.01): ProbeReply {
  return { frames: [textFrame(text), eventFrame('meteringEvent', { usage: credits }), endFrame] }
}

const OPERATIONS: Readonly<Record<string, string>> = {
  '/generateAssistantResponse': 'generate',
  '/mcp': 'search',
  'KiroRuntimeService.GenerateAssistantResponse': 'generate',
  'KiroRuntimeService.InvokeMCP': 'search',
  'AmazonCodeWhispererService.ListAvailableModels': 'models'
}

/** An upstream on loopback that answers as its rules say, and as the simulator behind it where they say nothing. */
export class ProbeUpstream {
  readonly requests: SeenRequest[] = []
  rules: readonly ProbeRule[] = []
  url = ''
  readonly #behind: string

  private constructor(behind: string) {
    this.#behind = behind
  }

  static async start(
    t: { teardown(close: () => unknown): void },
    behind: string
  ): Promise<ProbeUpstream> {
    const upstream = new ProbeUpstream(behind)
    const { url } = await CountingUpstream.start(t, (request, response) => {
      void (async () => {
        const chunks: Buffer[] = []
        for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
        const text = Buffer.concat(chunks).toString()
        const { url: path = '/', headers, method = 'GET' } = request
        await upstream.#serve(response, toSeen({ path, headers, text }), method)
      })()
    })
    upstream.url = url.origin
    return upstream
  }

  /** Those for answers. */
  get generations(): readonly SeenRequest[] {
    return this.requests.filter(({ operation }) => operation === 'generate')
  }

  async #serve(response: ServerResponse, seen: SeenRequest, method: string): Promise<void> {
    this.requests.push(seen)
    for (const rule of this.rules) {
      const reply = rule(seen)
      if (reply === null) continue
      if ('frames' in reply) {
        response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' })
        response.end(Buffer.concat(reply.frames))
      } else {
        response.writeHead(reply.status, { 'content-type': 'application/json' })
        response.end(JSON.stringify(reply.json))
      }
      return
    }
    const { host: _, connection: __, ...headers } = seen.headers
    const answer = await fetch(`${this.#behind}${seen.path}`, {
      method,
      headers: Object.entries(headers).map(([name, value]) => [name, String(value)]),
      ...(method === 'GET' ? {} : { body: seen.text })
    })
    response.writeHead(answer.status, {
      'content-type': answer.headers.get('content-type') ?? 'text/plain'
    })
    response.end(Buffer.from(await answer.arrayBuffer()))
  }
}

function toSeen(request: Pick<SeenRequest, 'path' | 'headers' | 'text'>): SeenRequest {
  const target = String(request.headers['x-amz-target'] ?? '')
  const name = target === '' ? request.path : target
  return {
    ...request,
    json: request.text.startsWith('{') ? (JSON.parse(request.text) as Record<string, unknown>) : {},
    form: target === '' ? 'path' : 'target',
    operation: OPERATIONS[name] ?? name,
    at: performance.now()
  }
}
