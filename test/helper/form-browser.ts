import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'

export interface FormPage {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly html: string
  /** What a reader sees, in one line. */
  readonly words: string
  readonly url: string
}

type Headers = Readonly<Record<string, string>>

/** Asks for pages and sends their forms as a browser does: with cookies, with what the form has, and where it comes from. */
export class FormBrowser {
  readonly url: string
  readonly #jar = new Map<string, string>()
  page: FormPage = { status: 0, headers: {}, html: '', words: '', url: '' }

  constructor(url: string) {
    this.url = url
  }

  get cookie(): string {
    return [...this.#jar].map(([name, value]) => `${name}=${value}`).join('; ')
  }

  forget(name: string): void {
    this.#jar.delete(name)
  }

  /** As a link that was typed, or with the headers of one on another page. */
  async open(path: string, headers: Headers = {}): Promise<FormPage> {
    return this.#follow(path, { 'sec-fetch-site': 'none', ...headers })
  }

  /** Fields of the form of a step on the page. */
  fieldsOf(step: string): Record<string, string> {
    const forms = this.page.html.match(/<form[\s\S]*?<\/form>/g) ?? []
    const form = forms.find((one) => one.includes(`name="step" value="${step}"`))
    if (form === undefined) throw new Error(`no form ${step}: ${this.page.words}`)
    const inputs = form.matchAll(/<input [^>]*?name="([^"]*)"[^>]*? value="([^"]*)"/g)
    const chosen = form.matchAll(/<select [^>]*?name="([^"]*)">\s*<option value="([^"]*)"/g)
    return Object.fromEntries(
      [...inputs, ...chosen].map(([, name = '', value = '']) => [name, value])
    )
  }

  submit(step: string, fields: Headers = {}, headers: Headers = {}): Promise<FormPage> {
    return this.send({ ...this.fieldsOf(step), ...fields }, headers)
  }

  /** Sends fields, wherever they come from. */
  async send(fields: Headers, headers: Headers = {}): Promise<FormPage> {
    const body = new URLSearchParams(fields).toString()
    const own = {
      'content-type': 'application/x-www-form-urlencoded',
      origin: this.url,
      'sec-fetch-site': 'same-origin',
      ...headers
    }
    return this.#follow('/device?', own, body)
  }

  async #follow(path: string, headers: Headers, body?: string): Promise<FormPage> {
    let page = await this.#step(path, headers, body)
    for (let hops = 0; page.status === 303 && hops < 5; hops++) {
      const next = new URL(String(page.headers.location), page.url)
      if (next.origin !== new URL(this.url).origin) throw new Error(`sent away to ${next.href}`)
      page = await this.#step(next.pathname + next.search, { 'sec-fetch-site': 'same-origin' })
    }
    this.page = page
    return page
  }

  async #step(path: string, headers: Headers, body?: string): Promise<FormPage> {
    const url = new URL(path, this.url).href
    const method = body === undefined ? 'GET' : 'POST'
    const call = request(url, {
      method,
      agent: false,
      headers: { ...headers, cookie: this.cookie }
    })
    call.end(body)
    const [response] = (await once(call, 'response')) as [IncomingMessage]
    for (const line of response.headers['set-cookie'] ?? []) {
      const [pair = ''] = line.split(';', 1)
      const at = pair.indexOf('=')
      if (/max-age=0/i.test(line)) this.#jar.delete(pair.slice(0, at))
      else this.#jar.set(pair.slice(0, at), pair.slice(at + 1))
    }
    const html = await text(response)
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      html,
      words: wordsOf(html),
      url
    }
  }
}

function wordsOf(html: string): string {
  const shown = html.replaceAll(/<style>[\s\S]*?<\/style>|<[^>]+>/g, ' ')
  const read = shown.replaceAll(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)))
  return read.replaceAll(/\s+/g, ' ').trim()
}
