import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { serverUrl } from '../../helper/server-url.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'
import type { Random } from '../random.ts'

export interface Tokens {
  readonly accessToken: string
  readonly refreshToken: string
}

/** A refresh token that was shown to the service. */
export interface Presentation {
  readonly token: string
  /** Who showed it, by its user agent. */
  readonly by: string
  readonly at: number
  /** `again`: its first presenter was killed before it could keep what it got. */
  readonly outcome: 'renewed' | 'again' | 'refused'
}

export interface TokenServiceOptions {
  readonly random: Random
  /** How long an access token lives. */
  readonly lifeMs: number
  /** Shortest and longest time until a renewal is answered. */
  readonly delayMs: readonly [from: number, to: number]
}

/** A presenter that was killed so long after may not have kept what it got. */
const UNKEPT_MS = 15_000
/** The upstream takes a token for so much longer: a request may be on its way, on a machine that is busy. */
const GRACE_MS = 5_000

/**
 * Token service and upstream in one: refresh tokens are good once, access tokens for a moment, and what each of them was
 * used for is on record.
 */
export class TokenService {
  readonly presentations: Presentation[] = []
  /** Requests for answers whose token was not valid. */
  refusals = 0
  answers = 0
  url = ''
  readonly #options: TokenServiceOptions
  readonly #server: Server
  #number = 1
  /** When access tokens end, by their names. */
  readonly #ends = new Map<string, number>()
  /** What the last refresh token became, and for whom. */
  #last: { readonly token: string; readonly by: string; readonly at: number } | null = null
  #mayShowAgain = ''

  constructor(options: TokenServiceOptions) {
    this.#options = options
    this.#ends.set('a1', performance.now() + options.lifeMs)
    this.#server = createServer((request, response) => {
      void this.#serve(request, response).catch(() => response.destroy())
    })
    this.#server.keepAliveTimeout = 0
  }

  async start(): Promise<this> {
    this.url = (await serverUrl(this.#server)).origin
    return this
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  /** The refresh token that is good now. */
  get valid(): string {
    return `r${this.#number}`
  }

  /** What a presenter got just before it was killed is given again to the next who shows the same token. */
  killed(by: string): void {
    const last = this.#last
    if (last?.by === by && performance.now() - last.at < UNKEPT_MS) this.#mayShowAgain = last.token
  }

  /** As the HTTP service, for programs that run in this process. `null` is a refusal. */
  async renew(token: string, by: string): Promise<Tokens | null> {
    const { random, delayMs } = this.#options
    const tokens = this.#exchange(token, by)
    await new Promise((resolve) => setTimeout(resolve, random.between(...delayMs)))
    if (tokens !== null) {
      this.#ends.set(tokens.accessToken, performance.now() + this.#options.lifeMs)
    }
    return tokens
  }

  #exchange(token: string, by: string): Tokens | null {
    const at = performance.now()
    const isAgain = token === this.#mayShowAgain && token !== this.valid
    const outcome = token === this.valid ? 'renewed' : isAgain ? 'again' : 'refused'
    this.presentations.push({ token, by, at, outcome })
    if (outcome === 'refused') return null
    if (outcome === 'renewed') this.#number += 1
    this.#last = { token, by, at }
    this.#mayShowAgain = ''
    return { accessToken: `a${this.#number}`, refreshToken: this.valid }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const piece of request.setEncoding('utf8')) text += String(piece)
    const by = String(request.headers['user-agent'])
    if (request.url === '/generateAssistantResponse') return this.#answer(request, response)
    if (request.url !== '/refreshToken') return sendJson(response, 200, {}) // of no interest
    const { refreshToken } = JSON.parse(text) as { readonly refreshToken: string }
    const tokens = await this.renew(refreshToken, by)
    const expiresIn = this.#options.lifeMs / 1000
    if (tokens === null) sendJson(response, 401, { message: 'Bad credentials' })
    else sendJson(response, 200, { ...tokens, expiresIn })
  }

  #answer({ headers }: IncomingMessage, response: ServerResponse): void {
    const token = (headers.authorization ?? '').replace('Bearer ', '')
    if ((this.#ends.get(token) ?? 0) + GRACE_MS < performance.now()) {
      this.refusals += 1
      const message = 'The bearer token included in the request is invalid.'
      return sendJson(response, 403, { message })
    }
    this.answers += 1
    response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' })
    response.end(Buffer.concat([textFrame('Hello.'), endFrame]))
  }
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
