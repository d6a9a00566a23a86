import type { IncomingMessage } from 'node:http'
import { invalidBody } from '../../dialects/plan/json-body.ts'
import { GatewayError } from '../../shared/errors.ts'
import { type JsonObject, parseJsonObject } from '../../shared/json.ts'

export interface SmallBodyLimits {
  readonly maxBytes: number
  readonly timeoutMs: number
}

/** Longest time for what a page or a device sends. */
const MOST_TIMEOUT_MS = 10_000

/**
 * Reads the JSON object that a page sends.
 * @throws {GatewayError} GW_BODY_INVALID, GW_BODY_ENCODED, GW_BODY_TOO_LARGE, GW_BODY_TIMEOUT, GW_CLIENT_CLOSED
 */
export async function readSmallBody(
  request: IncomingMessage,
  limits: SmallBodyLimits
): Promise<JsonObject> {
  // Forms of other sites cannot send this type without asking first.
  if (!isOfType(request, 'application/json')) throw invalidBody(JSON_WANTED)
  const body = parseJsonObject(await readText(request, limits))
  if (body === null) throw invalidBody('The body is not a JSON object.')
  return body
}

/**
 * Reads the fields of a form. Pages of other sites can send this type: check where it comes from.
 * @throws {GatewayError} as `readSmallBody()`
 */
export async function readSmallForm(
  request: IncomingMessage,
  limits: SmallBodyLimits
): Promise<URLSearchParams> {
  if (!isOfType(request, FORM_TYPE)) throw invalidBody(`Send it as ${FORM_TYPE}.`)
  return new URLSearchParams(await readText(request, limits))
}

const JSON_WANTED =
  'Send a JSON object with "content-type: application/json", {} if it has nothing to say.'

const FORM_TYPE = 'application/x-www-form-urlencoded'

function isOfType({ headers }: IncomingMessage, type: string): boolean {
  const [given = ''] = (headers['content-type'] ?? '').split(';', 1)
  return given.trim().toLowerCase() === type
}

async function readText(request: IncomingMessage, limits: SmallBodyLimits): Promise<string> {
  if (request.headers['content-encoding'] !== undefined) throw new GatewayError('GW_BODY_ENCODED')
  const timeoutMs = Math.min(MOST_TIMEOUT_MS, limits.timeoutMs)
  return (await readSmallBytes(request, { ...limits, timeoutMs })).toString()
}

/** Reads a body as it comes. @throws {GatewayError} GW_BODY_TOO_LARGE, GW_BODY_TIMEOUT, GW_CLIENT_CLOSED */
export async function readSmallBytes(
  request: IncomingMessage,
  { maxBytes, timeoutMs }: SmallBodyLimits
): Promise<Buffer> {
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
  return Buffer.concat(chunks)
}

function tooLarge(maxBytes: number): GatewayError {
  const message = `The body may have at most ${maxBytes} bytes.`
  return new GatewayError('GW_BODY_TOO_LARGE', undefined, { message })
}
