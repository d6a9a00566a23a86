import type { TextCallForm } from '../plan/plan.ts'
import { JsonScanner } from './json-scanner.ts'
import { type AnswerRoom, detach, heapBytesOf, LongText } from './output-text.ts'
import { findPartial, type TextStage } from './text-stages.ts'
import { parseJson } from '../../shared/json.ts'

type Forms = Readonly<Record<string, TextCallForm>>

const Openings = ['[Called ', '<invoke name="', '<function_calls>'] as const

const NameHead = /^(?:\[Called |(?:<function_calls>\s*)?<invoke name=")([^\s"]*)[\s"]/

const MaxHeldChars = 256 * 1024
/** Longest beginning of a held text without a tool's name. */
const MaxHeadChars = 512

/**
 * Finds tool calls that a model wrote as text instead of making them (kiro-protocol §5.7). Text is taken for calls only
 * if, from the start of a line to the end of an answer without real calls, it is nothing but calls of tools on offer.
 *
 *   passing ──an opening at the start of a line──▶ holding ──end of the answer, all calls──▶ calls
 *      ▲                                              └───anything else──▶ text as it was ──▶ done
 */
export class TextCalls implements TextStage {
  readonly #forms: Forms
  readonly #room: AnswerRoom
  #state: 'passing' | 'holding' | 'done' = 'passing'
  readonly #held = new LongText()
  #heldBytes = 0
  #isNamed = false
  #isLineStart = true

  constructor(forms: Forms, room: AnswerRoom) {
    this.#forms = forms
    this.#room = room
  }

  push(delta: string): string {
    if (this.#state === 'done') return delta
    // The fast path of nearly all text.
    if (this.#state === 'passing' && this.#held.length === 0 && !hasOpening(delta)) {
      this.#noteLine(delta)
      return delta
    }
    this.#held.add(delta)
    const passed = this.#state === 'passing' ? this.#pass() : ''
    return this.#isHopeless(delta) ? passed + this.release() : passed
  }

  release(): string {
    const text = this.#held.take().join('')
    this.#room.free(this.#heldBytes)
    this.#heldBytes = 0
    if (this.#state === 'holding') this.#state = 'done'
    this.#noteLine(text)
    return text
  }

  /** Returns the held text as calls, if it is nothing else. Only for an answer without real calls. */
  takeCalls(): readonly TextCall[] {
    const text = this.#state === 'holding' ? this.#held.toString() : ''
    const calls = parseTextCalls(text, this.#forms) ?? []
    if (calls.length > 0) this.#held.take()
    return calls
  }

  #isHopeless(delta: string): boolean {
    if (this.#state !== 'holding') return false
    const { length } = this.#held
    const bytes = heapBytesOf(delta)
    if (length > MaxHeldChars || !this.#room.hold(bytes)) return true
    this.#heldBytes += bytes
    if (this.#isNamed) return false
    const name = NameHead.exec(this.#held.toString())?.[1]
    this.#isNamed = name !== undefined && Object.hasOwn(this.#forms, name)
    return !this.#isNamed && (name !== undefined || length > MaxHeadChars)
  }

  #pass(): string {
    const text = this.#held.take().join('')
    const at = this.#findOpening(text)
    if (at.isWhole) this.#state = 'holding'
    this.#held.add(detach(text.slice(at.index)))
    const passed = text.slice(0, at.index)
    this.#noteLine(passed)
    return passed
  }

  #findOpening(text: string): { readonly index: number; readonly isWhole: boolean } {
    let first = { index: text.length, isWhole: false }
    for (const opening of Openings) {
      let index = text.indexOf(opening)
      while (index !== -1 && !this.#startsLine(text, index))
        index = text.indexOf(opening, index + 1)
      if (index !== -1 && index < first.index) first = { index, isWhole: true }
      const partial = findPartial(text, opening)
      if (partial < first.index && this.#startsLine(text, partial)) {
        first = { index: partial, isWhole: false }
      }
    }
    return first
  }

  #startsLine(text: string, index: number): boolean {
    for (let at = index - 1; at >= 0; at--) {
      const char = text[at]
      if (char === '\n') return true
      if (char !== ' ' && char !== '\t') return false
    }
    return this.#isLineStart
  }

  #noteLine(passed: string): void {
    if (passed === '' || (!this.#isLineStart && !passed.includes('\n'))) return
    const line = passed.slice(passed.lastIndexOf('\n') + 1)
    if (line.trim() !== '') this.#isLineStart = false
    else if (line.length < passed.length) this.#isLineStart = true
  }
}

function hasOpening(text: string): boolean {
  return text.includes('[') || text.includes('<')
}

export interface TextCall {
  readonly name: string
  readonly json: string
}

/**
 * Reads a text that is nothing but calls of known tools, in one of the two forms that models write (kiro-protocol §5.7):
 *
 *   [Called NAME with args: {…}]
 *   <invoke name="NAME"><parameter name="P">value</parameter>…</invoke>, alone or inside <function_calls>
 *
 * Returns `null` for anything else: an unknown tool or parameter, a missing one, arguments that are not strict JSON, or
 * any word around the calls.
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
  const scanner = new JsonScanner()
  let to = from
  while (to < text.length && scanner.progress !== 'whole') scanner.feed(text.charAt(to++))
  if (scanner.progress !== 'whole' || text[to] !== ']') return null
  return { call: { name, json: text.slice(from, to) }, chars: to + 1 }
}

function readInvoke(text: string, forms: Forms): ReadCall | null {
  const head = InvokeHead.exec(text)
  const name = head?.[1] ?? ''
  const form = Object.hasOwn(forms, name) ? forms[name] : undefined
  if (head === null || form === undefined) return null
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
