import { ByteBlocks } from '../../shared/own-memory.ts'
import type { JsonObject } from '../../shared/json.ts'
import { parseForeignObject } from '../../shared/json-outline.ts'
import { type CallPhase, classifyFailure } from '../classify.ts'
import type { ConnectionPool } from '../connections/pool.ts'
import { Exchange, type Releasable, type ResponseHeaders, type ResponseReader } from './exchange.ts'

export interface JsonExchangeOptions {
  readonly pool: ConnectionPool
  readonly request: JsonRequest
  /** Ends the call; a deadline is its caller's business. */
  readonly signal: AbortSignal
  /** The request is being written to an open connection. */
  readonly onSent?: () => void
  /** See `ExchangeOptions`. */
  readonly permit: Releasable
  /** Sees the answer before it is read. */
  readonly tap?: ((reader: ResponseReader) => ResponseReader) | undefined
}

/** Most bytes read of an answer, unless its request says otherwise. Tokens, usage and profiles have a few KB. */
const MAX_BODY_BYTES = 256 * 1024

/**
 * Makes one small call on a connection of the pool, whose permit the caller holds. Resolves with any status.
 *
 * @throws {GatewayError} without an answer: the failure by kind.
 */
export function exchangeJson(options: JsonExchangeOptions): Promise<JsonResponse> {
  const { pool, request, signal, onSent, permit, tap } = options
  const { promise, resolve, reject } = Promise.withResolvers<JsonResponse>()
  const { maxBytes = MAX_BODY_BYTES } = request
  const blocks = new ByteBlocks()
  let bytes = 0
  let phase: CallPhase = 'connecting'
  let status = 0
  let headers: ResponseHeaders = {}
  const url = new URL(request.url)
  const settle = (): void =>
    resolve({ status, headers: flatten(headers), text: blocks.take().toString() })
  const reader: ResponseReader = {
    onSent: () => {
      phase = 'sent'
      onSent?.()
    },
    onHeaders: (...answer) => {
      phase = 'headers'
      ;[status, headers] = answer
    },
    onChunk: (chunk) => {
      bytes += chunk.byteLength
      if (bytes <= maxBytes) return blocks.append(chunk)
      settle() // an answer that never ends would only cost time
      exchange.abort(new Error('the answer is too long'))
    },
    onEnd: settle,
    onError: (cause) => reject(classifyFailure(cause, { url, phase, setting: request.setting }))
  }
  const exchange = new Exchange({
    pool,
    request: {
      url,
      method: request.method,
      headers: request.headers,
      body: request.body ?? null,
      isOnce: request.isOnce === true,
      bodyTimeoutMs: request.timeoutMs
    },
    signal,
    permit,
    reader: tap?.(reader) ?? reader
  })
  return promise
}

function flatten(headers: ResponseHeaders): Record<string, string> {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return flat
}

/** A small call beside the streams: token refresh, model list, usage. */
export interface JsonRequest {
  readonly method: 'GET' | 'POST'
  readonly url: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** The setting that names the host, for advice; `KIRO_API_URL` if left out. */
  readonly setting?: string
  /** Gives the call up as long as it waits for a connection or opens one; what was sent goes on. */
  readonly unlessSent?: AbortSignal
  /** The request is being written to an open connection. Who makes calls tells it before the first byte goes out. */
  readonly onSent?: () => void
  /** It must not be sent again, not even where a reused connection was closed before an answer came. */
  readonly isOnce?: boolean
  /** For the whole call, connecting included. */
  readonly timeoutMs: number
  /** Most bytes read of the answer: more than any known one has, and too few for an upstream to fill the heap. */
  readonly maxBytes?: number
}

export interface JsonResponse {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** The body, cut to what the implementation is willing to read. */
  readonly text: string
}

/** Makes one call, without retries. Resolves with any status; rejects without an answer. */
export type JsonCall = (request: JsonRequest, signal: AbortSignal) => Promise<JsonResponse>

/** The object in an answer; `null` if the answer is something else, or too large for what it can be. */
export function jsonObjectOf(response: JsonResponse): JsonObject | null {
  return parseForeignObject(response.text)
}
