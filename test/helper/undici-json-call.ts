import { Agent, request } from 'undici'
import type { JsonCall } from '../../src/upstream/call/json-exchange.ts'

/** A `JsonCall` over plain undici, and what closes its sockets. */
export function undiciJsonCall(): { call: JsonCall; close: () => Promise<void> } {
  const agent = new Agent({ allowH2: false, connect: { timeout: 1000 } })
  const call: JsonCall = async ({ method, url, headers, body, timeoutMs }, signal) => {
    const response = await request(url, {
      dispatcher: agent,
      method,
      headers: { ...headers },
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    })
    const flat: Record<string, string> = {}
    for (const [name, value] of Object.entries(response.headers)) flat[name] = String(value)
    return { status: response.statusCode, headers: flat, text: await response.body.text() }
  }
  return { call, close: () => agent.destroy() }
}
