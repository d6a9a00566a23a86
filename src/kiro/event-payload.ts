import type { Frame } from '../frames/frame-decoder.ts'
import { GatewayError } from '../shared/errors.ts'
import { asJsonObject, type JsonObject, parseJsonObject } from './json-object.ts'

/**
 * The payload's object; one that is wrapped in its own event name is taken out (§5.2).
 *
 * @throws {GatewayError} GW_FRAME_CORRUPT when it is no JSON object.
 */
export function parsePayload(frame: Frame, eventType: string): JsonObject {
  const payload = parseJsonObject(payloadText(frame))
  if (payload === null) {
    throw new GatewayError('GW_FRAME_CORRUPT', `the payload of ${eventType} is no JSON object`)
  }
  const inner = asJsonObject(payload[eventType])
  return inner !== null && Object.keys(payload).length === 1 ? inner : payload
}

/** UTF-8 is decoded per payload: chunks may split a character, frames never do. */
export function payloadText(frame: Frame): string {
  const { payload } = frame
  if (Buffer.isBuffer(payload)) return payload.toString()
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString()
}

/** The header's text; empty when it is missing or of another type. */
export function textHeader(frame: Frame, name: string): string {
  return asText(frame.headers[name]) ?? ''
}

/** A string as it is, else undefined. */
export function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** A finite number as it is, else undefined. */
export function asNumber(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}
