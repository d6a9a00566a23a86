import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'

export interface Visit {
  readonly url: string
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly text: string
}

/** Follows redirects and keeps cookies by origin and path, as a browser does. */
export class CookieBrowser {
  /** By origin, then by name. */
  readonly #cookies = new Map<string, Map<string, { value: string; path: string }>>()
  readonly #headers: Readonly<Record<string, string>>

  constructor(headers: Readonly<Record<string, string>> = {}) {
    this.#headers = headers
  }

  /** Stops in front of an address with this beginning. */
  async visit(address: string, until?: string): Promise<Visit> {
    let url = new URL(address)
    for (let hops = 0; hops < 20; hops++) {
      if (until !== undefined && url.href.startsWith(until))
        return { url: url.href, status: 0, headers: {}, text: '' }
      const visit = await this.step(url.href)
      const { location } = visit.headers
      if (location === undefined) return visit
      url = new URL(location, url)
    }
    throw new Error('too many redirects')
  }

  async step(address: string): Promise<Visit> {
    const url = new URL(address)
    const jar = this.#cookies.get(url.origin) ?? new Map()
    this.#cookies.set(url.origin, jar)
    const headers = { ...this.#headers, cookie: this.cookies(address) }
    const call = request(url, { agent: false, headers }).end()
    const [response] = (await once(call, 'response')) as [IncomingMessage]
    for (const line of response.headers['set-cookie'] ?? []) {
      const [pair = '', ...facts] = line.split(';').map((one) => one.trim())
      const at = pair.indexOf('=')
      const path = facts.find((one) => /^path=/i.test(one))?.slice(5) ?? '/'
      jar.set(pair.slice(0, at), { value: pair.slice(at + 1), path })
    }
    const { statusCode: status = 0, headers: answered } = response
    return { url: url.href, status, headers: answered, text: await text(response) }
  }

  /** What it would send there. */
  cookies(address: string): string {
    const { origin, pathname } = new URL(address)
    const own = [...(this.#cookies.get(origin) ?? [])].filter(
      ([, { value, path }]) => value !== '' && pathname.startsWith(path)
    )
    return own.map(([name, { value }]) => `${name}=${value}`).join('; ')
  }
}
