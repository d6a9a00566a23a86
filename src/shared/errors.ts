import { type ErrorKind, type ErrorSource, ErrorTable } from './error-table.ts'
import type { ReachedLimit } from './standing.ts'

export type ErrorCode = keyof typeof ErrorTable

export interface GatewayErrorOptions {
  /** For the client, instead of the table's message. Never a secret, never a foreign stack. */
  readonly message?: string
  readonly cause?: unknown
  /** Becomes `retry-after`. */
  readonly retryAfterS?: number
  /** JSON pointer or name of the request part at fault; becomes OpenAI's `param`. */
  readonly param?: string
  /** Machine-readable facts for the client as plain JSON; becomes Anthropic's `error.details`. */
  readonly details?: Readonly<Record<string, unknown>>
  /** Id in `kiro/rules/rules.ts` of the broken rule; for lint. */
  readonly rule?: string
  readonly overflow?: TokenOverflow
  /** The limit of a key that refused the request. */
  readonly reached?: ReachedLimit
}

export interface TokenOverflow {
  readonly tokens: number
  readonly maximum: number
}

export interface ErrorData {
  readonly code: ErrorCode
  readonly detail?: string
  readonly options: Omit<GatewayErrorOptions, 'cause'>
}

/** The only error answered to clients. `message` is for them, `detail` and `cause` are for the log. */
export class GatewayError extends Error {
  readonly #options: GatewayErrorOptions
  override readonly name: string
  readonly code: ErrorCode
  readonly detail: string | undefined
  readonly retryAfterS: number | undefined
  readonly param: string | undefined
  readonly details: Readonly<Record<string, unknown>> | undefined
  readonly rule: string | undefined
  readonly overflow: TokenOverflow | undefined
  readonly reached: ReachedLimit | undefined

  constructor(code: ErrorCode, detail?: string, options: GatewayErrorOptions = {}) {
    const message = options.message ?? ErrorTable[code].message
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.name = code === 'GW_POOL_TIMEOUT' ? 'PoolTimeout' : 'GatewayError'
    this.code = code
    this.detail = detail
    this.retryAfterS = options.retryAfterS
    this.param = options.param
    this.details = options.details
    this.rule = options.rule
    this.overflow = options.overflow
    this.reached = options.reached
    this.#options = options
  }

  /** Copies the error with changes; a new code drops all other facts except those in `changes`. */
  with(changes: GatewayErrorOptions & { readonly code?: ErrorCode }): GatewayError {
    const { code = this.code, ...options } = changes
    return new GatewayError(code, this.detail, { ...this.#options, ...options })
  }

  /** Plain data without the cause: a class would lose its prototype on the way out of a thread. */
  toData(): ErrorData {
    const { code, detail } = this
    const { cause: _, ...options } = this.#options
    return { code, options, ...(detail !== undefined && { detail }) }
  }

  static ofData({ code, detail, options }: ErrorData): GatewayError {
    return new GatewayError(code, detail, options)
  }

  get kind(): ErrorKind {
    return ErrorTable[this.code].kind
  }

  get status(): number {
    return ErrorTable[this.code].status
  }

  get source(): ErrorSource {
    return ErrorTable[this.code].source
  }
}

/** Code of an error of Node, OpenSSL or undici; `''` if none. Other contexts' errors rule out `instanceof`. */
export function codeOf(error: unknown): string {
  const isObject = typeof error === 'object' && error !== null
  return isObject && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

export function operatorError(message: string, cause?: unknown): GatewayError {
  return new GatewayError('GW_CONFIG_INVALID', undefined, { message, cause })
}

export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

/** A foreign error is a bug by now: the log gets all of it, the client nothing. */
export function asGatewayError(cause: unknown): GatewayError {
  return cause instanceof GatewayError
    ? cause
    : new GatewayError('GW_INTERNAL', undefined, { cause })
}

/** Error of a wait ended by `signal`: its reason if ours, such as GW_DRAINING, else the client left. */
export function abortErrorOf(signal: AbortSignal, detail?: string): GatewayError {
  const { reason } = signal
  return reason instanceof GatewayError
    ? reason
    : new GatewayError('GW_CLIENT_CLOSED', detail, { cause: reason })
}

/** Waits for the promise unless the signal aborts first. @throws the signal's reason, after calling `onGivenUp` */
export async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  onGivenUp: () => void = () => {}
): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => {
    reject(signal.reason)
    onGivenUp()
  }
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
