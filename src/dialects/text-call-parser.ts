import { parseJsonObject } from '../kiro/json-object.ts'
import type { TextCallForm } from './text-call-form.ts'

/** A tool call as a model wrote it into its text. */
export interface TextCall {
  /** As the model knows the tool. */
  readonly name: string
  /** The text of a JSON object. */
  readonly json: string
}

type Forms = Readonly<Record<string, TextCallForm>>

/**
 * Reads a text that is nothing but calls of known tools, in one of the two ways in which models write them
 * (kiro-protocol §5.7):
 *
 * ```
 *   [Called NAME with args: {…}]
 *   <invoke name="NAME"><parameter name="P">value</parameter>…</invoke>, alone or inside <function_calls>
 * ```
 *
 * `null` for anything that is not exactly that: an unknown tool or parameter, a missing one, arguments that are
 * no strict JSON, a word before, between or after.
 */
export function parseTextCalls(text: string, forms: Forms): readonly TextCall[] | null {
  const inner = unwrap(text.trim())
  const calls: TextCall[] = []
  for (let rest = inner; rest !== ''; ) {
    const read = rest.startsWith('[') ? readBracketCall(rest, forms) : readInvoke(rest, forms)
    if (read === null) return null
    calls.push(read.call)
    rest = rest.slice(read.chars).trimStart()
  }
  return calls.length === 0 ? null : calls
}

interface ReadCall {
  readonly call: TextCall
  /** How much of the text it takes. */
  readonly chars: number
}

const Wrapper = /^<function_calls>([^]*)<\/function_calls>$/
const BracketHead = /^\[Called\s+([\w-]+)\s+with\s+args:\s*/
const InvokeHead = /^<invoke name="([\w-]+)">/
const ParameterHead = /^\s*<parameter name="([^"<>]+)">/
const InvokeEnd = /^\s*<\/invoke>/
const ParameterEnd = '</parameter>'

function unwrap(text: string): string {
  return Wrapper.exec(text)?.[1]?.trim() ?? text
}

function readBracketCall(text: string, forms: Forms): ReadCall | null {
  const head = BracketHead.exec(text)
  const name = head?.[1]
  if (head === null || name === undefined || !Object.hasOwn(forms, name)) return null
  const from = head[0].length
  const to = endOfObject(text, from)
  if (to === null || text[to] !== ']') return null
  const json = text.slice(from, to)
  return parseJsonObject(json) === null ? null : { call: { name, json }, chars: to + 1 }
}

/** The place after the object that begins at `from`; braces inside strings do not count. */
function endOfObject(text: string, from: number): number | null {
  if (text[from] !== '{') return null
  let depth = 0
  let isInString = false
  for (let at = from; at < text.length; at++) {
    const char = text[at]
    if (isInString) {
      if (char === '\\') at++
      else if (char === '"') isInString = false
    } else if (char === '"') isInString = true
    else if (char === '{') depth++
    else if (char === '}' && --depth === 0) return at + 1
  }
  return null
}

function readInvoke(text: string, forms: Forms): ReadCall | null {
  const head = InvokeHead.exec(text)
  const name = head?.[1]
  if (head === null || name === undefined || !Object.hasOwn(forms, name)) return null
  const form = forms[name]
  if (form === undefined) return null
  const input = new Map<string, unknown>()
  let at = head[0].length
  for (;;) {
    const parameter = readParameter(text.slice(at), form)
    if (parameter === null) break
    if (input.has(parameter.name)) return null
    input.set(parameter.name, parameter.value)
    at += parameter.chars
  }
  const end = InvokeEnd.exec(text.slice(at))
  if (end === null || !form.required.every((required) => input.has(required))) return null
  const json = JSON.stringify(Object.fromEntries(input))
  return { call: { name, json }, chars: at + end[0].length }
}

function readParameter(
  text: string,
  form: TextCallForm
): { readonly name: string; readonly value: unknown; readonly chars: number } | null {
  const head = ParameterHead.exec(text)
  const name = head?.[1]
  if (head === null || name === undefined || !Object.hasOwn(form.parameters, name)) return null
  const end = text.indexOf(ParameterEnd, head[0].length)
  if (end === -1) return null
  const raw = text.slice(head[0].length, end)
  const chars = end + ParameterEnd.length
  if (form.parameters[name] === 'text') return { name, value: raw, chars }
  const value = parseJson(raw)
  return value === undefined ? null : { name, value, chars }
}

/** Undefined for what is no JSON; JSON itself can't say that. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
