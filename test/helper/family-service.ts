import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse
} from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * The desktop token service at its strictest, on loopback: a refresh token works once, and one that is presented again ends
 * its whole family. All other calls go on to an upstream, and their tokens are noted.
 */
export class FamilyTokenServer {
  url = ''
  /** Of the next answers, in seconds; half of it counts. */
  expiresIn = 60
  /** Every token that there ever was. */
  readonly tokens: string[]
  /** How often each refresh token was presented. */
  readonly presented = new Map<string, number>()
  revocations = 0
  /** Runs when a token was taken, before the answer; the answer is not sent if it says so. */
  onPresented: () => 'answer' | 'keep' = () => 'answer'
  /** Runs when an answer is on its way. */
  onAnswered: () => void = () => {}
  /** The last access token that the upstream was called with. */
  lastUsed = ''
  #valid: string
  #isRevoked = false
  readonly #family = new Set<string>()
  readonly #upstreamUrl: string
  readonly #server: Server

  constructor(first: string, upstreamUrl: string) {
    this.#valid = first
    this.tokens = [first]
    this.#family.add(first)
    this.#upstreamUrl = upstreamUrl
    this.#server = createServer((call, answer) => {
      if (call.url === '/refreshToken') void this.#renew(call, answer)
      else this.#pass(call, answer)
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

  get valid(): string {
    return this.#valid
  }

  get isRevoked(): boolean {
    return this.#isRevoked
  }

  /** Somebody signs in: what a file of the Kiro IDE says of it. */
  signIn() {
    this.#family.clear()
    this.#isRevoked = false
    const { accessToken, refreshToken } = this.#issue()
    const expiresAt = new Date(Date.now() + this.expiresIn * 500).toISOString()
    return { accessToken, refreshToken, expiresAt, region: 'us-east-1', authMethod: 'social' }
  }

  #issue() {
    const [accessToken, refreshToken] = [newToken('access'), newToken('refresh')]
    this.tokens.push(accessToken, refreshToken)
    this.#valid = refreshToken
    this.#family.add(refreshToken)
    return { accessToken, refreshToken }
  }

  async #renew(call: IncomingMessage, answer: ServerResponse): Promise<void> {
    let text = ''
    for await (const chunk of call.setEncoding('utf8')) text += String(chunk)
    const { refreshToken: token } = JSON.parse(text) as { readonly refreshToken: string }
    this.presented.set(token, (this.presented.get(token) ?? 0) + 1)
    const isGood = token === this.#valid && !this.#isRevoked
    if (!isGood && this.#family.has(token) && !this.#isRevoked) {
      this.#isRevoked = true
      this.revocations += 1
    }
    const { expiresIn } = this
    const body = isGood ? { ...this.#issue(), expiresIn } : { message: 'Bad credentials' }
    if (isGood && this.onPresented() === 'keep') return
    answer.writeHead(isGood ? 200 : 401, { 'content-type': 'application/json' })
    answer.end(JSON.stringify(body), () => isGood && this.onAnswered())
  }

  #pass(call: IncomingMessage, answer: ServerResponse): void {
    this.lastUsed = (call.headers.authorization ?? '').replace(/^Bearer /, '')
    const { method, headers } = call
    const passed = request(`${this.#upstreamUrl}${call.url}`, { method, headers }, (got) => {
      answer.writeHead(got.statusCode ?? 502, got.headers)
      got.pipe(answer)
    })
    passed.on('error', () => answer.destroy())
    answer.on('close', () => passed.destroy())
    call.pipe(passed)
  }
}

function newToken(kind: string): string {
  return `${kind}-${randomBytes(24).toString('hex')}`
}
