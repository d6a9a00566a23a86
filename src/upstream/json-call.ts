import { type JsonObject, parseJsonObject } from '../kiro/json-object.ts'

/** A small call beside the streams: token refresh, model list, usage. */
export interface JsonRequest {
  readonly method: 'GET' | 'POST'
  readonly url: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** For the whole call, connecting included. */
  readonly timeoutMs: number
}

export interface JsonResponse {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** The body, cut to what the implementation is willing to read. */
  readonly text: string
}

/** Makes one call, without retries. Resolves with any status; rejects when there is no answer. */
export type JsonCall = (request: JsonRequest, signal: AbortSignal) => Promise<JsonResponse>

/** The object in an answer; `null` if the answer is something else. */
export function jsonObjectOf(response: JsonResponse): JsonObject | null {
  return parseJsonObject(response.text)
}
