import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestForm } from '../kiro/wire/hosts.ts'
import { asJsonObject } from '../shared/json.ts'
import type { SimulatedAccount } from './account.ts'
import type { AnswerEncoder } from './answer.ts'
import type { HeldBodies } from './held-bodies.ts'
import {
  callMcp,
  checkToken,
  type Credential,
  getUsageLimits,
  type JsonAnswer,
  listAvailableModels,
  listAvailableProfiles
} from './control-plane.ts'
import type { Equipment } from './equipment.ts'
import { generate, type Script } from './generation.ts'
import { type Performance, play } from './player.ts'
import type { Step } from './script.ts'
import { FAULTS, type Refusal } from './refusal.ts'
import type { PromptMemory } from './words.ts'

export interface SharedParts {
  readonly equipment: Equipment
  readonly encoder: AnswerEncoder
  readonly account: SimulatedAccount
  readonly memory: PromptMemory
  /** Ms between events unless the prompt sets it. */
  readonly gapMs: number
  readonly now: () => number
  readonly bodies: HeldBodies
}

const HAVE_FORMS: ReadonlySet<string | undefined> = new Set(['generateAssistantResponse', 'mcp'])

export class SimulatedUpstream {
  readonly #shared: SharedParts

  constructor(shared: SharedParts) {
    this.#shared = shared
  }

  /** Resolves when the answer has ended or the client left; rejects only for a bug. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://simulator')
    const { equipment } = this.#shared
    if (equipment.serve(request, response, url.pathname)) return
    const target = headerOf(request, 'x-amz-target')
    const operation = findOperation(request.method ?? '', url.pathname, target)
    const form = target?.startsWith(TARGET_SERVICE) === true ? 'target' : 'path'
    const signal = this.#track(request, response, operation ?? 'unknown')
    const isGeneration = operation === 'generateAssistantResponse'
    const refusal = HAVE_FORMS.has(operation) ? equipment.refuse(isGeneration, form) : null
    const bytes = Number(request.headers['content-length'] ?? 0)
    using _ = await this.#shared.bodies.enter(bytes, signal)
    const body = await readWholeBody(request)
    if (body !== null && equipment.onBody(body, request, response)) return
    if (body === null) response.destroy()
    else if (operation === undefined) answerJson(response, 404, { message: 'UnknownOperation' })
    else if (refusal !== null) sendRefusal(response, refusal)
    else if (operation === 'generateAssistantResponse') {
      await this.#serveGeneration(request, response, { body, form, signal })
    } else await sendAnswer(response, this.#answer(operation, { url, body, form, request }), signal)
  }

  #track(request: IncomingMessage, response: ServerResponse, operation: string): AbortSignal {
    const client = new AbortController()
    const end = this.#shared.equipment.begin(request.socket, operation)
    response.on('error', () => {}) // a write to a client that has left; 'close' follows
    response.once('close', () => {
      end()
      client.abort()
    })
    return client.signal
  }

  async #serveGeneration(
    request: IncomingMessage,
    response: ServerResponse,
    received: { readonly body: string; readonly form: RequestForm; readonly signal: AbortSignal }
  ): Promise<void> {
    const credential = credentialOf(request)
    const { account } = this.#shared
    const refusal = this.#refuseToken(credential) ?? account.refusal
    if (refusal !== null) return sendRefusal(response, refusal)
    const { 'content-type': contentType } = request.headers
    if (received.form === 'target' && contentType !== TARGET_CONTENT_TYPE) {
      return sendRefusal(response, FAULTS['wrong-form'])
    }
    const answer = generate(received, credential, this.#shared)
    if ('status' in answer) return sendRefusal(response, answer)
    const steps = this.#shared.equipment.alter(metered(answer.steps, account), answer.words)
    const performance = toPerformance({ ...answer, steps }, this.#shared.gapMs)
    startStream(response, answer.words.flags.has('close-after') ? 'close' : 'keep-alive')
    await play(performance, { response, encoder: this.#shared.encoder, signal: received.signal })
  }

  #refuseToken(credential: Credential): Refusal | null {
    return this.#shared.equipment.isExpired(credential.token)
      ? FAULTS.expired
      : checkToken(credential)
  }

  #answer(
    operation: Exclude<Operation, 'generateAssistantResponse'>,
    asked: {
      readonly url: URL
      readonly body: string
      readonly form: RequestForm
      readonly request: IncomingMessage
    }
  ): JsonAnswer | Refusal | null {
    const { equipment, account, now } = this.#shared
    const { body, url, form } = asked
    if (operation === 'refreshToken' || operation === 'createToken') {
      return equipment.renew(operation, body)
    }
    const credential = credentialOf(asked.request)
    const isQuotaAsked = operation === 'getUsageLimits' && credential.token === 'quota-token'
    const refusal = isQuotaAsked ? null : this.#refuseToken(credential)
    if (refusal !== null) return refusal
    switch (operation) {
      case 'listAvailableModels':
        return listAvailableModels(url.searchParams, body)
      case 'listAvailableProfiles':
        return listAvailableProfiles(credential)
      case 'getUsageLimits':
        return getUsageLimits({ token: credential.token, account }, now())
      case 'mcp':
        return callMcp(
          body,
          form === 'path' ? credential : { ...credential, profileArn: undefined }
        )
    }
  }
}

function* metered(steps: Iterable<Step>, account: SimulatedAccount): Generator<Step> {
  for (const step of steps) {
    yield step
    if (step.type !== 'event' || step.name !== 'meteringEvent') continue
    account.meter(Number(asJsonObject(step.payload)?.['usage'] ?? 0))
  }
}

function toPerformance(
  { steps, words: { flags, numbers } }: Pick<Script, 'words'> & Pick<Performance, 'steps'>,
  gapMs: number
): Performance {
  const opening = flags.has('reset-first') ? 'reset' : flags.has('stall-headers') ? 'stall' : 'head'
  return {
    steps,
    opening,
    headDelayMs: numbers.headers ?? 0,
    gapMs: numbers.gap ?? gapMs,
    chunkBytes: numbers.chunk
  }
}

async function sendAnswer(
  response: ServerResponse,
  answer: JsonAnswer | Refusal | null,
  signal: AbortSignal
): Promise<void> {
  if (answer === null) {
    if (!signal.aborted) await once(signal, 'abort')
  } else if ('json' in answer) answerJson(response, answer.status, answer.json)
  else sendRefusal(response, answer)
}

function credentialOf(request: IncomingMessage): Credential {
  const [, token = ''] = /^Bearer\s+(\S+)$/i.exec(headerOf(request, 'authorization') ?? '') ?? []
  return {
    token,
    tokenType: headerOf(request, 'tokentype'),
    profileArn: headerOf(request, 'x-amzn-kiro-profile-arn')
  }
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name]
  return typeof value === 'string' ? value : undefined
}

/** Protects only this process; the upstream takes far less. */
const MAX_BODY_BYTES = 32 * 1024 * 1024

async function readWholeBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > MAX_BODY_BYTES) return null
      chunks.push(chunk)
    }
  } catch {
    return null // the connection broke: no client is left to answer
  }
  return Buffer.concat(chunks).toString()
}

