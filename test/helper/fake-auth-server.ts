import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface AuthCall {
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Record<string, unknown>
}

export interface AuthReply {
  readonly status: number
  readonly body: unknown
  readonly headers?: Record<string, string>
}

/**
 * All token services on loopback: `/refreshToken` (desktop), `/token` (OIDC) and `/idp` (an external provider: forms in,
 * snake_case out). A refresh token works once, then only its successor does: `r1` gives `a2` and `r2`. Presenting a used one
 * is answered as the real services do.
 */
export class FakeAuthServer {
  readonly calls: AuthCall[] = []
  /** Answers to give instead, first come first served. */
  readonly replies: AuthReply[] = []
  expiresIn = 3600
  /** Of the OIDC client. */
  registrationHasExpired = false
  /** The next answer with new tokens is lost on its way. */
  isUndelivered = false
  /** Members to add to good answers. */
  extra: Record<string, unknown> = {}
  /** Runs before each answer; lets a test hold it up. */
  beforeReply: () => Promise<void> | void = () => {}
  url = ''
  #valid: string
  #server: Server

  constructor(firstToken = 'r1') {
    this.#valid = firstToken
    this.#server = createServer((request, response) => {
      void this.#answer(request, response)
    })
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    return this
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  /** The refresh token that would be accepted now. */
  get validToken(): string {
    return this.#valid
  }

  /** Somebody else uses the refresh token up; the tokens they got. */
  rotateElsewhere(): { accessToken: string; refreshToken: string } {
    const [, number, rest = ''] = /^r(\d+)(.*)$/.exec(this.#valid) ?? []
    const next = `${Number(number) + 1}${rest}`
    this.#valid = `r${next}`
    return { accessToken: `a${next}`, refreshToken: this.#valid }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await textOf(request)
    if (text === null) return
    const reply = await this.#reply(request, text)
    response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers })
    response.end(typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body))
  }

  async #reply(request: IncomingMessage, text: string): Promise<AuthReply> {
    // A test whose server had this port before may still have a gateway that asks here.
    if (text === '') return { status: 400, body: { error: 'invalid_request' } }
    const isForm = request.headers['content-type'] === 'application/x-www-form-urlencoded'
    const body = isForm
      ? Object.fromEntries(new URLSearchParams(text))
      : (JSON.parse(text) as Record<string, unknown>)
    this.calls.push({ path: request.url ?? '', headers: request.headers, body })
    await this.beforeReply()
    const scripted = this.replies.shift()
    if (scripted !== undefined) return scripted
    const path = request.url ?? ''
    if ((body['refreshToken'] ?? body['refresh_token']) !== this.#valid) return refusal(path)
    if (path === '/token' && this.registrationHasExpired) return INVALID_CLIENT
    const { accessToken, refreshToken } = this.rotateElsewhere()
    const { expiresIn, extra } = this
    const tokens =
      path === '/idp'
        ? { access_token: accessToken, refresh_token: refreshToken, expires_in: String(expiresIn) }
        : { accessToken, refreshToken, expiresIn }
    if (this.isUndelivered) {
      this.isUndelivered = false
      request.socket.destroy()
    }
    return { status: 200, body: { ...tokens, ...extra } }
  }
}

/** The body, or null when the gateway was killed while it sent it. */
async function textOf(request: IncomingMessage): Promise<string | null> {
  let text = ''
  try {
    for await (const chunk of request.setEncoding('utf8')) text += String(chunk)
    return text
  } catch {
    return null
  }
}

const INVALID_CLIENT: AuthReply = {
  status: 401,
  body: { error: 'invalid_client', error_description: 'Invalid client credentials provided' }
}

function refusal(path: string): AuthReply {
  return path !== '/refreshToken'
    ? {
        status: 400,
        body: { error: 'invalid_grant', error_description: 'Invalid refresh token provided' }
      }
    : { status: 401, body: { message: 'Bad credentials' } }
}
