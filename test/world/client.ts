import { request as sendRequest, type IncomingMessage } from 'node:http'
import { CLIENT_KEY } from './gateway.ts'
import { textOfKey } from './keys.ts'
import { WorldSocket } from './network.ts'
import { askOnSocket, type Seen } from './socket-client.ts'
import type { World } from './world.ts'

export type DialectName = 'chat' | 'messages' | 'responses'

/** One request, and what shall become of it. */
export interface Ask {
  readonly id: number
  /** Of the gateway that is asked. */
  readonly port: number
  readonly dialect: DialectName
  readonly isStreamed: boolean
  /** Asked on a WebSocket, which Responses alone have; as an event stream otherwise. */
  readonly isOnSocket: boolean
  /** All text of the whole answer. */
  readonly text: string
  /** Control words for the simulator. */
  readonly words: string
  /** Whether the upstream says all of it at once, also its failure. */
  readonly isAtOnce: boolean
  /** Number of its named key; `null` for the operator's. */
  readonly key: number | null
  /** Characters of conversation before the question. */
  readonly history: number
  /** Ms after which the client leaves; `null` if it stays. */
  readonly leavesAfterMs: number | null
  /** Ms that the client does not read for, after its first bytes. */
  readonly restsMs: number
}

/** What a client can say of its request when it is over. */
export interface Outcome {
  /** `null` without an answer. */
  readonly status: number | null
  readonly text: string
  /** How the answer ended: with its end marker, with an error of its dialect, cut off in the middle, or because the client left. */
  readonly end: 'whole' | 'cut short' | 'error' | 'broken' | 'left'
  readonly body: string
}

const PATHS: Readonly<Record<DialectName, string>> = {
  chat: '/v1/chat/completions',
  messages: '/v1/messages',
  responses: '/v1/responses'
}

/** Asks, reads, and tells how it ended. Never rejects. */
export async function askGateway(world: World, ask: Ask): Promise<Outcome> {
  const seen: Seen = { status: null, body: '' }
  const leaves = new AbortController()
  if (ask.leavesAfterMs !== null) setTimeout(() => leaves.abort(), ask.leavesAfterMs).unref()
  const isComplete = await (ask.isOnSocket ? askBySocket : askByHttp)(ask, seen, leaves.signal)
  const outcome: Outcome = leaves.signal.aborted
    ? { status: seen.status, text: '', end: 'left', body: seen.body }
    : judge(ask, seen, isComplete)
  world.note(
    `ask-${ask.id} ends ${outcome.end} with ${outcome.status}, ${outcome.text.length} characters`
  )
  return outcome
}

/** As clients do: on another WebSocket if the gateway leaves, and over HTTP if there may be none. True if the answer is complete. */
async function askBySocket(ask: Ask, seen: Seen, leaves: AbortSignal): Promise<boolean> {
  const { id, port, restsMs } = ask
  const { stream: _, ...request } = bodyOf(ask) as Readonly<Record<string, unknown>>
  for (;;) {
    const end = await askOnSocket({ id, port, key: keyOf(ask), request, restsMs, leaves }, seen)
    if (leaves.aborted) return false
    if (end === 'again') continue
    if (end !== 'over HTTP') return end === 'complete'
    seen.body = ''
    return askByHttp(ask, seen, leaves)
  }
}

/** True if the answer is complete. */
function askByHttp(ask: Ask, seen: Seen, leaves: AbortSignal): Promise<boolean> {
  const { promise, resolve: end } = Promise.withResolvers<boolean>()
  const request = sendRequest({
    host: '127.0.0.1',
    port: ask.port,
    method: 'POST',
    path: PATHS[ask.dialect],
    agent: false,
    headers: {
      authorization: `Bearer ${keyOf(ask)}`,
      'content-type': 'application/json'
    }
  })
  request.once('socket', (socket) => {
    if (socket instanceof WorldSocket) socket.carries = ask.id
  })
  const onClose = (): void => end(false)
  request.once('error', onClose).once('close', onClose)
  request.once('response', (response) => {
    seen.status = response.statusCode ?? null
    request.off('close', onClose) // it may close before all is read
    read(response, ask, (chunk) => (seen.body += chunk)).then(
      () => end(true),
      () => end(false)
    )
  })
  request.end(JSON.stringify(bodyOf(ask)))
  leaves.addEventListener('abort', () => request.destroy(), { once: true })
  return promise
}

function keyOf({ key }: Ask): string {
  return key === null ? CLIENT_KEY : textOfKey(key)
}

async function read(
  response: IncomingMessage,
  { restsMs }: Ask,
  keep: (chunk: string) => void
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let hasRested = restsMs === 0
  response.setEncoding('utf8').on('data', (chunk: string) => {
    keep(chunk)
    if (hasRested) return
    hasRested = true
    response.pause()
    setTimeout(() => response.resume(), restsMs)
  })
  response
    .once('end', resolve)
    .once('error', reject)
    .once('aborted', () => reject(new Error('aborted')))
  await promise
}

