import { request as sendRequest, type IncomingMessage } from 'node:http'
import { CLIENT_KEY } from './gateway.ts'
import { textOfKey } from './keys.ts'
import { WorldSocket } from './network.ts'
import { ClientSocket, type Seen } from './socket-client.ts'
import { type Call, nextInput, requestsOf, textOfCall, type Turn, wishFor } from './talk.ts'
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
  /** All text of the whole answer, with its calls behind it (`textOfCall()`). */
  readonly text: string
  /** Of an agent: what was said before, and the files that the answer calls its tool for. */
  readonly talk: { readonly before: readonly Turn[]; readonly paths: readonly string[] } | null
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
  /** Ms that the client does not read for, after the first bytes of an answer that is no refusal. */
  readonly restsMs: number
}

/** What a client can say of its request when it is over. */
export interface Outcome {
  /** `null` without an answer. */
  readonly status: number | null
  readonly text: string
  readonly calls: readonly Call[]
  /** How the answer ended: with its end marker, with an error of its dialect, cut off in the middle, or because the client left. */
  readonly end: 'whole' | 'cut short' | 'error' | 'broken' | 'left'
  readonly body: string
  /** How an answer over HTTP has come, piece by piece; `null` for any other. */
  readonly flow: Flow | null
}

/** Virtual ms. */
export interface Flow {
  /** From its first piece to its last. */
  readonly lastedMs: number
  readonly longestSilenceMs: number
}

type Judged = Omit<Outcome, 'flow'>

const OK = 200
const PATHS: Readonly<Record<DialectName, string>> = {
  chat: '/v1/chat/completions',
  messages: '/v1/messages',
  responses: '/v1/responses'
}

/** Asks, on a WebSocket that is kept if there is one, reads, and tells how it ended. Never rejects. */
export async function askGateway(
  world: World,
  ask: Ask,
  kept: ClientSocket | null = null
): Promise<Outcome> {
  const seen: Seen = { status: null, body: '' }
  const arrivals = new Arrivals()
  const leaves = new AbortController()
  if (ask.leavesAfterMs !== null) setTimeout(() => leaves.abort(), ask.leavesAfterMs).unref()
  const isComplete = ask.isOnSocket
    ? await askBySocket(ask, seen, leaves.signal, kept)
    : await askByHttp(ask, seen, leaves.signal, (chunk) => {
        arrivals.note(world.now)
        seen.body += chunk
      })
  const judged: Judged = leaves.signal.aborted
    ? { status: seen.status, text: '', calls: [], end: 'left', body: seen.body }
    : judge(ask, seen, isComplete)
  const outcome = { ...judged, flow: arrivals.flow }
  world.note(
    `ask-${ask.id} ends ${outcome.end} with ${outcome.status}, ${outcome.text.length} characters`
  )
  return outcome
}

/** As clients do: on another WebSocket if the gateway leaves, and over HTTP if there may be none. True if the answer is complete. */
async function askBySocket(
  ask: Ask,
  seen: Seen,
  leaves: AbortSignal,
  kept: ClientSocket | null
): Promise<boolean> {
  const { id, port, restsMs } = ask
  const { stream: _, ...request } = bodyOf(ask) as Readonly<Record<string, unknown>>
  const last = kept === null ? undefined : ask.talk?.before.at(-1)
  const next = last === undefined ? null : { ...request, input: nextInput(last, promptOf(ask)) }
  const socket = kept ?? new ClientSocket()
  const cancels = kept !== null && id % 2 === 0
  for (;;) {
    const key = keyOf(ask)
    const end = await socket.ask({ id, port, key, request, next, restsMs, leaves, cancels }, seen)
    if (kept === null) socket.close()
    if (leaves.aborted) return false
    if (end === 'again') continue
    if (end !== 'over HTTP') return end === 'complete'
    seen.body = ''
    return askByHttp(ask, seen, leaves)
  }
}

