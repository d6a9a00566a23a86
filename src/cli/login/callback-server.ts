import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { codeOf } from '../../shared/errors.ts'

export interface CallbackPage {
  readonly status: number
  readonly title: string
  readonly text: string
}

const ADDRESSES = ['127.0.0.1', '::1']

/**
 * Listens on loopback for the browser's return; `onCallback` judges each request and returns the page.
 * `null` if the port is taken. 0 takes any free port.
 */
export async function listenForBrowser(
  port: number,
  onCallback: (address: string) => Promise<CallbackPage>
): Promise<(AsyncDisposable & { readonly port: number }) | null> {
  const servers: Server[] = []
  let bound = port
  for (const host of ADDRESSES) {
    const server = createServer((request, response) => void answer(request, response, onCallback))
    server.listen(bound, host)
    try {
      await once(server, 'listening')
    } catch (cause) {
      if (host === '::1' && codeOf(cause) !== 'EADDRINUSE') break // a machine without IPv6
      for (const open of servers) open.close()
      return null
    }
    servers.push(server)
    const address = server.address()
    if (typeof address === 'object' && address !== null) bound = address.port
  }
  return { port: bound, [Symbol.asyncDispose]: () => close(servers) }
}

async function close(servers: readonly Server[]): Promise<void> {
  const closed = servers.map((server) => once(server, 'close'))
  for (const server of servers) server.close().closeIdleConnections()
  const timer = setTimeout(() => {
    for (const server of servers) server.closeAllConnections()
  }, LAST_PAGE_MS)
  await Promise.all(closed)
  clearTimeout(timer)
}

const LAST_PAGE_MS = 1000

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  onCallback: (address: string) => Promise<CallbackPage>
): Promise<void> {
  const { status, title, text } =
    request.method === 'GET' ? await onCallback(request.url ?? '/') : NOT_FOUND
  response
    .writeHead(status, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "default-src 'none'",
      'referrer-policy': 'no-referrer', // the address of the page holds the code
      'cache-control': 'no-store',
      connection: 'close'
    })
    .end(
      `<!doctype html><title>${escaped(title)}</title><h1>${escaped(title)}</h1><p>${escaped(text)}</p>\n`
    )
}

const NOT_FOUND: CallbackPage = { status: 404, title: 'Not found', text: '' }

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
