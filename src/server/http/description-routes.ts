import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import type { Config } from '../../config/settings.ts'
import { loadOnce } from '../../shared/single-flight.ts'
import { answerEarly } from '../turn/answer-early.ts'
import type { Route, RoutedRequest } from './router.ts'

// Generated: `npm run generate`.
const JSON_FILE = new URL('../../../docs/openapi.json', import.meta.url)
const PAGE_FILE = new URL('../../../docs/openapi.html', import.meta.url)
const USUAL_ADDRESS = 'http://127.0.0.1:8000'

const SCRIPT = '<script src="dashboard/run-examples.js" type="module"></script>\n'
const RUNS = "script-src 'self'; connect-src 'self'"

const KEPT = { 'cache-control': 'no-cache' } as const

/**
 * The description has 200 to 300 KB, which the system holds until they are read: it needs a key, if there
 * are any, or a dashboard session. The script of the page is the dashboard's.
 */
export function descriptionRoutes(current: { readonly config: Config }): readonly Route[] {
  const servePage = async (routed: RoutedRequest): Promise<void> => {
    const { page, pagePolicy } = await readDescription()
    const hasScript = current.config.observe.dashboard !== 'off'
    const whole = hasScript ? page : page.replace(SCRIPT, '')
    sendPage(routed, whole, hasScript ? `${pagePolicy}; ${RUNS}` : pagePolicy)
  }
  return [
    { method: 'GET', path: '/openapi.json', isForSignedIn: true, serve: serveJson },
    { method: 'GET', path: '/docs', isForSignedIn: true, serve: servePage }
  ]
}

async function serveJson(routed: RoutedRequest): Promise<void> {
  const { json } = await readDescription()
  send(routed, json, { 'content-type': 'application/json; charset=utf-8' })
}

/** Reads the description of the API when it is first asked for. */
export const readDescription = loadOnce(async () => {
  const [json, page] = await Promise.all([readFile(JSON_FILE), readFile(PAGE_FILE, 'utf8')])
  return { json, page, pagePolicy: policyOf(page) }
})

/** Address by which the reader reaches the gateway, for examples that can be run; anything but a host and a port is ignored. */
function addressOf({ headers, socket }: IncomingMessage): string {
  const { host = '' } = headers
  const scheme = headers['x-forwarded-proto'] === 'https' ? 'https' : 'http'
  const isHost = /^(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/.test(host)
  return isHost ? `${scheme}://${host}` : `http://127.0.0.1:${socket.localPort ?? 8000}`
}

/** A page whose examples call the gateway as its reader does. */
export function sendPage(routed: RoutedRequest, page: string, policy: string): void {
  send(routed, Buffer.from(withAddress(page, routed)), {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': policy,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer'
  })
}

export function withAddress(text: string, { request }: RoutedRequest): string {
  return text.replaceAll(USUAL_ADDRESS, addressOf(request))
}

/** The page may use its own style, named by its hash, and with the dashboard that one's files. */
export function policyOf(page: string): string {
  const [, style = ''] = /<style>(.*?)<\/style>/s.exec(page) ?? []
  return [
    "default-src 'none'",
    `style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'"
  ].join('; ')
}

export function send(
  { request, response }: RoutedRequest,
  body: Buffer,
  headers: Readonly<Record<string, string>>
): void {
  answerEarly(request, response, { status: 200, headers: { ...headers, ...KEPT }, body })
}