/** True if the answer is complete. */
function askByHttp(
  ask: Ask,
  seen: Seen,
  leaves: AbortSignal,
  keep = (chunk: string): void => void (seen.body += chunk)
): Promise<boolean> {
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
    read(response, ask, keep).then(
      () => end(true),
      () => end(false)
    )
  })
  request.end(JSON.stringify(bodyOf(ask)))
  leaves.addEventListener('abort', () => request.destroy(), { once: true })
  return promise
}

/** When the pieces of one answer have come. */
class Arrivals {
  #firstAt: number | null = null
  #lastAt = 0
  #longestSilenceMs = 0

  note(now: number): void {
    if (this.#firstAt !== null)
      this.#longestSilenceMs = Math.max(this.#longestSilenceMs, now - this.#lastAt)
    this.#firstAt ??= now
    this.#lastAt = now
  }

  get flow(): Flow | null {
    if (this.#firstAt === null) return null
    return { lastedMs: this.#lastAt - this.#firstAt, longestSilenceMs: this.#longestSilenceMs }
  }
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
  // A refusal is short: a system has all of it, read or not. When it was told is what rules are about.
  let hasRested = restsMs === 0 || response.statusCode !== OK
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

/** What the agent asks: the text that it wants, and the calls. */
export function promptOf({ id, text, talk, words, isAtOnce }: Ask): string {
  const said = talk === null ? text : saidOf(text)
  const pace = isAtOnce ? ' sim:gap=0' : ''
  return `ask-${id} sim:say=${JSON.stringify(said)} ${words}${pace}${wishFor(talk?.paths ?? [])}`
}

/** Text without the calls behind it. */
export function saidOf(text: string): string {
  const [said = ''] = text.split('\n', 1)
  return said
}

function bodyOf(ask: Ask): object {
  const { dialect, isStreamed, history, talk } = ask
  const said = HISTORY.repeat(Math.ceil(history / HISTORY.length))
  const before = [
    { role: 'user', content: said },
    { role: 'assistant', content: 'Yes.' }
  ].slice(0, history)
  const prompt = promptOf(ask)
  const stream = isStreamed
  const model = 'claude-sonnet-4.5'
  if (talk !== null) {
    const more = { chat: {}, messages: { max_tokens: 4096 }, responses: { store: false } }
    return { model, stream, ...more[dialect], ...requestsOf[dialect](talk.before, prompt) }
  }
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
): Judged {
  if (status === null || !isComplete) return { status, text: '', calls: [], end: 'broken', body }
  if (status !== OK) return { status, text: '', calls: [], end: 'error', body }
  return ask.isStreamed ? judgeStream(ask, body) : judgeWhole(ask, body)
}

interface Told {
  text: string
  readonly calls: { id: string; name: string; input: string }[]
  isWhole: boolean
  isCut: boolean
  isError: boolean
}

function judgeStream({ dialect }: Ask, body: string): Judged {
  const told: Told = { text: '', calls: [], isWhole: false, isCut: false, isError: false }
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
  const { calls, isWhole, isCut, isError } = told
  const text = told.text + calls.map(textOfCall).join('')
  const end = isError ? 'error' : !isWhole ? 'broken' : isCut ? 'cut short' : 'whole'
  if (isError && isWhole && dialect !== 'chat')
    return { status: 200, text, calls, end: 'whole', body }
  return { status: 200, text, calls, end, body }
}

/** Adds what a piece of a call says to the last one. */
function addInput({ calls }: Told, piece: unknown): void {
  const last = calls.at(-1)
  if (last !== undefined) last.input += textOf(piece)
}

type Json = Readonly<Record<string, unknown>>

const Tellers: Readonly<Record<DialectName, (event: Json, told: Told) => void>> = {
  chat: (event, told) => {
    if ('error' in event) told.isError = true
    const [choice] = (event['choices'] ?? []) as readonly Json[]
    const { content } = (choice?.['delta'] ?? {}) as Json
    if (typeof content === 'string') told.text += content
    const pieces = ((choice?.['delta'] as Json | undefined)?.['tool_calls'] ??
      []) as readonly Json[]
    for (const piece of pieces) {
      const { name, arguments: input } = piece['function'] as Json
      if (typeof piece['id'] === 'string')
        told.calls.push({ id: piece['id'], name: textOf(name), input: '' })
      addInput(told, input)
    }
    if (choice?.['finish_reason'] === 'length') told.isCut = true
  },
  messages: (event, told) => {
    const {
      type,
      delta,
      content_block: block
    } = event as {
      readonly type: string
      readonly delta?: Json
      readonly content_block?: Json
    }
    if (type === 'error') told.isError = true
    if (type === 'message_stop') told.isWhole = true
    if (delta?.['stop_reason'] === 'max_tokens') told.isCut = true
    if (typeof delta?.['text'] === 'string') told.text += delta['text']
    if (block?.['type'] === 'tool_use')
      told.calls.push({ id: textOf(block['id']), name: textOf(block['name']), input: '' })
    addInput(told, delta?.['partial_json'])
  },
  responses: (event, told) => {
    const { type, delta, item } = event as {
      readonly type: string
      readonly delta?: string
      readonly item?: Json
    }
    if (type === 'error' || type === 'response.failed') told.isError = true
    if (type === 'response.completed') told.isWhole = true
    if (type === 'response.incomplete') told.isWhole = told.isCut = true
    if (type === 'response.output_text.delta' && delta !== undefined) told.text += delta
    if (type === 'response.output_item.added' && item?.['type'] === 'function_call')
      told.calls.push({ id: textOf(item['call_id']), name: textOf(item['name']), input: '' })
    if (type === 'response.function_call_arguments.delta') addInput(told, delta)
  }
}

function judgeWhole({ dialect }: Ask, body: string): Judged {
  const answer = JSON.parse(body) as Json
  const { text, calls, isCut } = Readers[dialect](answer)
  const end = isCut ? 'cut short' : 'whole'
  return { status: 200, text: text + calls.map(textOfCall).join(''), calls, end, body }
}

interface Read {
  readonly text: string
  readonly calls: readonly Call[]
  readonly isCut: boolean
}

const Readers: Readonly<Record<DialectName, (answer: Json) => Read>> = {
  chat: (answer) => {
    const [choice] = answer['choices'] as readonly Json[]
    const { content, tool_calls: made } = (choice?.['message'] ?? {}) as Json
    const calls = ((made ?? []) as readonly Json[]).map(({ id, function: called }) => {
      const { name, arguments: input } = called as Json
      return { id: textOf(id), name: textOf(name), input: textOf(input) }
    })
    return { text: textOf(content), calls, isCut: choice?.['finish_reason'] === 'length' }
  },
  messages: (answer) => {
    const blocks = answer['content'] as readonly Json[]
    const text = blocks.map((block) => textOf(block['text'])).join('')
    const calls = blocks
      .filter(({ type }) => type === 'tool_use')
      .map(({ id, name, input }) => ({
        id: textOf(id),
        name: textOf(name),
        input: JSON.stringify(input)
      }))
    return { text, calls, isCut: answer['stop_reason'] === 'max_tokens' }
  },
  responses: (answer) => {
    const items = answer['output'] as readonly (Json & { readonly content?: readonly Json[] })[]
    const parts = items.flatMap(({ content }) => content ?? [])
    const text = parts.map((part) => textOf(part['text'])).join('')
    const calls = items
      .filter(({ type }) => type === 'function_call')
      .map((item) => ({
        id: textOf(item['call_id']),
        name: textOf(item['name']),
        input: textOf(item['arguments'])
      }))
    return { text, calls, isCut: answer['status'] === 'incomplete' }
  }
}

function textOf(member: unknown): string {
  return typeof member === 'string' ? member : ''
}
