import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { UpstreamPayload } from '../../src/kiro/wire/payload.ts'

export interface AlteredGeneration {
  readonly incoming: IncomingMessage
  readonly response: ServerResponse
  /** Base URL of the server that answers, without a slash at the end. */
  readonly upstreamUrl: string
  /** Sees each generation before it is sent on, and returns what is sent in its place. */
  readonly alter: (payload: UpstreamPayload) => Promise<UpstreamPayload>
}

/** Sends a request on to another server, and its answer back as it comes. */
export async function forwardGeneration(options: AlteredGeneration): Promise<void> {
  const { incoming, response, upstreamUrl, alter } = options
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  let body = Buffer.concat(chunks)
  if (isGeneration(incoming)) {
    const payload = JSON.parse(body.toString()) as UpstreamPayload
    const altered = await alter(payload)
    if (altered !== payload) body = Buffer.from(JSON.stringify(altered))
  }
  const { host: _, ...headers } = incoming.headers
  const outgoing = request(upstreamUrl + (incoming.url ?? ''), {
    method: incoming.method,
    headers: { ...headers, ...(body.length > 0 && { 'content-length': body.length }) }
  })
  outgoing.on('response', (answer) => {
    response.writeHead(answer.statusCode ?? 500, answer.headers)
    response.flushHeaders()
    answer.on('data', (chunk: Buffer) => response.write(chunk))
    answer.on('end', () => response.end())
    answer.on('error', () => response.destroy())
  })
  outgoing.on('error', () => response.destroy())
  response.on('close', () => outgoing.destroy())
  outgoing.end(body)
}

/** Both forms of request: by path, and by target. */
function isGeneration({ url, headers }: IncomingMessage): boolean {
  return (
    url?.startsWith('/generate') === true ||
    String(headers['x-amz-target']).endsWith('.GenerateAssistantResponse')
  )
}
