import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import { serverUrl } from './server-url.ts'

export interface OpenReply {
  /** What the gateway writes to. */
  readonly response: ServerResponse
  /** What the client gets; reads nothing by itself. */
  readonly received: Promise<IncomingMessage>
  /** Lets the client leave. */
  readonly leave: () => void
}

/** One request between a real client and a real server, both on loopback. */
export async function openReply(t: { teardown(close: () => unknown): void }): Promise<OpenReply> {
  const server = createServer({ highWaterMark: 16_384 })
  const url = await serverUrl(server)
  const request = get(url, { agent: false })
  request.on('error', () => {}) // the client may leave
  const received = once(request, 'response').then(([message]) => message as IncomingMessage)
  received.catch(() => {})
  t.teardown(() => {
    request.destroy()
    server.close()
    server.closeAllConnections()
  })
  const [, response] = (await once(server, 'request')) as [IncomingMessage, ServerResponse]
  return { response, received, leave: () => void request.destroy() }
}

/** The whole text of a body. */
export async function bodyText(message: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of message) text += String(chunk)
  return text
}
