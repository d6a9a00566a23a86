import { request } from 'node:http'

export interface PanelReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly text: string
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of many shapes
  readonly json: any
}

export type PanelHeaders = Readonly<Record<string, string>>

/** The panel's API as a browser's page or a program asks it, with each header as the test says. */
export class PanelClient {
  readonly url: string
  readonly headers: PanelHeaders

  constructor(url: string, headers: PanelHeaders = {}) {
    this.url = url
    this.headers = headers
  }

  static withKey(url: string, key: string): PanelClient {
    return new PanelClient(url, { authorization: `Bearer ${key}` })
  }

  /** Signs in as the page does; resolves with a client that has its cookie and form token. */
  static async signedIn(url: string, key: string): Promise<PanelClient> {
    const page = new PanelClient(url, ofPage(url))
    const reply = await page.post('/dashboard/session', { key })
    if (reply.status !== 200) throw new Error(`not signed in: ${reply.status} ${reply.text}`)
    const [cookie = ''] = String(reply.headers['set-cookie']).split(';', 1)
    return page.with({ cookie, 'x-csrf-token': String(reply.json.csrf) })
  }

  with(headers: PanelHeaders): PanelClient {
    return new PanelClient(this.url, { ...this.headers, ...headers })
  }

  without(...names: readonly string[]): PanelClient {
    const kept = Object.entries(this.headers).filter(([name]) => !names.includes(name))
    return new PanelClient(this.url, Object.fromEntries(kept))
  }

  get(path: string, headers: PanelHeaders = {}): Promise<PanelReply> {
    return this.#send('GET', path, headers)
  }

  post(path: string, body: object = {}, headers: PanelHeaders = {}): Promise<PanelReply> {
    return this.#send('POST', path, { 'content-type': 'application/json', ...headers }, body)
  }

  delete(path: string, headers: PanelHeaders = {}): Promise<PanelReply> {
    return this.#send('DELETE', path, headers)
  }

  #send(method: string, path: string, headers: PanelHeaders, body?: object): Promise<PanelReply> {
    return new Promise((resolve, reject) => {
      const call = request(this.url + path, {
        method,
        agent: false,
        headers: { ...this.headers, ...headers }
      })
      call.on('error', reject)
      call.on('response', (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (piece: string) => {
          text += piece
        })
        response.on('error', reject)
        response.on('end', () => {
          const isJson = String(response.headers['content-type']).startsWith('application/json')
          const json: unknown = isJson && text !== '' ? JSON.parse(text) : null
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json })
        })
      })
      call.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
}

/** Headers of a browser whose page came from the gateway. */
export function ofPage(url: string): PanelHeaders {
  return { origin: url, 'sec-fetch-site': 'same-origin' }
}
