import type { DescriptionFiles } from '../../description/description.ts'
import { answerEarly } from '../turn/answer-early.ts'
import type { Route, RoutedRequest } from './router.ts'

/** Both are the same for everybody, and change with the version. */
const KEPT = { 'cache-control': 'no-cache' } as const

/**
 * The description of all routes, for programs and for people. Open: it tells nothing of this gateway. Not a module of it is
 * loaded before somebody asks, and then it is kept.
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
  const serveJson = async (routed: RoutedRequest): Promise<void> => {
    const { json } = await files(routed)
    send(routed, json, { 'content-type': 'application/json; charset=utf-8' })
  }
  const servePage = async (routed: RoutedRequest): Promise<void> => {
    const { page, pagePolicy } = await files(routed)
    send(routed, page, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': pagePolicy,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer'
    })
  }
  return [
    { method: 'GET', path: '/openapi.json', isOpen: true, serve: serveJson },
    { method: 'GET', path: '/docs', isOpen: true, serve: servePage }
  ]
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
