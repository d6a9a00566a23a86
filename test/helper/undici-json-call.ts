import { Agent, request } from 'undici'
import { codeOf } from '../../src/shared/errors.ts'
import type { JsonCall } from '../../src/upstream/call/json-exchange.ts'
import { classifyFailure } from '../../src/upstream/classify.ts'

/** With these nothing was sent. */
const UNCONNECTED: readonly string[] = ['ECONNREFUSED', 'ENOTFOUND', 'UND_ERR_CONNECT_TIMEOUT']

/** A `JsonCall` over plain undici, and what closes its sockets. */
export function undiciJsonCall(): { call: JsonCall; close: () => Promise<void> } {
  const agent = new Agent({ allowH2: false, connect: { timeout: 1000 } })
  const call: JsonCall = async (wanted, signal) => {
    const { method, url, setting, headers, body, timeoutMs, onSent } = wanted
    onSent?.() // mostly
    const response = await request(url, {
      dispatcher: agent,
      method,
      headers: { ...headers },
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    }).catch((cause: unknown) => {
      const phase = UNCONNECTED.includes(codeOf(cause)) ? 'connecting' : 'sent'
      throw classifyFailure(cause, { url, setting, phase })
    })
    const flat: Record<string, string> = {}
    for (const [name, value] of Object.entries(response.headers)) flat[name] = String(value)
    return { status: response.statusCode, headers: flat, text: await response.body.text() }
  }
  return { call, close: () => agent.destroy() }
}
