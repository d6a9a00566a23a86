import type { PanelAnswer, PanelCall } from '../../ipc/panel.ts'
import { type ErrorCode, GatewayError } from '../../shared/errors.ts'
import type { JsonObject } from '../../shared/json.ts'

export type PanelHandler = (call: PanelCall) => Promise<PanelAnswer> | PanelAnswer

export function answer(
  json: object,
  status = 200,
  headers: Readonly<Record<string, string>> = {}
): PanelAnswer {
  const type = { 'content-type': 'application/json; charset=utf-8' }
  return { name: 'answer', status, headers: { ...type, ...headers }, body: JSON.stringify(json) }
}

export function refusal(error: GatewayError, more: JsonObject = {}): PanelAnswer {
  return { name: 'refusal', error: error.toData(), more }
}

export function panelError(code: ErrorCode, message: string, param?: string): GatewayError {
  return new GatewayError(code, undefined, { message, ...(param !== undefined && { param }) })
}

/** `null` if it is left out. @throws {GatewayError} GW_FIELD_INVALID for anything but a text: it must not count as left out */
export function givenText(body: JsonObject, name: string): string | null {
  const value = Object.hasOwn(body, name) ? (body[name] ?? '') : ''
  if (typeof value !== 'string') throw panelError('GW_FIELD_INVALID', `"${name}" is a text.`, name)
  return value === '' ? null : value
}

/** Names the field in errors of a value's own check. @throws {GatewayError} GW_FIELD_INVALID */
export function ofField<T>(param: string, parse: () => T): T {
  try {
    return parse()
  } catch (cause) {
    if (!(cause instanceof GatewayError)) throw cause
    throw panelError('GW_FIELD_INVALID', cause.message, param)
  }
}
