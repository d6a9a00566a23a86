import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import type {
  EndedRequest,
  KeyStatuses,
  Now,
  ShownAccount,
  Snapshot
} from '../../src/dashboard/feed.ts'

/** What the dashboard's page is told, put together as the page does. */
export class DashboardReader {
  /** 0 while there is no answer. */
  status = 0
  now: Now | null = null
  account: ShownAccount | null = null
  keys: KeyStatuses | null = null
  requests: readonly EndedRequest[] = []
  /** Names of the events that came, in their order. */
  readonly events: string[] = []
  bytes = 0
  isOver = false
  readonly #call: ClientRequest
  readonly #watchers = new Set<() => void>()
  #text = ''

  constructor(url: string, headers: Readonly<Record<string, string>> = {}) {
    this.#call = request(`${url}/dashboard/events`, { agent: false, headers })
    this.#call.on('response', (response) => this.#read(response))
    this.#call.on('error', () => this.#end()).end()
  }

  /** Resolves when this holds, which is looked at with every event, and rejects when there come no more. */
  until(holds: (reader: this) => boolean): Promise<this> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (holds(this)) resolve(this)
        else if (this.isOver) reject(new Error(`no more events, after ${this.events.join(' ')}`))
        else return
        this.#watchers.delete(look)
      }
      this.#watchers.add(look)
      look()
    })
  }

  close(): void {
    this.#call.destroy()
  }

  #read(response: IncomingMessage): void {
    this.status = response.statusCode ?? 0
    response.setEncoding('utf8')
    response.on('data', (piece: string) => {
      this.bytes += Buffer.byteLength(piece)
      this.#text += piece
      const blocks = this.#text.split('\n\n')
      this.#text = blocks.pop() ?? ''
      for (const block of blocks) this.#take(block)
      this.#look()
    })
    response.on('error', () => {}).on('close', () => this.#end())
    this.#look()
  }

  #end(): void {
    this.isOver = true
    this.#look()
  }

  #look(): void {
    for (const look of this.#watchers) look()
  }

  #take(block: string): void {
    const [, name = '', data = ''] = /^event: (\w+)\ndata: (.*)$/.exec(block) ?? []
    if (name === '') return
    this.events.push(name)
    const value = JSON.parse(data) as unknown
    if (name === 'tick') this.now = value as Now
    if (name === 'account') this.account = value as ShownAccount
    if (name === 'keys') this.keys = value as KeyStatuses
    if (name === 'requests') {
      this.requests = [...this.requests, ...(value as EndedRequest[])].slice(-100)
    }
    if (name === 'snapshot') Object.assign(this, value as Snapshot)
  }
}
