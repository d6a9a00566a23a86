import type { Socket } from 'node:net'
import type { DescriptionFiles } from '../../description/description.ts'
import { answerEarly } from '../turn/answer-early.ts'
import type { Route, RoutedRequest } from './router.ts'

/** Both are the same for everybody, and change with the version. */
const KEPT = { 'cache-control': 'no-cache' } as const

/** In a worker, what the system holds for clients that do not read it is some 5 MB. */
const MAX_READERS = 16

/**
 * The description of all routes, for programs and for people. It tells nothing of this gateway, but has 200 to 300 KB, which
 * the system holds until a client has read it: where there are keys, it wants one, or a session of the dashboard. Not a
 * module of it is loaded before somebody asks, and then it is kept.
 */
export function descriptionRoutes(): readonly Route[] {
  let made: Promise<DescriptionFiles> | null = null
  const files = ({ request }: RoutedRequest): Promise<DescriptionFiles> => {
    made ??= loadDescription(request.socket.localPort).catch((cause: unknown) => {
      made = null
      throw cause
    })
    return made
  }
  const readers = new DescriptionReaders()
  const serveJson = async (routed: RoutedRequest): Promise<void> => {
    const { json } = await files(routed)
    readers.add(routed)
    send(routed, json, { 'content-type': 'application/json; charset=utf-8' })
  }
  const servePage = async (routed: RoutedRequest): Promise<void> => {
    const { page, pagePolicy } = await files(routed)
    readers.add(routed)
    send(routed, page, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': pagePolicy,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer'
    })
  }
  return [
    { method: 'GET', path: '/openapi.json', isForSignedIn: true, serve: serveJson },
    { method: 'GET', path: '/docs', isForSignedIn: true, serve: servePage }
  ]
}

/** The clients that read it now. Each connection ends with the answer, and the oldest is reset where they are too many. */
class DescriptionReaders {
  /** Bounded by MAX_READERS. */
  readonly #sockets = new Set<Socket>()

  add({ request, response }: RoutedRequest): void {
    const { socket } = request
    if (socket.destroyed) return // while the description was loaded; its `close` has been told
    response.setHeader('connection', 'close')
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    const [oldest] = this.#sockets
    if (this.#sockets.size > MAX_READERS) oldest?.resetAndDestroy()
  }
}

/** A worker listens on one port, so that the first request tells it. */
async function loadDescription(port = 8000): Promise<DescriptionFiles> {
  const { makeDescription } = await import('../../description/description.ts')
  return makeDescription(port)
}

function send(
  { request, response }: RoutedRequest,
  body: Buffer,
  headers: Readonly<Record<string, string>>
): void {
  answerEarly(request, response, { status: 200, headers: { ...headers, ...KEPT }, body })
}
