import { asJsonObject, type JsonObject, parseJsonObject, textMember } from './json-object.ts'

/** Upstream errors are a few hundred bytes; of anything longer only this much is worth reading. */
export const MAX_FAULT_BODY_BYTES = 64 * 1024

export type HeaderLookup = Readonly<Record<string, string | readonly string[] | undefined>>

/** What an error body says, whichever of its shapes it has (kiro-protocol §8.1). */
export interface FaultBody {
  /** `json` has members, `text` is its own message, `html` comes from a CDN and not from the service. */
  readonly form: 'json' | 'text' | 'html' | 'empty'
  /** As sent, with namespace and suffix; `normalizeType` makes it comparable. */
  readonly type: string | null
  readonly message: string | null
  readonly reason: string | null
}

/** Reads an error answer. Header names are lower-case. Never throws. */
export function parseFaultBody(headers: HeaderLookup, body: string): FaultBody {
  const text = body.trim()
  const type = headerOf(headers, 'x-amzn-errortype')
  if (text === '') return { form: 'empty', type, message: null, reason: null }
  if (text.startsWith('<') || headerOf(headers, 'content-type')?.includes('text/html') === true) {
    return { form: 'html', type, message: null, reason: null }
  }
  const root = text.length > MAX_FAULT_BODY_BYTES ? null : parseJsonObject(text)
  if (root === null) return { form: 'text', type, message: text, reason: null }
  const places = [root, asJsonObject(root['error']), asJsonObject(root['Output'])]
  return {
    form: 'json',
    type: type ?? firstText(places, ['__type', 'code']),
    message: firstText(places, ['message', 'Message', 'errorMessage', 'error_description']),
    reason: firstText(places, ['reason'])
  }
}

/** `com.amazon#ThrottlingException:http://…` → `throttling`: AWS's clients name one shape in several ways. */
export function normalizeType(type: string): string {
  const name = type.slice(type.lastIndexOf('#', suffixStart(type)) + 1, suffixStart(type))
  return name
    .trim()
    .toLowerCase()
    .replace(/(?:error|exception)+$/, '')
}

export function headerOf(headers: HeaderLookup, name: string): string | null {
  const value = headers[name]
  if (value === undefined) return null
  return typeof value === 'string' ? value : (value[0] ?? null)
}

function suffixStart(type: string): number {
  const colon = type.indexOf(':')
  return colon === -1 ? type.length : colon
}

function firstText(
  places: readonly (JsonObject | null)[],
  names: readonly string[]
): string | null {
  for (const place of places) {
    for (const name of names) {
      const value = place === null ? null : textMember(place, name)
      if (value !== null) return value
    }
  }
  return null
}
