import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { GatewayError } from '../../../shared/errors.ts'
import { isJsonObject, type JsonDraft, type JsonObject, setOwn } from '../../../shared/json.ts'

/** List element with this member: `{ name: 'kiro' }`. */
export interface ListStep {
  readonly member: string
  readonly is: string
}

export type PathStep = string | ListStep

export type Path = readonly PathStep[]

/** Containers around it are created as needed. */
export type Leaf = string | number | boolean | readonly string[] | Readonly<Record<string, never>>

/** A configuration language as functions on texts without byte order mark. What is unaffected stays to the byte. */
export interface TextFormat {
  /** An empty text holds an empty object. @throws {GatewayError} GW_CLIENT_FILE, with line and column */
  read(text: string): JsonObject
  /** Creates objects and lists on the way. @throws {GatewayError} GW_CLIENT_FILE if another value is in the way */
  set(text: string, path: Path, value: unknown): string
  /** Requires that the place exists. */
  remove(text: string, path: Path): string
}

export function valueOnPath(root: unknown, path: Path): unknown {
  let value = root
  for (const step of path) value = childOf(value, step)
  return value
}

export function depthOf(root: unknown, path: Path): number {
  const missing = path.findIndex(
    (_, index) => (valueOnPath(root, path.slice(0, index + 1)) ?? null) === null
  )
  return missing === -1 ? path.length : missing
}

function childOf(value: unknown, step: PathStep): unknown {
  if (typeof step === 'string') {
    return isJsonObject(value) && Object.hasOwn(value, step) ? value[step] : undefined
  }
  return Array.isArray(value) ? value.find((one) => isMeant(one, step)) : undefined
}

function isMeant(element: unknown, { member, is }: ListStep): boolean {
  return childOf(element, member) === is
}

/** Wraps a value in containers for these steps, outermost first. */
export function wrap(steps: Path, value: unknown): unknown {
  const [step, ...below] = steps
  if (step === undefined) return value
  const inner = wrap(below, value)
  return typeof step === 'string' ? { [step]: inner } : [elementOf(step, inner)]
}

export function elementOf({ member, is }: ListStep, inner: unknown): JsonObject {
  return { [member]: is, ...(isJsonObject(inner) ? inner : {}) }
}

/** `models[name=kiro].apiBase`. */
export function shownPath(path: Path): string {
  return path
    .map((step) => (typeof step === 'string' ? `.${step}` : `[${step.member}=${step.is}]`))
    .join('')
    .replace(/^\./, '')
}

function ensureReplaceable(there: unknown, { path, value }: PlacedValue): void {
  if (typeof there === 'object' && there !== null && typeof value !== 'object') {
    throw clientFile(`${shownPath(path)} holds more than one value. Change it by hand.`)
  }
}

export interface PlacedValue {
  readonly path: Path
  readonly value: unknown
}

/** Sets values; checks that nothing else changed, if possible once for all. @throws {GatewayError} GW_CLIENT_FILE if that is not safe */
export function setValues(
  format: TextFormat,
  text: string,
  values: readonly PlacedValue[]
): string {
  try {
    return setTogether(format, text, values)
  } catch {
    return values.reduce((draft, one) => setTogether(format, draft, [one]), text)
  }
}

function setTogether(format: TextFormat, text: string, values: readonly PlacedValue[]): string {
  let expected: unknown = format.read(text)
  let after = text
  let path: Path = []
  for (const one of values) {
    const there = valueOnPath(expected, one.path)
    if (isDeepStrictEqual(plain(there), one.value)) continue
    ensureReplaceable(there, one)
    path = one.path
    after = format.set(after, path, one.value)
    expected = withValue(expected, path, one.value)
  }
  if (after !== text) ensureSame(format, after, { expected, path })
  return after
}

export function removeValue(format: TextFormat, text: string, path: Path): string {
  const before = format.read(text)
  if (valueOnPath(before, path) === undefined) return text
  const after = format.remove(text, path)
  ensureSame(format, after, { expected: withoutValue(before, path), path })
  return after
}

interface Expectation {
  readonly expected: unknown
  readonly path: Path
}

/** Reads the changed text with the same parser. */
function ensureSame(format: TextFormat, text: string, { expected, path }: Expectation): void {
  let found: unknown
  try {
    found = format.read(text)
  } catch (cause) {
    throw clientFile(unsafe(path), cause)
  }
  if (!isDeepStrictEqual(plain(withoutEmpty(found)), plain(withoutEmpty(expected)))) {
    throw clientFile(unsafe(path))
  }
}

function unsafe(path: Path): string {
  return `${shownPath(path)} cannot be changed safely in its present form. Change it by hand.`
}

/** YAML writes empty containers and null alike. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? null : value.map(withoutEmpty)
  if (!isJsonObject(value)) return value
  const kept = Object.entries(value).map(([name, inner]) => [name, withoutEmpty(inner)] as const)
  return kept.length === 0 ? null : Object.fromEntries(kept)
}

/** Removes parsers' prototypes. */
function plain(value: unknown): unknown {
  return structuredClone(value)
}

function withValue(root: unknown, path: Path, value: unknown): unknown {
  const [step, ...below] = path
  if (step === undefined) return value
  const inner = withValue(childOf(root, step), below, value)
  if (typeof step === 'string') {
    const draft: JsonDraft = { ...(isJsonObject(root) ? root : {}) }
    setOwn(draft, step, inner)
    return draft
  }
  const list: readonly unknown[] = Array.isArray(root) ? root : []
  const at = list.findIndex((one) => isMeant(one, step))
  const element = elementOf(step, inner)
  return at === -1 ? [...list, element] : list.with(at, element)
}

function withoutValue(root: unknown, path: Path): unknown {
  const [step, ...below] = path
  if (step === undefined) return undefined
  if (below.length === 0) {
    if (Array.isArray(root)) {
      const at = root.findIndex((one) => typeof step !== 'string' && isMeant(one, step))
      return root.toSpliced(at, 1)
    }
    return Object.fromEntries(
      Object.entries(isJsonObject(root) ? root : {}).filter(([name]) => name !== step)
    )
  }
  const inner = withoutValue(childOf(root, step), below)
  if (typeof step === 'string') return { ...(isJsonObject(root) ? root : {}), [step]: inner }
  const list: readonly unknown[] = Array.isArray(root) ? root : []
  return list.map((one) => (one === childOf(root, step) ? inner : one))
}

export function clientFile(message: string, cause?: unknown): GatewayError {
  return new GatewayError('GW_CLIENT_FILE', undefined, { message, cause })
}

export function brokenAt(text: string, offset: number, problem: string): GatewayError {
  const before = text.slice(0, offset)
  const line = before.split('\n').length
  const column = offset - (before.lastIndexOf('\n') + 1) + 1
  return clientFile(`line ${line}, column ${column}: ${problem}`)
}

export function lineBreakOf(text: string): string {
  return text.includes('\r\n') ? '\r\n' : '\n'
}

export function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1
}

export function lineEnd(text: string, offset: number): number {
  const at = text.indexOf('\n', offset)
  if (at === -1) return text.length
  return text[at - 1] === '\r' && at > offset ? at - 1 : at
}

export function indentAt(text: string, offset: number): string {
  return /^[ \t]*/.exec(text.slice(lineStart(text, offset)))?.[0] ?? ''
}

export function textHash(content: string): string {
  return createHash('sha256').update(content).digest('hex')
}
