import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestForm } from '../kiro/wire/hosts.ts'
import { asJsonObject, type JsonObject, parseJsonObject } from '../shared/json.ts'
import { readBytes } from '../shared/read-bytes.ts'
import type { SimulatedAccount } from './account.ts'
import { answerTo, readRequest, type Script } from './generation.ts'
import { MODELS } from './models.ts'
import { play } from './player.ts'
import { PromptMemory } from './prompt-memory.ts'
import { FAULTS, type Refusal } from './refusal.ts'
import type { Step } from './script.ts'
import { searchWeb } from './web-search.ts'

export interface JsonAnswer {
  readonly status: number
  readonly json: JsonObject
}

export interface Asked {
  readonly request: IncomingMessage
  readonly url: URL
  readonly operation: Operation | undefined
  readonly form: RequestForm
  readonly body: string
}

const DEFAULT_GAP_MS = 15

export const PROFILE_ARN = 'arn:aws:codewhisperer:us-east-1:123456789012:profile/SIMULATED'

/** Answers every request of a gateway. The strict form of tests is a subclass. */
export class SimulatedUpstream {
  readonly account: SimulatedAccount
  readonly gapMs: number
  protected readonly memory = new PromptMemory()

  /** `gapMs`: ms between events unless the prompt sets it. */
  constructor(account: SimulatedAccount, gapMs = DEFAULT_GAP_MS) {
    this.account = account
    this.gapMs = gapMs
  }

  /** Resolves when the answer has ended or the client left; rejects only for a bug. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const client = new AbortController()
    response.on('error', () => {}) // a write to a client that has left; 'close' follows
    response.once('close', () => client.abort())
    const script = await this.#receive(request, response, client.signal)
    if (script !== null) await this.perform(script, response, client.signal)
  }

  /** Apart from `handle()`, which would hold the body while the answer is played: a function that waits keeps its variables. */
  async #receive(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal
  ): Promise<Script | null> {
    const body = await readBytes(request, MAX_BODY_BYTES).catch(() => null) // the connection broke
    if (body !== null) {
      return this.serve({ ...toAsked(request), body: body.toString() }, response, signal)
    }
    response.destroy()
    return null
  }

  /** Answers, or resolves with the script to play. */
  protected async serve(
    asked: Asked,
    response: ServerResponse,
    _signal: AbortSignal
  ): Promise<Script | null> {
    const answer = this.answer(asked)
    if ('steps' in answer) return answer
    if ('json' in answer) answerJson(response, answer.status, answer.json)
    else this.refuse(response, answer)
    return null
  }

  protected answer(asked: Asked): JsonAnswer | Refusal | Script {
    const { operation, body } = asked
    switch (operation) {
      case 'generateAssistantResponse':
        return this.generate(asked)
      case 'listAvailableModels':
        return { status: 200, json: { models: MODELS, defaultModel: { modelId: 'auto' } } }
      case 'listAvailableProfiles': {
        const profile = { arn: PROFILE_ARN, profileName: 'simulated', status: 'ACTIVE' }
        return { status: 200, json: { profiles: [profile] } }
      }
      case 'getUsageLimits':
        return { status: 200, json: this.account.toUsageLimits(Date.now()) }
      case 'mcp':
        return { status: 200, json: searchWeb(parseJsonObject(body) ?? {}) }
      case undefined:
        break
    }
    return { status: 404, json: { message: 'UnknownOperation' } }
  }

  protected generate({ request, body, form }: Asked): Refusal | Script {
    try {
      const view = readRequest(body, form)
      if ('status' in view) return view
      const token = request.headers.authorization ?? ''
      const answer = this.memory.refuse(view, token) ?? answerTo(view)
      if (answer === FAULTS.quota) this.account.useUp()
      return 'status' in answer ? answer : { ...answer, steps: this.metered(answer.steps) }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      return FAULTS.improper // it nests too deeply
    }
  }

  protected async perform(
    { steps, words }: Script,
    response: ServerResponse,
    signal: AbortSignal
  ): Promise<void> {
    response.writeHead(200, {
      ...commonHeaders(),
      'content-type': 'application/vnd.amazon.eventstream',
      'transfer-encoding': 'chunked'
    })
    const gapMs = words.numbers.get('gap') ?? this.gapMs
    await play({ steps, gapMs }, { response, signal })
  }

  /** Counts an answer once it has been metered. */
  protected *metered(steps: Iterable<Step>): Generator<Step> {
    for (const step of steps) {
      yield step
      if (step.type !== 'event' || step.name !== 'meteringEvent') continue
      this.account.meter(Number(asJsonObject(step.payload)?.['usage'] ?? 0))
    }
  }

  /** Error body (kiro-protocol §8.1). */
  protected refuse(response: ServerResponse, refusal: Refusal): void {
    const { status, errorType, message, reason, retryAfterS } = refusal
    if (retryAfterS !== undefined) response.setHeader('retry-after', retryAfterS)
    response.setHeader('x-amzn-errortype', errorType)
    answerJson(response, status, { __type: errorType, message, reason })
  }
}

/** Protects only this process; the upstream takes far less. */
const MAX_BODY_BYTES = 32 * 1024 * 1024

/** `connection` is set by hand: Node would add `keep-alive: timeout=…`, which the upstream does not send. */
export function commonHeaders(): Record<string, string> {
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

type Operation =
  | 'generateAssistantResponse'
  | 'listAvailableModels'
  | 'listAvailableProfiles'
  | 'getUsageLimits'
  | 'mcp'

/** By path, or by the second half of `x-amz-target`, in lower case without dashes (kiro-protocol §1.3). */
const OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  ['generateassistantresponse', 'generateAssistantResponse'],
  ['listavailablemodels', 'listAvailableModels'],
  ['listavailableprofiles', 'listAvailableProfiles'],
  ['getusagelimits', 'getUsageLimits'],
  ['mcp', 'mcp'],
  ['invokemcp', 'mcp']
])

/** Other services take the path form's body, wherever it is sent. */
const TARGET_SERVICE = 'KiroRuntimeService.'

export function toAsked(request: IncomingMessage): Omit<Asked, 'body'> {
  const url = new URL(request.url ?? '/', 'http://simulator')
  const target = String(request.headers['x-amz-target'] ?? '')
  const action = url.pathname === '/' ? target.replace(/^.*\./, '') : url.pathname.slice(1)
  const operation = OPERATIONS.get(action.replaceAll('-', '').toLowerCase())
  const form = target.startsWith(TARGET_SERVICE) ? 'target' : 'path'
  return { request, url, operation, form }
}