/** Neither question nor answer is in it, nor any control word. */
const HISTORY = 'What was said before, and is of no matter now. '

function bodyOf({ id, dialect, isStreamed, text, words, isAtOnce, history }: Ask): object {
  const said = HISTORY.repeat(Math.ceil(history / HISTORY.length))
  const before = [
    { role: 'user', content: said },
    { role: 'assistant', content: 'Yes.' }
  ].slice(0, history)
  const pace = isAtOnce ? ' sim:gap=0' : ''
  const prompt = `ask-${id} sim:say=${JSON.stringify(text)} ${words}${pace}`
  const stream = isStreamed
  const model = 'claude-sonnet-4.5'
  switch (dialect) {
    case 'chat':
      return { model, stream, messages: [...before, { role: 'user', content: prompt }] }
    case 'messages':
      return {
        model,
        stream,
        max_tokens: 4096,
        messages: [...before, { role: 'user', content: prompt }]
      }
    case 'responses':
      return { model, stream, input: [...before, { role: 'user', content: prompt }], store: false }
  }
}

function judge(
  ask: Ask,
  { status, body }: { readonly status: number | null; readonly body: string },
  isComplete: boolean
): Outcome {
  if (status === null || !isComplete) return { status, text: '', end: 'broken', body }
  if (status !== 200) return { status, text: '', end: 'error', body }
  return ask.isStreamed ? judgeStream(ask, body) : judgeWhole(ask, body)
}

interface Told {
  text: string
  isWhole: boolean
  isCut: boolean
  isError: boolean
}

function judgeStream({ dialect }: Ask, body: string): Outcome {
  const told: Told = { text: '', isWhole: false, isCut: false, isError: false }
  for (const block of body.split('\n\n')) {
    const line = block.split('\n').find((one) => one.startsWith('data: '))
    if (line === undefined) continue
    const json = line.slice('data: '.length)
    const isOver = told.isWhole || told.isError
    const { text: before } = told
    if (json === '[DONE]') told.isWhole = true
    else Tellers[dialect](JSON.parse(json) as Json, told)
    if (isOver) told.text = before // no client reads on behind an end or an error
  }
  const { text, isWhole, isCut, isError } = told
  const end = isError ? 'error' : !isWhole ? 'broken' : isCut ? 'cut short' : 'whole'
  if (isError && isWhole && dialect !== 'chat') return { status: 200, text, end: 'whole', body }
  return { status: 200, text, end, body }
}

type Json = Readonly<Record<string, unknown>>

const Tellers: Readonly<Record<DialectName, (event: Json, told: Told) => void>> = {
  chat: (event, told) => {
    if ('error' in event) told.isError = true
    const [choice] = (event['choices'] ?? []) as readonly Json[]
    const { content } = (choice?.['delta'] ?? {}) as Json
    if (typeof content === 'string') told.text += content
    if (choice?.['finish_reason'] === 'length') told.isCut = true
  },
  messages: (event, told) => {
    const { type, delta } = event as { readonly type: string; readonly delta?: Json }
    if (type === 'error') told.isError = true
    if (type === 'message_stop') told.isWhole = true
    if (delta?.['stop_reason'] === 'max_tokens') told.isCut = true
    if (typeof delta?.['text'] === 'string') told.text += delta['text']
  },
  responses: (event, told) => {
    const { type, delta } = event as { readonly type: string; readonly delta?: string }
    if (type === 'error' || type === 'response.failed') told.isError = true
    if (type === 'response.completed') told.isWhole = true
    if (type === 'response.incomplete') told.isWhole = told.isCut = true
    if (type === 'response.output_text.delta' && delta !== undefined) told.text += delta
  }
}

function judgeWhole({ dialect }: Ask, body: string): Outcome {
  const answer = JSON.parse(body) as Json
  const { text, isCut } = Readers[dialect](answer)
  return { status: 200, text, end: isCut ? 'cut short' : 'whole', body }
}

const Readers: Readonly<Record<DialectName, (answer: Json) => { text: string; isCut: boolean }>> = {
  chat: (answer) => {
    const [choice] = answer['choices'] as readonly Json[]
    const { content } = (choice?.['message'] ?? {}) as Json
    return { text: textOf(content), isCut: choice?.['finish_reason'] === 'length' }
  },
  messages: (answer) => {
    const blocks = answer['content'] as readonly Json[]
    const text = blocks.map((block) => textOf(block['text'])).join('')
    return { text, isCut: answer['stop_reason'] === 'max_tokens' }
  },
  responses: (answer) => {
    const items = answer['output'] as readonly { readonly content?: readonly Json[] }[]
    const parts = items.flatMap(({ content }) => content ?? [])
    const text = parts.map((part) => textOf(part['text'])).join('')
    return { text, isCut: answer['status'] === 'incomplete' }
  }
}

function textOf(member: unknown): string {
  return typeof member === 'string' ? member : ''
}
