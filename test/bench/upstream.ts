import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { FrameEncoder } from '../../src/frames/frame-encoder.ts'
import { serve } from '../helper/subprocess.ts'

/**
 * The upstream of the bench, a process of its own: real HTTP and real frames, all of them encoded before a request
 * comes, so that it takes as little as possible of the machine that it shares with what is measured.
 */

/** What every request is answered from now on. */
export interface AnswerScript {
  /** Text events, before those that close an answer. */
  readonly events: number
  /** Milliseconds between two of them; 0 sends all in one write. */
  readonly gapMs: number
  /** Without a gap: each event is an HTTP chunk of its own, as the real upstream sends them. */
  readonly isChunked?: boolean
  /** Milliseconds from the request to the first event. */
  readonly firstMs: number
}

export type UpstreamQuestion =
  | { readonly type: 'listen'; readonly port?: number }
  | { readonly type: 'play'; readonly script: AnswerScript }
  | { readonly type: 'count' }

/** Connections accepted and requests answered since the start. */
export interface UpstreamFacts {
  readonly port: number
  /** Bytes of one answer. */
  readonly answerBytes: number
  readonly connections: number
  readonly requests: number
}

const Words = ['The ', 'quick brown ', 'fox\n', '"jumps" ', 'over — ', 'the lazy dog. ']
const Models = JSON.stringify({
  models: [{ modelId: 'claude-haiku-4.5', tokenLimits: { maxInputTokens: 200_000 } }]
})

const server = createServer({ keepAliveTimeout: 300_000 }, answer)
let frames: readonly Buffer[] = []
let whole = Buffer.alloc(0)
let script: AnswerScript = { events: 100, gapMs: 0, firstMs: 0 }
let connections = 0
let requests = 0

server.on('connection', () => {
  connections += 1
})
play(script)
serve(async (question: UpstreamQuestion): Promise<UpstreamFacts> => {
  if (question.type === 'listen') {
    await new Promise<void>(
      (resolve) => void server.listen(question.port ?? 0, '127.0.0.1', 1024, resolve)
    )
  }
  if (question.type === 'play') play(question.script)
  const { port } = server.address() as AddressInfo
  return { port, answerBytes: whole.length, connections, requests }
})

function play(next: AnswerScript): void {
  script = next
  const texts = Array.from({ length: next.events }, (_, index) => ({
    content: Words[index % Words.length]
  }))
  frames = [
    ...encode('assistantResponseEvent', texts),
    Buffer.concat([
      ...encode('metadataEvent', [{ stopReason: 'END_TURN' }]),
      ...encode('contextUsageEvent', [{ contextUsagePercentage: 1.5 }]),
      ...encode('meteringEvent', [{ unit: 'credit', unitPlural: 'credits', usage: 0.1 }])
    ])
  ]
  whole = Buffer.concat(frames)
}

function encode(eventType: string, payloads: readonly object[]): Buffer[] {
  const encoder = new FrameEncoder({
    ':message-type': 'event',
    ':event-type': eventType,
    ':content-type': 'application/json'
  })
  return payloads.map((payload) => encoder.encode(JSON.stringify(payload)))
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  request.resume().once('end', () => {
    if (request.headers['x-amz-target'] !== undefined) {
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' }).end(Models)
      return
    }
    requests += 1
    if (script.firstMs === 0) answerNow(response)
    else setTimeout(() => answerNow(response), script.firstMs)
  })
}

function answerNow(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' })
  if (script.gapMs === 0 && script.isChunked !== true) {
    response.end(whole)
    return
  }
  const mine = frames
  if (script.gapMs === 0) {
    for (const frame of mine) response.write(frame)
    response.end()
    return
  }
  let next = 0
  const write = (): void => {
    const frame = mine[next++]
    if (next < mine.length) {
      response.write(frame)
      return
    }
    clearInterval(timer)
    response.end(frame)
  }
  const timer = setInterval(write, script.gapMs)
  response.once('close', () => clearInterval(timer))
  write()
}
