import { type Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { Dialect, ReceivedAnswer } from './judge-answer.ts'

/** Where in its life a request is given up. */
export type CancelPhase = 'connected' | 'body' | 'waiting' | 'first-byte' | 'mid-stream'

export interface CallPlan {
  readonly url: string
  readonly key: string
  readonly dialect: Dialect
  readonly isStream: boolean
  readonly id: string
  readonly body: Buffer
  /** Reused connections, or `false` for one of its own. */
  readonly agent: Agent | false
  readonly cancel: { readonly phase: CancelPhase; readonly afterMs: number } | null
}

export type CallResult =
  | { readonly name: 'answered'; readonly answer: ReceivedAnswer; readonly firstByteMs: number }
  | { readonly name: 'cancelled'; readonly phase: CancelPhase }
  | { readonly name: 'hung'; readonly state: string }

const Paths = { openai: '/v1/chat/completions', anthropic: '/v1/messages' }
/** Longer than all timeouts of the gateway together: whoever still waits then waits for nothing. */
const HUNG_MS = 60_000

/** Makes one request and gives it up where the plan says so. Never rejects. */
export function callGateway(plan: CallPlan): Promise<CallResult> {
  return new Promise((resolve) => void new Call(plan, resolve))
}

class Call {
  readonly #plan: CallPlan
  readonly #resolve: (result: CallResult) => void
  readonly #request: ClientRequest
  readonly #startedAt = performance.now()
  readonly #timers = new Set<NodeJS.Timeout>()
  #status = 0
  #errorCode = ''
  #body = ''
  #firstByteMs = 0

  constructor(plan: CallPlan, resolve: (result: CallResult) => void) {
    this.#plan = plan
    this.#resolve = resolve
    this.#request = request(`${plan.url}${Paths[plan.dialect]}`, {
      method: 'POST',
      agent: plan.agent,
      headers: {
        'content-type': 'application/json',
        'content-length': plan.body.length,
        authorization: `Bearer ${plan.key}`
      }
    })
    this.#request.on('response', (response) => this.#onResponse(response))
    this.#request.on('error', (error: NodeJS.ErrnoException) => {
      this.#errorCode = error.code ?? error.message
      this.#answered(true)
    })
    this.#after(HUNG_MS, () => this.#end({ name: 'hung', state: this.#state() }))
    this.#send()
  }

  #send(): void {
    const { cancel, body } = this.#plan
    switch (cancel?.phase) {
      case 'connected':
        this.#request.once('socket', (socket) => {
          if (socket.connecting) socket.once('connect', () => this.#cancelAfter(0))
          else this.#cancelAfter(0)
        })
        break
      case 'body':
        this.#request.write(body.subarray(0, body.length / 2))
        this.#cancelAfter(cancel.afterMs)
        break
      case 'waiting':
        this.#request.end(body)
        this.#cancelAfter(cancel.afterMs)
        break
      case 'first-byte':
      case 'mid-stream':
      case undefined:
        this.#request.end(body)
    }
  }

  #onResponse(response: IncomingMessage): void {
    this.#status = response.statusCode ?? 0
    this.#firstByteMs = performance.now() - this.#startedAt
    const { cancel } = this.#plan
    if (cancel?.phase === 'first-byte') this.#cancelAfter(0)
    response.setEncoding('utf8')
    response.on('data', (piece: string) => {
      this.#body += piece
      if (cancel?.phase === 'mid-stream') this.#cancelAfter(cancel.afterMs)
    })
    response.on('error', () => {}) // told by `complete`
    response.on('close', () => this.#answered(!response.complete))
  }

  #state(): string {
    const { socket, reusedSocket } = this.#request
    const connection =
      socket === null
        ? 'no socket'
        : `port ${socket.localPort}, reused ${reusedSocket}, sent ${socket.bytesWritten}`
    return `${connection}, status ${this.#status}, body …${this.#body.slice(-200)}`
  }

  #cancelAfter(ms: number): void {
    this.#after(ms, () => {
      const phase = this.#plan.cancel?.phase
      if (phase !== undefined) this.#end({ name: 'cancelled', phase })
    })
  }

  #after(ms: number, then: () => void): void {
    this.#timers.add(setTimeout(then, ms))
  }

  #answered(isCut: boolean): void {
    const { dialect, isStream, id } = this.#plan
    this.#end({
      name: 'answered',
      answer: {
        dialect,
        isStream,
        id,
        status: this.#status,
        body: this.#body,
        isCut,
        errorCode: this.#errorCode
      },
      firstByteMs: this.#firstByteMs
    })
  }

  /** The first end counts. */
  #end(result: CallResult): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    if (result.name !== 'answered') this.#request.destroy()
    this.#resolve(result)
  }
}
