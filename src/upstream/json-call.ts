import { type JsonObject, parseJsonObject } from '../kiro/json-object.ts'

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
