import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { AuthCall, AuthReply } from './fake-auth-server.ts'

export type DeviceState = 'pending' | 'confirmed' | 'denied' | 'expired'

interface IssuedCode {
  readonly challenge: string
  /** The address that the browser was sent to, without code and state. */
  readonly redirectUri: string
}

/**
 * What people sign in at, on loopback: the OIDC service of AWS with its device codes, and the portal for Google and
 * GitHub with its token service. Strict: what a real one would refuse is refused, and codes work once.
 */
export class FakeSignInServices {
  readonly calls: AuthCall[] = []
  /** Answers to give instead, first come first served. */
  readonly replies: AuthReply[] = []
  /** In seconds; both are told to clients. */
  interval: number = 1
  expiresIn = 600
  /** Tokens given so far, each set named by its number: `device-access-1`. */
  issued = 0
  url = ''
  #clients = 0
  #devices = 0
  /** What somebody has done with each device code, by its number. Several may wait at once. */
  readonly #decisions = new Map<number, DeviceState>()
  readonly #usedDevices = new Set<string>()
  readonly #codes = new Map<string, IssuedCode>()
  readonly #server = createServer((request, response) => void this.#answer(request, response))

  /** What somebody does with the newest device code. */
  set device(state: DeviceState) {
    this.#decisions.set(this.#devices, state)
  }

  /** What somebody does who has followed this link of a device code. */
  confirm(link: string): void {
    const code = new URL(link).searchParams.get('user_code') ?? ''
    this.#decisions.set(Number(code.replace('CODE-', '')), 'confirmed')
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

  callsTo(path: string): readonly AuthCall[] {
    return this.calls.filter((call) => call.path === path)
  }

  /**
   * What a browser does with the portal's link once somebody has signed in there: the address that it is sent back to.
   * Throws where the portal would show an error.
   */
  browse(link: string, option = 'google'): string {
    const url = new URL(link)
    const params = Object.fromEntries(url.searchParams)
    const { state = '', code_challenge = '', redirect_uri = '' } = params
    const isRight =
      url.origin + url.pathname === 'https://app.kiro.dev/signin' &&
      params['code_challenge_method'] === 'S256' &&
      /^[\w-]{43}$/.test(code_challenge) &&
      state.length >= 16 &&
      /^http:\/\/localhost:\d+$/.test(redirect_uri)
    if (!isRight) throw new Error(`the portal does not take ${link}`)
    const code = `portal-code-${this.#codes.size + 1}`
    const redirectUri = `${redirect_uri}/oauth/callback?login_option=${option}`
    this.#codes.set(code, { challenge: code_challenge, redirectUri })
    return `${redirectUri}&code=${code}&state=${state}`
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += String(chunk)
    const body = JSON.parse(text === '' ? '{}' : text) as Record<string, unknown>
    const path = request.url ?? ''
    this.calls.push({ path, headers: request.headers, body })
    const { status, body: said, headers } = this.replies.shift() ?? this.#reply(path, body)
    const isPage = typeof said === 'string'
    response.writeHead(status, {
      'content-type': isPage ? 'text/html' : 'application/json',
      ...headers
    })
    response.end(isPage ? said : JSON.stringify(said))
  }

  #reply(path: string, body: Readonly<Record<string, unknown>>): AuthReply {
    switch (path) {
      case '/client/register':
        return this.#register(body)
      case '/device_authorization':
        return this.#authorize(body)
      case '/token':
        return this.#token(body)
      case '/oauth/token':
        return this.#redeem(body)
      default:
        return { status: 404, body: { message: 'not here' } }
    }
  }

  #register(body: Readonly<Record<string, unknown>>): AuthReply {
    const { clientName, clientType, scopes, grantTypes, issuerUrl } = body
    const isWhole =
      typeof clientName === 'string' && typeof issuerUrl === 'string' && Array.isArray(scopes)
    if (clientType !== 'public' || !isWhole || !Array.isArray(grantTypes)) {
      return refused('invalid_request')
    }
    this.#clients += 1
    return {
      status: 200,
      body: {
        clientId: `client-${this.#clients}`,
        clientSecret: `client-secret-${this.#clients}`,
        clientSecretExpiresAt: 1_800_000_000
      }
    }
  }

  #authorize(body: Readonly<Record<string, unknown>>): AuthReply {
    if (!this.#isKnown(body)) return refused('invalid_client')
    if (typeof body['startUrl'] !== 'string' || body['startUrl'].includes('wrong')) {
      return refused('invalid_request')
    }
    this.#devices += 1
    const userCode = `CODE-${this.#devices}`
    return {
      status: 200,
      body: {
        deviceCode: `device-code-${this.#devices}`,
        userCode,
        verificationUri: 'https://device.example.com/',
        verificationUriComplete: `https://device.example.com/?user_code=${userCode}`,
        expiresIn: this.expiresIn,
        interval: this.interval
      }
    }
  }

  #token(body: Readonly<Record<string, unknown>>): AuthReply {
    if (!this.#isKnown(body)) return refused('invalid_client')
    if (body['grantType'] !== 'urn:ietf:params:oauth:grant-type:device_code') {
      return refused('unsupported_grant_type')
    }
    const device = String(body['deviceCode'])
    const number = Number(device.replace('device-code-', ''))
    if (!(number >= 1 && number <= this.#devices) || this.#usedDevices.has(device)) {
      return refused('invalid_grant')
    }
    switch (this.#decisions.get(number) ?? 'pending') {
      case 'pending':
        return refused('authorization_pending')
      case 'denied':
        return refused('access_denied')
      case 'expired':
        return refused('expired_token')
      case 'confirmed':
        this.#usedDevices.add(device)
        return this.#issue()
    }
  }

  /** A code is spent by the first attempt, whatever comes of it. */
  #redeem(body: Readonly<Record<string, unknown>>): AuthReply {
    const code = String(body['code'])
    const issued = this.#codes.get(code)
    this.#codes.delete(code)
    if (issued === undefined) return { status: 401, body: { message: 'Bad credentials' } }
    const verifier = String(body['code_verifier'])
    const challenge = createHash('sha256').update(verifier).digest('base64url')
    if (challenge !== issued.challenge) return { status: 401, body: { message: 'Bad verifier' } }
    if (body['redirect_uri'] !== issued.redirectUri) {
      return { status: 500, body: { message: 'redirect_mismatch' } }
    }
    return this.#issue({
      profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/SOCIAL'
    })
  }

  #issue(more: Readonly<Record<string, unknown>> = {}): AuthReply {
    this.issued += 1
    return {
      status: 200,
      body: {
        accessToken: `access-token-${this.issued}`,
        refreshToken: `refresh-token-${this.issued}`,
        expiresIn: 3600,
        ...more
      }
    }
  }

  #isKnown(body: Readonly<Record<string, unknown>>): boolean {
    const number = Number(String(body['clientId']).replace('client-', ''))
    const isIssued = number >= 1 && number <= this.#clients
    return isIssued && body['clientSecret'] === `client-secret-${number}`
  }
}

function refused(error: string): AuthReply {
  return { status: 400, body: { error, error_description: `said of ${error}` } }
}