/** `connection` is set by hand: Node would add `keep-alive: timeout=…`, which the upstream does not send. */
function commonHeaders(): Record<string, string> {
  return { connection: 'keep-alive', 'x-amzn-requestid': randomUUID() }
}

export function answerJson(response: ServerResponse, status: number, json: object): void {
  const body = Buffer.from(JSON.stringify(json))
  response.writeHead(status, {
    ...commonHeaders(),
    'content-type': 'application/json',
    'content-length': body.length
  })
  response.end(body)
}

/** Error body (kiro-protocol §8.1), and `x-simulator-rule` with what the upstream would not tell. */
function sendRefusal(response: ServerResponse, refusal: Refusal): void {
  const { status, errorType, message, reason, retryAfterS, html, rule, violation } = refusal
  const { retryAfterMilliseconds } = refusal
  if (rule !== undefined) {
    response.setHeader('x-simulator-rule', toHeaderText(`${rule}: ${violation ?? ''}`))
  }
  if (retryAfterS !== undefined) response.setHeader('retry-after', retryAfterS)
  if (html !== undefined) {
    response.writeHead(status, { ...commonHeaders(), 'content-type': 'text/html' })
    response.end(html)
    return
  }
  response.setHeader('x-amzn-errortype', errorType)
  const wait = retryAfterMilliseconds === undefined ? {} : { retryAfterMilliseconds }
  answerJson(response, status, { __type: errorType, message, reason, ...wait })
}

function startStream(response: ServerResponse, connection: 'keep-alive' | 'close'): void {
  response.writeHead(200, {
    ...commonHeaders(),
    connection,
    'content-type': 'application/vnd.amazon.eventstream',
    'transfer-encoding': 'chunked'
  })
}

/** Violations may contain any names from the request. */
function toHeaderText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 200)
}

type Operation =
  | 'generateAssistantResponse'
  | 'listAvailableModels'
  | 'listAvailableProfiles'
  | 'getUsageLimits'
  | 'refreshToken'
  | 'createToken'
  | 'mcp'

/** Paths in lower case without dashes: `/List-Available-Models` is `/ListAvailableModels`. */
const BY_PATH: Readonly<Record<string, Operation>> = {
  'POST /generateassistantresponse': 'generateAssistantResponse',
  'GET /listavailablemodels': 'listAvailableModels',
  'POST /listavailablemodels': 'listAvailableModels',
  'POST /listavailableprofiles': 'listAvailableProfiles',
  'GET /getusagelimits': 'getUsageLimits',
  'POST /getusagelimits': 'getUsageLimits',
  'POST /refreshtoken': 'refreshToken',
  'POST /token': 'createToken',
  'POST /mcp': 'mcp'
}

/** Second half of `x-amz-target`; the service before it differs between clients. */
const BY_TARGET: Readonly<Record<string, Operation>> = {
  GenerateAssistantResponse: 'generateAssistantResponse',
  ListAvailableModels: 'listAvailableModels',
  ListAvailableProfiles: 'listAvailableProfiles',
  GetUsageLimits: 'getUsageLimits',
  InvokeMCP: 'mcp'
}

/** Other services take the path form's body, wherever it is sent. */
const TARGET_SERVICE = 'KiroRuntimeService.'
const TARGET_CONTENT_TYPE = 'application/x-amz-json-1.0'

/** By path, or by target on `POST /` (kiro-protocol §1.3). */
function findOperation(
  method: string,
  path: string,
  target: string | undefined
): Operation | undefined {
  if (path !== '/') return BY_PATH[`${method} ${path.replaceAll('-', '').toLowerCase()}`]
  const action = target?.slice(target.lastIndexOf('.') + 1)
  return method === 'POST' && action !== undefined ? BY_TARGET[action] : undefined
}
