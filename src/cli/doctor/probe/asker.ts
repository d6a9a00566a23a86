import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Config } from '../../../config/settings.ts'
import { FrameDecoder } from '../../../frames/frame-decoder.ts'
import type { ModelFacts } from '../../../kiro/models/models.ts'
import type { CredentialSnapshot } from '../../../kiro/wire/credential-snapshot.ts'
import {
  parseUpstreamEvent,
  type TokenUsage,
  type UpstreamEvent
} from '../../../kiro/wire/event.ts'
import {
  faultOfException,
  faultOfResponse,
  MAX_FAULT_BODY_BYTES,
  type UpstreamFault
} from '../../../kiro/wire/fault.ts'
import { hostsFor, type RequestForm, type UpstreamHost } from '../../../kiro/wire/hosts.ts'
import { asGatewayError, type ErrorCode, GatewayError } from '../../../shared/errors.ts'
import { Exchange, type ExchangeRequest } from '../../../upstream/call/exchange.ts'
import type { JsonRequest } from '../../../upstream/call/json-exchange.ts'
import { formOfBytes, generationRequest } from '../../../upstream/call/requests.ts'
import { type Network, NO_PERMIT } from '../../network.ts'
import { type Question, writeQuestion } from './question.ts'

export const PAUSE_MS = 2_000

export interface Outcome {
  readonly label: string
  readonly status: number
  readonly fault: Pick<UpstreamFault, 'code' | 'type' | 'message' | 'reason'> | null
  readonly text: string
  readonly credits: number | null
  /** Percentage of the context window that is used with the answer; `null` if it is not told. */
  readonly percentage: number | null
  readonly counts: TokenUsage
  /** Body of an answer that is not a stream. */
  readonly body: string
}

/** Refusals that end the run: more requests would be refused too, or make things worse. */
const FINAL: readonly ErrorCode[] = [
  'GW_UPSTREAM_RESTRICTED',
  'GW_UPSTREAM_SUSPENDED',
  'GW_UPSTREAM_QUOTA',
  'GW_UPSTREAM_RATE_LIMITED',
  'GW_UPSTREAM_AUTH'
]

export class ProbesStopped extends Error {
  readonly outcome: Outcome

  constructor(outcome: Outcome) {
    super(outcome.fault?.message ?? 'stopped')
    this.outcome = outcome
  }
}

export interface AskerOptions {
  readonly network: Network
  readonly config: Config
  readonly snapshot: CredentialSnapshot
  readonly models: readonly ModelFacts[]
  readonly signal: AbortSignal
  readonly pauseMs?: number
  readonly onAsk: (label: string) => void
}

const ANSWER_TIMEOUT_MS = 120_000
const MAX_ANSWER_BYTES = 2 * 1024 * 1024

/** Asks one by one with pauses; stops for good when the account is suspected, suspended, used up or not signed in. */
export class Asker {
  readonly snapshot: CredentialSnapshot
  readonly models: readonly ModelFacts[]
  readonly config: Config
  readonly signal: AbortSignal
  readonly host: UpstreamHost
  readonly outcomes: Outcome[] = []
  form: RequestForm | null = null
  readonly #options: AskerOptions
  #freeAt = 0

  constructor(options: AskerOptions) {
    this.#options = options
    this.snapshot = options.snapshot
    this.models = options.models
    this.config = options.config
    this.signal = options.signal
    const [host] = hostsFor(options.snapshot, options.config.upstream)
    if (host === undefined) throw new Error('there is no host')
    this.host = host
  }

  note(label: string): void {
    this.outcomes.push({ ...SILENCE, label })
  }

  /** First of these models that the account has; without a list, the first. */
  modelOf(ids: readonly string[]): string | null {
    if (this.models.length === 0) return ids[0] ?? null
    return ids.find((id) => this.models.some((model) => model.id === id)) ?? null
  }

  /** @throws {ProbesStopped}; the signal's reason when it aborts. */
  generate(label: string, question: Question): Promise<Outcome> {
    const payload = Buffer.from(JSON.stringify(writeQuestion(question)))
    return this.#ask(label, this.#generation(payload, question.form))
  }

  /**
   * Asks whether a payload is taken, in a conversation of its own. Leaves once an answer begins, since the rest of it would
   * cost more: its credits then stay unknown. @throws as `generate()`
   */
  isTaken(label: string, payload: Uint8Array): Promise<Outcome> {
    const request = this.#generation(payload, formOfBytes(payload), { isNewConversation: true })
    return this.#ask(label, request, { isLeftEarly: true })
  }

