import { readFileSync } from 'node:fs'
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse
} from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { type ConnectionFigures, ConnectionWatch } from './connection-watch.ts'
import { CALM, type Event, LONG, nextEvent, nextScript, type Script } from './faults.ts'
import { Listener } from './listener.ts'
import { LONG_MARK } from './one-sided.ts'
import { playScript } from './play-script.ts'
import { Random } from './random.ts'
import type { Ceilings } from './socket-census.ts'
import { serve } from '../helper/subprocess.ts'
import { strangersIn } from '../helper/own-words.ts'

/**
 * The upstream of the chaos test, a process of its own: real HTTP and real frames, every way to fail, and a count of
 * its connections. Its arguments: the seed, and the files of key and certificate if it is to speak TLS.
 */

export type UpstreamQuestion =
  | { readonly type: 'listen' }
  | { readonly type: 'ceilings'; readonly ceilings: Ceilings }
  /** No faults from now on; answered when those under way are over. */
  | { readonly type: 'calm' }
  /** What was seen, and a new beginning for `recentlyUsed`. */
  | { readonly type: 'figures' }
  /** The same, and nothing changes. */
  | { readonly type: 'peek' }

export interface UpstreamFacts extends ConnectionFigures {
  readonly port: number
  readonly requests: number
  readonly controlCalls: number
  /** TLS handshakes, and those of them that resumed a session. */
  readonly handshakes: number
  readonly resumed: number
  /** Requests with words of others than their client; the first of them. */
  readonly mixed: readonly string[]
  /** What was done, by name. */
  readonly faults: Readonly<Record<string, number>>
}

const Models = JSON.stringify({
  models: [{ modelId: 'claude-haiku-4.5', tokenLimits: { maxInputTokens: 200_000 } }]
})
/** Renewed after a quarter of its life: the control lane has something to do. */
const Token = JSON.stringify({
  accessToken: 'chaos-access-token',
  refreshToken: 'chaos-refresh-token',
  expiresIn: 70
})

const [seed, keyFile, certFile] = process.argv.slice(2)
const random = new Random(Number(seed))
const watch = new ConnectionWatch()
const faults: Record<string, number> = {}
const MAX_MIXED = 20
const mixed: string[] = []
const http = createHttpServer(
  { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 },
  onRequest
)
const listener = new Listener({
  certificate:
    keyFile === undefined || certFile === undefined
      ? null
      : { key: readFileSync(keyFile, 'utf8'), cert: readFileSync(certFile, 'utf8') },
  onAccept: (transport) => watch.accept(transport),
  onCarrier: (carrier, transport) => {
    if (carrier !== transport) watch.carry(transport, carrier)
    http.emit('connection', carrier)
  }
})
/** Events that are not over yet. */
const happening = new Set<Promise<void>>()
let isCalm = false
let requests = 0
let controlCalls = 0

serve(async (question: UpstreamQuestion): Promise<UpstreamFacts> => {
  switch (question.type) {
    case 'listen':
      await listener.listen()
      watch.start(listener.port)
      scheduleEvent()
      break
    case 'ceilings':
      watch.setCeilings(question.ceilings)
      break
    case 'calm':
      isCalm = true
      await Promise.all(happening)
      break
    case 'figures':
      return facts(watch.takeFigures())
    case 'peek':
      break
  }
  return facts(watch.figures())
})

function facts(figures: ConnectionFigures): UpstreamFacts {
  const { port, handshakes, resumed } = listener
  return { ...figures, port, requests, controlCalls, handshakes, resumed, mixed, faults }
}

function onRequest(request: IncomingMessage, response: ServerResponse): void {
  const { socket } = request
  watch.started(socket)
  response.once('close', () => watch.finished(socket))
  if (socket.writableEnded) {
    watch.reset(socket) // we had said goodbye before it came
    return
  }
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.once('error', () => {}) // the peer left in the middle of its body
  request.once('end', () => answer(request, response, Buffer.concat(chunks).toString()))
}

function answer(request: IncomingMessage, response: ServerResponse, body: string): void {
  const id = /chaos-id:([\w-]+)/.exec(body)?.[1]
  if (id === undefined) {
    controlCalls += 1
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(request.url?.includes('refresh') === true ? Token : Models)
    return
  }
  requests += 1
  const strangers = strangersIn(body, id)
  if (strangers.length > 0 && mixed.length < MAX_MIXED) mixed.push(`${id}: ${strangers.join(', ')}`)
  const script = scriptFor(body)
  const name = script.name === 'answer' ? `answer ${script.end}` : script.name
  faults[name] = (faults[name] ?? 0) + 1
  const { socket } = request
  playScript({ request, response, socket, id, reset: (socket) => watch.reset(socket) }, script)
}

function scriptFor(body: string): Script {
  if (!isCalm) return nextScript(random)
  return body.includes(LONG_MARK) ? LONG : CALM
}

function scheduleEvent(): void {
  setTimeout(
    () => {
      if (isCalm) return
      const event = nextEvent(random)
      faults[event.name] = (faults[event.name] ?? 0) + 1
      const over = happen(event)
      happening.add(over)
      void over.then(() => happening.delete(over))
      scheduleEvent()
    },
    random.between(50, 600)
  )
}

async function happen(event: Event): Promise<void> {
  switch (event.name) {
    case 'fin-idle':
      for (const socket of watch.someIdle(event.share)) watch.finIdle(socket)
      break
    case 'reset-idle':
      for (const socket of watch.someIdle(event.share)) watch.reset(socket)
      break
    case 'refuse':
      await listener.refuse(event.ms)
      break
    case 'deaf': {
      const deaf = watch.all()
      for (const socket of deaf) socket.pause()
      await delay(event.ms)
      for (const socket of deaf) socket.resume()
      break
    }
    case 'slow-accept':
      await listener.acceptSlowly(event.ms, event.delayMs)
      break
  }
}
