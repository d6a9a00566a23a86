import { ByteBlocks } from '../shared/byte-blocks.ts'
import { type CallPhase, classifyFailure } from './classify.ts'
import { Exchange, type ResponseHeaders } from './exchange.ts'
import type { JsonRequest, JsonResponse } from './json-call.ts'
import type { ConnectionPool } from './pool.ts'

export interface JsonExchangeOptions {
  readonly pool: ConnectionPool
  readonly request: JsonRequest
  /** Ends the call; a deadline is its caller's business. */
  readonly signal: AbortSignal
  /** The request is being written to an open connection. */
  readonly onSent?: () => void
  /** The permit may serve somebody else; see `ExchangeOptions`. */
  readonly onSettled: () => void
}

/** What is read of an answer. */
const MAX_BODY_BYTES = 4 * 1024 * 1024

/**
 * One small call on a connection of the pool, whose permit the caller holds. Resolves with any status.
 *
 * @throws {GatewayError} when there is no answer: the failure by kind.
 */
export function exchangeJson(options: JsonExchangeOptions): Promise<JsonResponse> {
  const { pool, request, signal, onSent, onSettled } = options
  const { promise, resolve, reject } = Promise.withResolvers<JsonResponse>()
  const blocks = new ByteBlocks()
  let bytes = 0
  let phase: CallPhase = 'connect'
  let status = 0
  let headers: ResponseHeaders = {}
  const url = new URL(request.url)
  void new Exchange({
    pool,
    request: {
      url,
      method: request.method,
      headers: request.headers,
      body: request.body ?? null,
      bodyTimeoutMs: request.timeoutMs
    },
    signal,
    onSettled,
    reader: {
      onSent: () => {
        phase = 'headers'
        onSent?.()
      },
      onHeaders: (...answer) => {
        phase = 'body'
        ;[status, headers] = answer
      },
      onChunk: (chunk) => {
        bytes += chunk.byteLength
        if (bytes <= MAX_BODY_BYTES) blocks.append(chunk)
      },
      onEnd: () => resolve({ status, headers: flatten(headers), text: blocks.take().toString() }),
      onError: (cause) => reject(classifyFailure(cause, { url, phase, ...named(request) }))
    }
  })
  return promise
}

/** What the classifier has to know of a call besides its URL. */
export function named({ setting }: JsonRequest): { readonly setting?: string } {
  return setting === undefined ? {} : { setting }
}

function flatten(headers: ResponseHeaders): Record<string, string> {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return flat
}
