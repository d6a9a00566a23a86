import { type ErrorKind, type ErrorSource, ErrorTable, type RetryRule } from './error-table.ts'

export type ErrorCode = keyof typeof ErrorTable

export interface GatewayErrorOptions {
  /** Message for the client instead of the table's. Never a secret, never a foreign stack. */
  readonly message?: string
  readonly cause?: unknown
  /** Seconds after which the client may try again; becomes `retry-after`. */
  readonly retryAfterS?: number
  /** JSON pointer or name of the request part at fault; becomes OpenAI's `param`. */
  readonly param?: string
  /** Machine-readable facts for the client; becomes Anthropic's `error.details`. Plain JSON. */
  readonly details?: Readonly<Record<string, unknown>>
  /** The rule of the upstream that the request breaks, by its id in `kiro/rules.ts`; for lint. */
  readonly rule?: string
  /** Excess length of the conversation; dialects word it as their clients expect. */
  readonly overflow?: TokenOverflow
}

/** A conversation that is too long for its model, in tokens. */
export interface TokenOverflow {
  /** More than `maximum`. */
  readonly tokens: number
  readonly maximum: number
}

/** Result of `GatewayError.toData()`. */
export interface ErrorData {
  readonly code: ErrorCode
  readonly detail?: string
  readonly options: Omit<GatewayErrorOptions, 'cause'>
}

/** The only error that is answered to clients. `message` is for them, `detail` and `cause` are for the log. */
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
    this.#options = options
  }

  /** The same error, told in other words or with more facts; under another code it keeps only what was said of it. */
  with(changes: GatewayErrorOptions & { readonly code?: ErrorCode }): GatewayError {
    const { code = this.code, ...options } = changes
    return new GatewayError(code, this.detail, { ...this.#options, ...options })
  }

  /** All of it but the cause as plain data, for the way out of a thread: a class would lose its prototype there. */
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

  get retry(): RetryRule {
    return ErrorTable[this.code].retry
  }
}

/**
 * The code of an error of Node, OpenSSL or undici; `''` where it has none. It may come from another context, so
 * `instanceof` cannot be used.
 */
export function codeOf(error: unknown): string {
  const isObject = typeof error === 'object' && error !== null
  return isObject && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** An error that the operator has to put right: settings, files or a command line are wrong, as `message` says. */
export function operatorError(message: string, cause?: unknown): GatewayError {
  return new GatewayError('GW_CONFIG_INVALID', undefined, { message, cause })
}

/** The message of an error, or the text of anything else that was thrown. */
export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

/** Any error that is not ours by now is a bug: the log gets all of it, the client none. */
export function asGatewayError(cause: unknown): GatewayError {
  return cause instanceof GatewayError
    ? cause
    : new GatewayError('GW_INTERNAL', undefined, { cause })
}

/**
 * The error of a wait that `signal` has ended: its own reason where that is one of ours, such as GW_DRAINING or
 * GW_CLIENT_STALLED; otherwise the client has left. `detail` says for the log what was being waited for.
 */
export function abortErrorOf(signal: AbortSignal, detail?: string): GatewayError {
  const { reason } = signal
  return reason instanceof GatewayError
    ? reason
    : new GatewayError('GW_CLIENT_CLOSED', detail, { cause: reason })
}

/** Result of the promise, unless the signal aborts first. @throws the signal's reason, after `onGivenUp` was called */
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