  /** Call with a small JSON answer. @throws as `generate()` */
  call(label: string, { url, method, headers, body }: JsonRequest): Promise<Outcome> {
    const bodyTimeoutMs = ANSWER_TIMEOUT_MS
    return this.#ask(label, {
      url: new URL(url),
      method,
      headers,
      body: body ?? null,
      bodyTimeoutMs
    })
  }

  #generation(
    payload: Uint8Array,
    form: RequestForm,
    { isNewConversation = false } = {}
  ): ExchangeRequest {
    const { config, snapshot, host } = this
    return generationRequest({
      payload,
      snapshot,
      host,
      approach: { isWithoutProfile: false, isNewConversation },
      form,
      userAgent: config.upstream.userAgent,
      invocationId: randomUUID(),
      attempt: 1,
      maxAttempts: 1,
      bodyTimeoutMs: ANSWER_TIMEOUT_MS
    })
  }

  async #ask(
    label: string,
    request: ExchangeRequest,
    { isLeftEarly = false } = {}
  ): Promise<Outcome> {
    const { signal, pauseMs = PAUSE_MS, onAsk } = this.#options
    await delay(Math.max(0, this.#freeAt - performance.now()), undefined, { signal })
    onAsk(label)
    const outcome = { label, ...(await this.#exchange(request, isLeftEarly)) }
    signal.throwIfAborted()
    this.#freeAt = performance.now() + pauseMs
    this.outcomes.push(outcome)
    if (outcome.fault !== null && FINAL.includes(outcome.fault.code))
      throw new ProbesStopped(outcome)
    return outcome
  }

  async #exchange(request: ExchangeRequest, isLeftEarly: boolean): Promise<Omit<Outcome, 'label'>> {
    const { network, signal } = this.#options
    const { promise, resolve, reject } = Promise.withResolvers<Omit<Outcome, 'label'>>()
    const chunks: Buffer[] = []
    let bytes = 0
    let status = 0
    let headers: Readonly<Record<string, string | string[] | undefined>> = {}
    const exchange = new Exchange({
      pool: network.pool,
      request,
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
      permit: NO_PERMIT,
      reader: {
        onSent: () => {},
        onHeaders: (...answer) => {
          ;[status, headers] = answer
        },
        onChunk: (chunk) => {
          chunks.push(Buffer.from(chunk))
          bytes += chunk.byteLength
          if (bytes > MAX_ANSWER_BYTES) exchange.abort(new GatewayError('GW_FRAME_TOO_LARGE'))
          if (isLeftEarly && status === 200 && hasBegun(chunks)) {
            resolve({ ...SILENCE, status })
            exchange.abort(new GatewayError('GW_CLIENT_CLOSED'))
          }
        },
        onEnd: () => resolve(this.#read(status, headers, Buffer.concat(chunks))),
        onError: reject
      }
    })
    try {
      return await promise
    } catch (cause) {
      const { code, message } = asGatewayError(cause)
      return { ...SILENCE, fault: { code, type: '', message, reason: null } }
    }
  }

  #read(
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
    body: Buffer
  ): Omit<Outcome, 'label'> {
    if (status !== 200) {
      const text = body.toString('utf8', 0, MAX_FAULT_BODY_BYTES)
      const { token } = this.snapshot
      const fault = faultOfResponse({ status, headers, body: text, token, now: Date.now() })
      return { ...SILENCE, status, fault }
    }
    const isStream = String(headers['content-type']).includes('eventstream') || body[0] === 0
    return isStream ? readStream(body) : { ...SILENCE, status, body: body.toString() }
  }
}

const SILENCE: Omit<Outcome, 'label'> = {
  status: 0,
  fault: null,
  text: '',
  credits: null,
  percentage: null,
  counts: {},
  body: ''
}

const WORDS: ReadonlySet<string> = new Set(['text', 'reasoning', 'tool'])

/** True once there is a word of the answer: an exception may come instead. */
function hasBegun(chunks: readonly Buffer[]): boolean {
  try {
    const frames = new FrameDecoder().feed(Buffer.concat(chunks))
    return [...frames].some((frame) => WORDS.has(parseUpstreamEvent(frame).type))
  } catch {
    return false // read as broken when it ends
  }
}

function readStream(body: Buffer): Omit<Outcome, 'label'> {
  let { fault, text, credits, percentage, counts } = SILENCE
  const take = (event: UpstreamEvent): void => {
    if (event.type === 'text') text += event.text
    if (event.type === 'metering') credits = (credits ?? 0) + event.credits
    if (event.type === 'exception') fault = faultOfException(event)
    if (event.type === 'context-usage') ({ percentage } = event)
    if (event.type === 'metadata') {
      counts = { ...counts, ...event.tokenUsage }
      percentage = event.contextUsagePercentage ?? percentage
    }
  }
  try {
    const decoder = new FrameDecoder()
    for (const frame of decoder.feed(body)) take(parseUpstreamEvent(frame))
    decoder.end()
  } catch (cause) {
    const { code, message } = asGatewayError(cause)
    fault = { code, type: '', message, reason: null }
  }
  return { ...SILENCE, status: 200, fault, text, credits, percentage, counts }
}

export function isAnswered({ status, fault }: Outcome): boolean {
  return status === 200 && fault === null
}

export function isRefused({ status }: Outcome): boolean {
  return status >= 400 && status < 500
}
