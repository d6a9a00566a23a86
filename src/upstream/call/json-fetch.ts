import type { CustomFetch } from 'openid-client'
import type { JsonCall } from './json-exchange.ts'

export interface JsonFetchOptions {
  /** Setting or option that names the host, for advice. */
  readonly setting: string
  readonly timeoutMs: number
}

/** Lets openid-client call as everything else here does: through the configured proxy, with limits of size and time. */
export function jsonFetch(call: JsonCall, { setting, timeoutMs }: JsonFetchOptions): CustomFetch {
  return async (url, { method, headers, body, signal }) => {
    const isPost = method === 'POST'
    const answer = await call(
      {
        method: isPost ? 'POST' : 'GET',
        url,
        headers: Object.fromEntries(new Headers(headers)),
        ...(isPost && { body: formOf(body) }),
        isOnce: isPost,
        setting,
        timeoutMs
      },
      signal ?? AbortSignal.timeout(timeoutMs)
    )
    const { status, headers: answered, text } = answer
    return new Response(text === '' ? null : text, { status, headers: answered })
  }
}

/** Token requests are forms. */
function formOf(body: unknown): string {
  return body instanceof URLSearchParams ? body.toString() : ''
}
