import type { IncomingMessage } from 'node:http'
import { GatewayError } from '../../shared/errors.ts'
import { type JsonObject, parseJsonObject } from '../../shared/json.ts'

export interface SmallBodyLimits {
  readonly maxBytes: number
  readonly timeoutMs: number
}

/**
 * Reads the JSON object that a page sends.
 * @throws {GatewayError} GW_BODY_INVALID, GW_BODY_ENCODED, GW_BODY_TOO_LARGE, GW_BODY_TIMEOUT, GW_CLIENT_CLOSED
 */
export async function readSmallBody(
  request: IncomingMessage,
  { maxBytes, timeoutMs }: SmallBodyLimits
): Promise<JsonObject> {
  const { 'content-type': type = '', 'content-encoding': encoding } = request.headers
  // Forms of other sites cannot send this type without asking first.
  if (!/^application\/json\s*(;|$)/i.test(type)) throw badBody('Send it as application/json.')
  if (encoding !== undefined) throw new GatewayError('GW_BODY_ENCODED')
  const chunks: Buffer[] = []
  let bytes = 0
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onData = (chunk: Buffer): void => {
    bytes += chunk.byteLength
    if (bytes <= maxBytes) chunks.push(chunk)
    else reject(tooLarge(maxBytes))
  }
  const onGone = (): void => reject(new GatewayError('GW_CLIENT_CLOSED'))
  // The connection stays: it has to carry the answer.
  const timer = setTimeout(() => reject(new GatewayError('GW_BODY_TIMEOUT')), timeoutMs)
  request.on('data', onData).once('end', resolve).once('error', onGone).once('close', onGone)
  try {
    await promise
  } finally {
    clearTimeout(timer)
    request.off('data', onData).off('end', resolve).off('error', onGone).off('close', onGone)
  }
  const body = parseJsonObject(Buffer.concat(chunks).toString())
  if (body === null) throw badBody('The body is not a JSON object.')
  return body
}

export function badBody(message: string): GatewayError {
  return new GatewayError('GW_BODY_INVALID', undefined, { message })
}

function tooLarge(maxBytes: number): GatewayError {
  const message = `The body may have at most ${maxBytes} bytes.`
  return new GatewayError('GW_BODY_TOO_LARGE', undefined, { message })
}
