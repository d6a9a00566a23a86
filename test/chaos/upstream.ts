/**
 * The upstream of the chaos test, a process of its own: real HTTP and real frames, every way to fail, and a count of
 * its connections.
 */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse
} from 'node:http'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { type ConnectionFigures, ConnectionWatch } from './connection-watch.ts'
import { CALM, type Event, nextEvent, nextScript } from './faults.ts'
import { playScript } from './play-script.ts'
import { Random } from './random.ts'
import type { Ceilings } from './socket-census.ts'
import { serve } from './subprocess.ts'

export type UpstreamQuestion =
  | { readonly type: 'listen' }
  | { readonly type: 'ceilings'; readonly ceilings: Ceilings }
  /** No faults from now on. */
  | { readonly type: 'calm' }
  /** What was seen, and a new beginning for `recentlyUsed`. */
  | { readonly type: 'figures' }
  /** The same, and nothing changes. */
  | { readonly type: 'peek' }

export interface UpstreamFacts extends ConnectionFigures {
  readonly port: number
  readonly requests: number
  readonly controlCalls: number
  /** What was done, by name. */
  readonly faults: Readonly<Record<string, number>>
}

const Models = JSON.stringify({
  models: [{ modelId: 'claude-sonnet-4.5', tokenLimits: { maxInputTokens: 200_000 } }]
})
/** Renewed after a quarter of its life: the control lane has something to do. */
const Token = JSON.stringify({
  accessToken: 'chaos-access-token',
  refreshToken: 'chaos-refresh-token',
  expiresIn: 70
})

const random = new Random(Number(process.argv[2]))
const watch = new ConnectionWatch()
const faults: Record<string, number> = {}
const http = createHttpServer(
  { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 },
  onRequest
)
const listener = createServer(
  { allowHalfOpen: true, noDelay: true, pauseOnConnect: true },
  onConnection
)
let isCalm = false
let acceptDelayMs = 0
let requests = 0
let controlCalls = 0
let port = 0

serve(async (question: UpstreamQuestion): Promise<UpstreamFacts> => {
  switch (question.type) {
    case 'listen':
      await listen()
      watch.start(port)
      scheduleEvent()
      break
    case 'ceilings':
      watch.setCeilings(question.ceilings)
      break
    case 'calm':
      isCalm = true
      acceptDelayMs = 0
      break
    case 'figures':
      return facts(watch.takeFigures())
    case 'peek':
      break
  }
  return facts(watch.figures())
})

function facts(figures: ConnectionFigures): UpstreamFacts {
  return { ...figures, port, requests, controlCalls, faults }
}

function listen(): Promise<void> {
  return new Promise((resolve) => {
    // Between closing and opening again somebody's outgoing connection may have been given this port.
    const onError = (): void => void setTimeout(() => listener.listen(port, '127.0.0.1', 1024), 20)
    listener.on('error', onError)
    listener.listen({ port, host: '127.0.0.1', backlog: 1024 }, () => {
      listener.off('error', onError)
      port = (listener.address() as AddressInfo).port
      resolve()
    })
  })
}

function onConnection(socket: Socket): void {
  watch.accept(socket)
  const take = (): void => {
    http.emit('connection', socket)
    socket.resume()
  }
  if (acceptDelayMs === 0) take()
  else setTimeout(take, acceptDelayMs)
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
  const script = isCalm ? CALM : nextScript(random)
  const name = script.name === 'answer' ? `answer ${script.end}` : script.name
  faults[name] = (faults[name] ?? 0) + 1
  const { socket } = request
  playScript({ request, response, socket, id, reset: (socket) => watch.reset(socket) }, script)
}

function scheduleEvent(): void {
  setTimeout(
    () => {
      if (!isCalm) happen(nextEvent(random))
      scheduleEvent()
    },
    random.between(50, 600)
  )
}

function happen(event: Event): void {
  faults[event.name] = (faults[event.name] ?? 0) + 1
  switch (event.name) {
    case 'fin-idle':
      for (const socket of watch.someIdle(event.share)) watch.finIdle(socket)
      break
    case 'reset-idle':
      for (const socket of watch.someIdle(event.share)) watch.reset(socket)
      break
    case 'refuse':
      if (!listener.listening) break
      listener.close() // those that are open stay
      setTimeout(() => void listen(), event.ms) // cannot reject
      break
    case 'deaf': {
      const deaf = watch.all()
      for (const socket of deaf) socket.pause()
      setTimeout(() => {
        for (const socket of deaf) socket.resume()
      }, event.ms)
      break
    }
    case 'slow-accept':
      acceptDelayMs = event.delayMs
      setTimeout(() => {
        acceptDelayMs = 0
      }, event.ms)
      break
  }
}
