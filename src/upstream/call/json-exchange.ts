import { ByteBlocks } from '../../shared/own-memory.ts'
import { type JsonObject, parseForeignObject } from '../../shared/json.ts'
import { type CallPhase, classifyFailure } from '../classify.ts'
import type { ConnectionPool } from '../connections/pool.ts'
import { Exchange, type Releasable, type ResponseHeaders, type ResponseReader } from './exchange.ts'

export interface JsonExchangeOptions {
  readonly pool: ConnectionPool
  readonly request: BytesRequest
  readonly signal: AbortSignal
  readonly onSent?: () => void
  readonly permit: Releasable
  readonly tap?: ((reader: ResponseReader) => ResponseReader) | undefined
}

/** Unless the request sets another limit. Tokens, usage and profiles have a few KB. */
const MAX_BODY_BYTES = 256 * 1024

/**
 * Needs a permit of the caller; resolves with any status.
 * @throws {GatewayError} without an answer
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

export interface JsonRequest {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Setting that names the host, for advice; default `KIRO_API_URL`. */
  readonly setting?: string
  readonly unlessSent?: AbortSignal
  readonly onSent?: () => void
  /** Never sent twice, not even if a reused connection closed before an answer. */
  readonly isOnce?: boolean
  readonly timeoutMs: number
  readonly maxBytes?: number
}

/** Bytes are freed once they are sent. */
export interface BytesRequest extends Omit<JsonRequest, 'body'> {
  readonly body?: string | Uint8Array
}

export interface JsonResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

/** One call without retries; resolves with any status, rejects without an answer. */
export type BytesCall = (request: BytesRequest, signal: AbortSignal) => Promise<JsonResponse>

/** Like `BytesCall`, with text. */
export type JsonCall = (request: JsonRequest, signal: AbortSignal) => Promise<JsonResponse>

/** `null` if the answer is something else, or was cut. */
export function jsonObjectOf(response: JsonResponse): JsonObject | null {
  return parseForeignObject(response.text)
}
