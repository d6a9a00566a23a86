import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { alivePeers } from '../../chaos/kernel-view.ts'
import { next, searchFor } from '../../helper/simulated-words.ts'
import type { AbuseRow } from '../row.ts'
import type { AbuseStand } from '../stand.ts'

const Clients = 60
const GapMs = 50
const StallS = 3
/** What an answer may take to be given up beyond that, on a busy machine. */
const PatienceMs = 30_000
/** Requests of the bystanders that the upstream has at one time. */
const OfBystanders = 40

const Endless = 'sim:events=20480 sim:size=1024 sim:gap=0'
/** When a client stops to read, by what it has read then. */
const Stops = [
  { when: 'in the first', prompt: `${searchFor('news')} ${Endless}`, after: 'message_start' },
  {
    when: 'between both',
    prompt: `${searchFor('news')} ${next(Endless)}`,
    after: 'web_search_tool_result'
  }
] as const

/** An answer of two rounds that nobody reads on ends with its upstream, and holds no more than one of a single round. */
export const row: AbuseRow = {
  name: 'unread-rounds',
  what: `${Clients} clients whose answers take a search and a second round without end, and who stop to read: ${Stops.map(({ when }) => when).join(', ')}`,
  settings: { CLIENT_STALL_TIMEOUT: String(StallS) },
  async attack(stand) {
    const figures: string[] = []
    for (const { when, prompt, after } of Stops) {
      const before = await upstreamOf(stand)
      const clients: Client[] = []
      for (let count = 0; count < Clients; count++) {
        clients.push(new Client(stand, prompt, after))
        await delay(GapMs)
      }
      await until(`${when}: given up`, () => {
        const alive = alivePeers(stand.port)
        return clients.every(({ socket }) => socket.closed || !alive.has(socket.localPort ?? 0))
      })
      await until(`${when}: upstream stopped`, async () => {
        const { inFlight } = await upstreamOf(stand)
        return inFlight <= OfBystanders
      })
      const { searches } = await upstreamOf(stand)
      for (const { socket } of clients) socket.destroy()
      const stopped = clients.filter(({ hasStopped }) => hasStopped).length
      if (stopped === 0) throw new Error(`${when}: nobody came so far: ${clients[0]?.text}`)
      figures.push(`${when}: ${stopped} stopped, ${searches - before.searches} had searched`)
      stand.progress(figures.at(-1) ?? '')
    }
    return `${figures.join('; ')}; all were given up, and the upstream with them`
  }
}

/** Reads up to these words, and then nothing. */
class Client {
  readonly socket: Socket
  hasStopped = false
  text = ''

  constructor({ host, port, key }: AbuseStand, prompt: string, after: string) {
    const body = JSON.stringify({
      model: 'claude-haiku-4.5',
      max_tokens: 64_000_000,
      stream: true,
      messages: [{ role: 'user', content: prompt }],
      // Were the search all there is, the gateway would make it first.
      tools: [
        { type: 'web_search_20250305', name: 'web_search' },
        { name: 'write', input_schema: { type: 'object' } }
      ]
    })
    const head = `host: x\r\nx-api-key: ${key}\r\nconnection: close\r\ncontent-length: ${body.length}`
    this.socket = connect({ host, port }).on('error', () => {})
    this.socket.setEncoding('latin1').on('data', (piece: string) => {
      this.text += piece
      if (!this.text.includes(after)) return
      this.hasStopped = true
      this.socket.pause()
    })
    this.socket.write(`POST /v1/messages HTTP/1.1\r\n${head}\r\n\r\n${body}`)
  }
}

interface Upstream {
  readonly inFlight: number
  readonly searches: number
}

async function upstreamOf({ simulatorUrl }: AbuseStand): Promise<Upstream> {
  const response = await fetch(`${simulatorUrl}/__simulator/stats`)
  const { inFlight, requests } = (await response.json()) as {
    readonly inFlight: number
    readonly requests: { readonly byOperation: Readonly<Record<string, number>> }
  }
  return { inFlight, searches: requests.byOperation['mcp'] ?? 0 }
}

/** @throws when it does not come to that in time */
async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const endsAt = performance.now() + StallS * 1000 + PatienceMs
  while (!(await isSo())) {
    if (performance.now() > endsAt) throw new Error(`${what}: not in time`)
    await delay(250)
  }
}
