import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Refusal } from './refusal.ts'

/**
 * Headers of every answer. `connection` is set by hand so that Node adds no `keep-alive: timeout=…`,
 * which the real upstream does not send and clients would act on.
 */
function commonHeaders(): Record<string, string> {
  return { connection: 'keep-alive', 'x-amzn-requestid': randomUUID() }
}

export function sendJson(response: ServerResponse, status: number, json: object): void {
  const body = Buffer.from(JSON.stringify(json))
  response.writeHead(status, {
    ...commonHeaders(),
    'content-type': 'application/json',
    'content-length': body.length
  })
  response.end(body)
}

/** The upstream's error body (kiro-protocol §8.1), and in `x-simulator-rule` what it would not tell. */
export function sendRefusal(response: ServerResponse, refusal: Refusal): void {
  const { status, errorType, message, reason, retryAfterS, html, rule, violation } = refusal
  if (rule !== undefined) {
    response.setHeader('x-simulator-rule', toHeaderText(`${rule}: ${violation ?? ''}`))
  }
  if (retryAfterS !== undefined) response.setHeader('retry-after', retryAfterS)
  if (html !== undefined) {
    response.writeHead(status, { ...commonHeaders(), 'content-type': 'text/html' })
    response.end(html)
    return
  }
  response.setHeader('x-amzn-errortype', errorType)
  sendJson(response, status, { __type: errorType, message, reason })
}

/** Sets the head of an event stream; it leaves with the first bytes of the body. */
export function startStream(response: ServerResponse, connection: 'keep-alive' | 'close'): void {
  response.writeHead(200, {
    ...commonHeaders(),
    connection,
    'content-type': 'application/vnd.amazon.eventstream',
    'transfer-encoding': 'chunked'
  })
}

/** Names in a violation come from the request and may hold anything. */
function toHeaderText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 200)
}
