import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { writeResponsesConversation } from '../conversation.ts'
import type { Line, Row } from '../row.ts'
import { progress, type Stand } from '../stand.ts'
import type { Target } from '../target.ts'
import { median } from '../statistics.ts'

const SizesKb = [40, 100, 400, 1000]
/** Size at which the design has a figure. */
const GoalKb = 400
const GoalPercent = 40
const Sessions = 4
const Turns = 40
const Shown = [20, 40]
/** Characters of an answer that is not whole. */
const MaxTold = 500
const News = [{ role: 'user', content: 'The next file. '.repeat(64) }]

type Item = object

/** One client's way to take a turn. */
interface Client {
  /** Resolves with milliseconds to the first words, when the answer is whole. */
  ask(news: readonly Item[]): Promise<number>
  readonly sentBytes: number
  close(): void
}

/** CPU of the gateway for a turn of a conversation that grows, over a WebSocket beside the same over HTTP. */
export const socketRow: Row = {
  name: 'socket',
  run: async (stand) => {
    await stand.play({ events: 10, gapMs: 0, firstMs: 0 })
    const gateway = await stand.gateway({ env: { WEBSOCKET_KEPT_BYTES: '32000000' } })
    const lines: Line[] = []
    for (const sizeKb of SizesKb) lines.push(...(await measure(stand, gateway, sizeKb)))
    await stand.end(gateway)
    return lines
  }
}

const Ways = { socket: openSocket, http: openHttp } as const
type Way = keyof typeof Ways

interface Round {
  readonly cpuMs: number
  readonly sentKb: number
  /** Milliseconds to the first words, by turn. */
  readonly firstMs: ReadonlyMap<number, number>
}

async function measure(stand: Stand, gateway: Target, sizeKb: number): Promise<readonly Line[]> {
  const rounds = stand.isQuick ? 2 : 5
  const spent: Readonly<Record<Way, Round[]>> = { socket: [], http: [] }
  for (let round = -1; round < rounds; round++) {
    for (const way of ['socket', 'http'] as const) {
      const one = await runSessions(gateway, way, sizeKb)
      if (round >= 0) spent[way].push(one)
    }
    const [socket, http] = [spent.socket.at(-1), spent.http.at(-1)]
    progress(`socket: ${sizeKb} KB ${socket?.cpuMs.toFixed(2)} / ${http?.cpuMs.toFixed(2)} ms`)
  }
  const samples = `${rounds} × ${Sessions} sessions of ${Turns} turns`
  const line = (what: string, unit: Line['unit'], gateway: readonly number[]): Line => {
    return { what: `${sizeKb} KB, ${what}`, unit, gateway, passthrough: [], must: null, samples }
  }
  const cpuOf = (way: Way): readonly number[] => spent[way].map(({ cpuMs }) => cpuMs)
  const http = median(cpuOf('http'))
  const ratio = line(
    'CPU per turn over WebSocket, of that over HTTP',
    '%',
    cpuOf('socket').map((ms) => (ms / http) * 100)
  )
  return [
    { ...ratio, must: sizeKb === GoalKb ? { most: GoalPercent } : null },
    line('  CPU over WebSocket', 'ms', cpuOf('socket')),
    line('  CPU over HTTP', 'ms', cpuOf('http')),
    ...(['socket', 'http'] as const).flatMap((way) => {
      const by = way === 'socket' ? 'WebSocket' : 'HTTP'
      return [
        line(
          `  bytes from the client per turn over ${by}`,
          'KB',
          spent[way].map(({ sentKb }) => sentKb)
        ),
        ...Shown.map((turn) =>
          line(
            `  first words at turn ${turn} over ${by}`,
            'ms',
            spent[way].map(({ firstMs }) => firstMs.get(turn) ?? 0)
          )
        )
      ]
    })
  ]
}

export async function runSessions({ url, tree }: Target, way: Way, sizeKb: number): Promise<Round> {
  const begin = writeResponsesConversation(sizeKb * 1024)
  const clients = await Promise.all(
    Array.from({ length: Sessions }, (_, index) => Ways[way](url, { ...begin, key: index }))
  )
  // The first message has the whole conversation either way.
  for (const client of clients) await client.ask(begin.items)
  const sentBefore = clients.reduce((sum, { sentBytes }) => sum + sentBytes, 0)
  const before = tree.cpuMs()
  const firsts = await Promise.all(
    clients.map(async (client) => {
      const all: number[] = []
      for (let turn = 0; turn < Turns; turn++) all.push(await client.ask(News))
      return all
    })
  )
  await delay(50) // what is left to do after the last byte belongs to it, too
  const asked = Sessions * Turns
  const cpuMs = (tree.cpuMs() - before) / asked
  const sent = clients.reduce((sum, { sentBytes }) => sum + sentBytes, 0) - sentBefore
  for (const client of clients) client.close()
  const firstOf = (turn: number): number => median(firsts.map((all) => all[turn - 1] ?? 0))
  return {
    cpuMs,
    sentKb: sent / asked / 1024,
    firstMs: new Map(Shown.map((turn) => [turn, firstOf(turn)]))
  }
}

interface Begin {
  readonly settings: object
  readonly key: number
}

async function openSocket(url: string, { settings, key }: Begin): Promise<Client> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/responses`)
  await once(socket, 'open')
  let previous: string | null = null
  let sentBytes = 0
  return {
    ask: async (news) => {
      const answered = Promise.withResolvers<number>()
      const askedAt = performance.now()
      let firstMs = 0
      const onMessage = (data: Buffer): void => {
        const event: { type: string; response?: { id: string } } = JSON.parse(data.toString())
        if (event.type === 'response.output_text.delta') firstMs ||= performance.now() - askedAt
        if (event.type === 'error') answered.reject(new Error(data.toString()))
        if (event.type !== 'response.completed') return
        previous = event.response?.id ?? null
        socket.off('message', onMessage)
        answered.resolve(firstMs)
      }
      socket.on('message', onMessage)
      const text = JSON.stringify({
        type: 'response.create',
        ...settings,
        prompt_cache_key: `session ${key}`,
        ...(previous !== null && { previous_response_id: previous }),
        input: news
      })
      sentBytes += Buffer.byteLength(text)
      socket.send(text)
      return answered.promise
    },
    get sentBytes() {
      return sentBytes
    },
    close: () => socket.close()
  }
}

async function openHttp(url: string, { settings, key }: Begin): Promise<Client> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const items: Item[] = []
  let sentBytes = 0
  return {
    ask: async (news) => {
      items.push(...news)
      const body = JSON.stringify({
        ...settings,
        stream: true,
        prompt_cache_key: `session ${key}`,
        input: items
      })
      sentBytes += Buffer.byteLength(body)
      const askedAt = performance.now()
      const sent = request(`${url}/v1/responses`, { method: 'POST', agent })
      sent.setHeader('content-type', 'application/json').end(body)
      const [response] = await once(sent, 'response')
      let firstMs = 0
      let text = ''
      for await (const chunk of response) {
        text += String(chunk)
        if (text.includes('response.output_text.delta')) firstMs ||= performance.now() - askedAt
      }
      const [, json] = /data: (\{"type":"response.completed".*)\n/.exec(text) ?? []
      if (json === undefined) throw new Error(`${response.statusCode}: ${text.slice(-MaxTold)}`)
      const { response: answer }: { response: { output: Item[] } } = JSON.parse(json)
      items.push(...answer.output)
      return firstMs
    },
    get sentBytes() {
      return sentBytes
    },
    close: () => agent.destroy()
  }
}
