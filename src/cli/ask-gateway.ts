import type { JsonObject } from '../shared/json.ts'
import { readText } from '../shared/read-bytes.ts'

/** A gateway that a command asks. */
export interface AskedGateway {
  /** Without `/v1` and trailing slash. */
  readonly url: string
  /** `null` for a gateway without keys. */
  readonly key: string | null
  readonly signal: AbortSignal
}

export interface GatewayQuestion {
  readonly path: string
  readonly timeoutMs: number
  /** Bytes of the longest answer; a longer one reads as empty. */
  readonly maxBytes?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Sent by POST. */
  readonly body?: JsonObject
}

export interface GatewayReply {
  readonly status: number
  readonly text: string
}

const MAX_BYTES = 16 * 1024 * 1024

/** Follows no redirect. Rejects without an answer, and when `signal` aborts. */
export async function askGateway(
  { url, key, signal }: AskedGateway,
  { path, timeoutMs, maxBytes = MAX_BYTES, headers, body }: GatewayQuestion
): Promise<GatewayReply> {
  const response = await fetch(url + path, {
    headers: {
      ...(key !== null && { authorization: `Bearer ${key}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers
    },
    redirect: 'manual',
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) })
  })
  return { status: response.status, text: await readText(response, maxBytes) }
}
