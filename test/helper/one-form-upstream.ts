import type { IncomingMessage, ServerResponse } from 'node:http'
import { CountingUpstream } from './counting-upstream.ts'
import { endFrame, textFrame } from './upstream-frames.ts'

interface Teardown {
  teardown(close: () => unknown): void
}

export interface FormCall {
  readonly form: 'path' | 'target' | 'mixed'
  readonly operation: 'generate' | 'search'
  readonly headers: IncomingMessage['headers']
  readonly json: Readonly<Record<string, unknown>>
}

/** An upstream that knows one form of request and nothing of the gateway's: written from kiro-protocol §1.5 alone. */
export class OneFormUpstream {
  readonly calls: FormCall[] = []
  /** May change, as the real one might. */
  takes: 'path' | 'target'
  /** What a request in the other form is refused with. */
  refusal: { status: number; json: object } = {
    status: 400,
    json: { message: 'Improperly formed request.', reason: 'REQUEST_BODY_INVALID' }
  }
  /** The same of searches, where they differ. */
  takesSearches: 'path' | 'target' | null = null
  refusalOfSearches: OneFormUpstream['refusal'] | null = null
  url = ''

  private constructor(takes: 'path' | 'target') {
    this.takes = takes
  }

  static async start(t: Teardown, takes: 'path' | 'target'): Promise<OneFormUpstream> {
    const upstream = new OneFormUpstream(takes)
    const { url } = await CountingUpstream.start(t, (request, response) => {
      void upstream.#serve(request, response)
    })
    upstream.url = url.origin
    return upstream
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const path = request.url ?? ''
    const target = String(request.headers['x-amz-target'] ?? '')
    const operation = OPERATIONS[path === '/' ? target : path]
    if (operation === undefined) {
      answer(response, 403, NOT_ADMITTED) // models and usage, without which answers go on
      return
    }
    const json = JSON.parse(Buffer.concat(chunks).toString())
    const form = formOf(path, request.headers, json, operation)
    this.calls.push({ form, operation, headers: request.headers, json })
    const isSearch = operation === 'search'
    const takes = (isSearch ? this.takesSearches : null) ?? this.takes
    const refusal = (isSearch ? this.refusalOfSearches : null) ?? this.refusal
    if (form !== takes) answer(response, refusal.status, refusal.json)
    else if (operation === 'search') answer(response, 200, FOUND)
    else response.end(Buffer.concat([textFrame('hello'), endFrame]))
  }
}

const OPERATIONS: Readonly<Record<string, FormCall['operation']>> = {
  '/generateAssistantResponse': 'generate',
  '/mcp': 'search',
  'KiroRuntimeService.GenerateAssistantResponse': 'generate',
  'KiroRuntimeService.InvokeMCP': 'search'
}

const NOT_ADMITTED = {
  message: 'Your subscription does not support this application. Please contact your administrator.'
}

const PAGE = { title: 'Kiro', url: 'https://kiro.dev/', snippet: 'A page.' }
const FOUND = {
  jsonrpc: '2.0',
  result: { content: [{ type: 'text', text: JSON.stringify({ results: [PAGE] }) }], isError: false }
}

/** A form is all of it: address, content type, headers and members. */
function formOf(
  path: string,
  headers: IncomingMessage['headers'],
  json: { agentMode?: unknown; conversationState?: Record<string, unknown> },
  operation: FormCall['operation']
): FormCall['form'] {
  const { rootConversationId, agentContinuationId, agentTaskType } = json.conversationState ?? {}
  const own = [json.agentMode, rootConversationId, agentContinuationId, agentTaskType]
  const isGeneration = operation === 'generate'
  if (path === '/') {
    const isWhole = !isGeneration || own.every((member) => typeof member === 'string')
    const hasPathHeader = headers['x-amzn-kiro-agent-mode'] !== undefined
    const isTyped = headers['content-type'] === 'application/x-amz-json-1.0'
    return isTyped && isWhole && !hasPathHeader ? 'target' : 'mixed'
  }
  const isTyped = headers['content-type'] === 'application/json'
  const isPlain = own.every((member) => member === undefined)
  return isTyped && isPlain && headers['x-amz-target'] === undefined ? 'path' : 'mixed'
}

function answer(response: ServerResponse, status: number, json: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(json))
}
