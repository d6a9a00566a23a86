import { FrameDecoder } from '../../src/frames/frame-decoder.ts'
import { parseUpstreamEvent, type UpstreamEvent } from '../../src/kiro/wire/event.ts'

/** Requests to the simulator, and its answers as events. */

export const TEST_PROFILE_ARN = 'arn:aws:codewhisperer:us-east-1:123456789012:profile/TEST'

type Json = Record<string, unknown>

/** A tool as the upstream takes it. */
export function upstreamTool(
  name: string,
  schema: Json = { type: 'object', properties: {} }
): Json {
  return {
    toolSpecification: { name, description: `Tool: ${name}`, inputSchema: { json: schema } }
  }
}

/** The smallest request that the upstream accepts, with `content` as its text. */
export function upstreamRequest(
  content: string,
  more: { message?: Json; context?: Json; state?: Json; root?: Json } = {}
): Json {
  const context = more.context === undefined ? {} : { userInputMessageContext: more.context }
  const userInputMessage = {
    content,
    modelId: 'auto',
    origin: 'AI_EDITOR',
    ...context,
    ...more.message
  }
  return {
    profileArn: TEST_PROFILE_ARN,
    conversationState: {
      conversationId: '00000000-0000-4000-8000-000000000000',
      chatTriggerType: 'MANUAL',
      currentMessage: { userInputMessage },
      ...more.state
    },
    ...more.root
  }
}

/** Sends a generation request; `headers` replace or add to the usual ones. */
export function generate(
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
  signal?: AbortSignal
): Promise<Response> {
  return fetch(`${url}/generateAssistantResponse`, {
    method: 'POST',
    headers: { authorization: 'Bearer good', 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(signal === undefined ? {} : { signal })
  })
}

/** All events of a complete answer. */
export async function eventsOf(response: Response): Promise<UpstreamEvent[]> {
  const decoder = new FrameDecoder()
  const frames = decoder.feed(new Uint8Array(await response.arrayBuffer()))
  decoder.end()
  return frames.map(parseUpstreamEvent)
}

/** The answer's text, joined. */
export function textOf(events: readonly UpstreamEvent[]): string {
  return events.map((event) => (event.type === 'text' ? event.text : '')).join('')
}

/** Any request, with a good bearer unless `headers` say otherwise. */
export function call(
  url: string,
  method: string,
  path: string,
  sent: { headers?: Record<string, string>; body?: unknown } = {}
): Promise<Response> {
  return fetch(`${url}${path}`, {
    method,
    headers: { authorization: 'Bearer good', ...sent.headers },
    ...(sent.body === undefined ? {} : { body: JSON.stringify(sent.body) })
  })
}

/** The JSON of an answer. */
export async function jsonOf(response: Promise<Response>): Promise<Record<string, unknown>> {
  return (await (await response).json()) as Record<string, unknown>
}

/** Status and, where the answer is JSON, its members. */
export async function refusalOf(pending: Promise<Response>): Promise<object> {
  const response = await pending
  const bytes = await response.arrayBuffer()
  const isJson = response.headers.get('content-type') === 'application/json'
  const members = isJson ? (JSON.parse(Buffer.from(bytes).toString()) as object) : {}
  return { status: response.status, ...members }
}

/** Headers with `token` as bearer. */
export function bearer(token: string, more: Record<string, string> = {}): Record<string, string> {
  return { authorization: `Bearer ${token}`, ...more }
}
