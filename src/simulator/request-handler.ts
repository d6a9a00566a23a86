import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type AnswerEncoder, wrapPayload } from './answer.ts'
import type { ConnectionCensus } from './connection-census.ts'
import {
  callMcp,
  createToken,
  getUsageLimits,
  type JsonAnswer,
  listAvailableModels,
  listAvailableProfiles,
  refreshDesktop
} from './control-plane.ts'
import { checkToken, type Credential } from './credential-rules.ts'
import { type Generation, generate } from './generation.ts'
import { findOperation, type Operation } from './operations.ts'
import { play, type Performance } from './player.ts'
import type { PromptMemory } from './prompt-memory.ts'
import { readBody } from './read-body.ts'
import { FAULTS, type Refusal } from './refusal.ts'
import { sendJson, sendRefusal, startStream } from './responses.ts'
import type { Step } from './script.ts'
import type { TokenIssuer } from './token-issuer.ts'

/** What the requests of one simulator share. */
export interface SharedParts {
  readonly census: ConnectionCensus
  readonly encoder: AnswerEncoder
  readonly issuer: TokenIssuer
  readonly memory: PromptMemory
  /** Milliseconds between events where the prompt does not say. */
  readonly gapMs: number
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

const STATS_PATH = '/__simulator/stats'
const RESET_PATH = '/__simulator/reset-stats'

/** Serves every request of one simulator. */
export class RequestHandler {
  readonly #shared: SharedParts

  constructor(shared: SharedParts) {
    this.#shared = shared
  }

  /** Resolves when the answer has ended or the client has left; rejects only for a bug. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://simulator')
    if (url.pathname === STATS_PATH || url.pathname === RESET_PATH) {
      this.#serveStats(request, response, url.pathname)
      return
    }
    const target = headerOf(request, 'x-amz-target')
    const operation = findOperation(request.method ?? '', url.pathname, target)
    const signal = this.#track(request, response, operation ?? 'unknown')
    const body = await readBody(request)
    if (body === null) response.destroy()
    else if (operation === undefined) sendJson(response, 404, { message: 'UnknownOperation' })
    else if (operation === 'generateAssistantResponse') {
      await this.#serveGeneration(request, response, { body, signal })
    } else await sendAnswer(response, this.#answer(operation, { url, body, request }), signal)
  }

  /** Counts the request until its response is closed; the signal fires then. */
  #track(request: IncomingMessage, response: ServerResponse, operation: string): AbortSignal {
    const { census } = this.#shared
    const { socket } = request
    const client = new AbortController()
    census.begin(socket, operation)
    response.on('error', () => {}) // a write to a client that has left; 'close' follows
    response.once('close', () => {
      census.end(socket)
      client.abort()
    })
    return client.signal
  }

  #serveStats(request: IncomingMessage, response: ServerResponse, path: string): void {
    const { census } = this.#shared
    census.exclude(request.socket)
    if (path === RESET_PATH) census.reset()
    sendJson(response, 200, census.stats())
  }

  async #serveGeneration(
    request: IncomingMessage,
    response: ServerResponse,
    received: { readonly body: string; readonly signal: AbortSignal }
  ): Promise<void> {
    const credential = credentialOf(request)
    const refusal = this.#refuseToken(credential)
    if (refusal !== null) return sendRefusal(response, refusal)
    const generation = generate(received.body, credential, this.#shared.memory)
    if (generation.type === 'refusal') return sendRefusal(response, generation.refusal)
    const performance = toPerformance(generation, this.#shared.gapMs)
    startStream(response, generation.words.flags.has('close-after') ? 'close' : 'keep-alive')
    await play(performance, { response, encoder: this.#shared.encoder, signal: received.signal })
  }

  #refuseToken(credential: Credential): Refusal | null {
    return this.#shared.issuer.isExpired(credential.token) ? FAULTS.expired : checkToken(credential)
  }

  #answer(
    operation: Exclude<Operation, 'generateAssistantResponse'>,
    asked: { readonly url: URL; readonly body: string; readonly request: IncomingMessage }
  ): JsonAnswer | Refusal | null {
    const { issuer, now } = this.#shared
    const { body, url } = asked
    if (operation === 'refreshToken') return this.#countRefresh(refreshDesktop(body, issuer))
    if (operation === 'createToken') return this.#countRefresh(createToken(body, issuer))
    const credential = credentialOf(asked.request)
    if (operation === 'getUsageLimits' && credential.token === 'quota-token') {
      return getUsageLimits(credential.token, now())
    }
    const refusal = this.#refuseToken(credential)
    if (refusal !== null) return refusal
    switch (operation) {
      case 'listAvailableModels':
        return listAvailableModels(url.searchParams, body)
      case 'listAvailableProfiles':
        return listAvailableProfiles(credential)
      case 'getUsageLimits':
        return getUsageLimits(credential.token, now())
      case 'mcp':
        break
    }
    return callMcp(body, credential)
  }

  #countRefresh(answer: JsonAnswer): JsonAnswer {
    if (answer.status === 200) this.#shared.census.countRefresh()
    return answer
  }
}

function toPerformance(
  generation: Extract<Generation, { readonly type: 'script' }>,
  gapMs: number
): Performance {
  const { flags, numbers } = generation.words
  const steps = flags.has('wrapped') ? wrapAll(generation.steps) : generation.steps
  const opening = flags.has('reset-first') ? 'reset' : flags.has('stall-headers') ? 'stall' : 'head'
  return {
    steps,
    opening,
    headDelayMs: numbers.headers ?? 0,
    gapMs: numbers.gap ?? gapMs,
    chunkBytes: numbers.chunk
  }
}

function* wrapAll(steps: Iterable<Step>): Generator<Step> {
  for (const step of steps) yield wrapPayload(step)
}

/** Where there is no answer, until the client has left. */
async function sendAnswer(
  response: ServerResponse,
  answer: JsonAnswer | Refusal | null,
  signal: AbortSignal
): Promise<void> {
  if (answer === null) {
    if (!signal.aborted) await once(signal, 'abort')
  } else if ('json' in answer) sendJson(response, answer.status, answer.json)
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
