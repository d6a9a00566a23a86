import { Check, Errors } from 'typebox/schema'
import { SchemaWords, schemasIn, type WordKind } from '../../kiro/schema/keywords.ts'
import {
  asJsonObject,
  isJsonObject,
  type JsonDraft,
  type JsonObject,
  splitReference,
  valueAt
} from '../../shared/json.ts'
import { runWithin, TOO_LONG } from '../../shared/run-within.ts'
import { invalidPart } from './json-body.ts'

export type JsonForm =
  | { readonly type: 'value' | 'object' }
  /** JSON text, because parsed schemas would take many times the memory for as long as the answer lasts. */
  | { readonly type: 'schema'; readonly schemaJson: string }

export interface JsonFormat {
  readonly type: string
  readonly schema?: unknown
}

/** @throws {GatewayError} GW_BODY_INVALID for an invalid schema */
export function readJsonForm(format: JsonFormat, path: string): JsonForm | undefined {
  if (format.type === 'json_object') return { type: 'object' }
  if (format.type !== 'json_schema') return undefined
  const { schema } = format
  if (schema === undefined || schema === null) return { type: 'value' }
  return { type: 'schema', schemaJson: readAnswerSchema(schema, path) }
}

const MAX_PROBLEMS = 8
const MAX_PROBLEM_CHARS = 300

export interface AnswerCheck {
  /** Why the text is not the JSON that was asked for, worded for the model; empty if it is. */
  readonly problems: readonly string[]
  /** False if the schema's patterns or references cost too much, which the model cannot mend; the text is JSON. */
  readonly isComplete: boolean
}

/** Checks synchronously, and gives up after `timeoutMs`. */
export function checkAnswer(text: string, form: JsonForm, timeoutMs: number): AnswerCheck {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const detail = error instanceof Error ? error.message : 'unreadable'
    return complete([`it is not valid JSON (${detail})`])
  }
  if (form.type === 'schema')
    return checkValue(value, parseAnswerSchema(form.schemaJson), timeoutMs)
  return complete(form.type === 'value' || isJsonObject(value) ? [] : ['it is not a JSON object'])
}

function complete(problems: readonly string[]): AnswerCheck {
  return { problems, isComplete: true }
}

function checkValue(value: unknown, schema: AnswerSchema, timeoutMs: number): AnswerCheck {
  const prepared = forValidator(schema)
  const check = (): readonly string[] => {
    if (Check(prepared, value)) return []
    const [, errors] = Errors(prepared, value)
    return errors.slice(0, MAX_PROBLEMS).map(({ instancePath, message }) => {
      const place = instancePath === '' ? 'the whole' : instancePath
      return `${place}: ${message}`.slice(0, MAX_PROBLEM_CHARS)
    })
  }
  try {
    const problems = runWithin(timeoutMs, check)
    return problems === TOO_LONG ? INCOMPLETE : complete(problems)
  } catch (error) {
    // Endless recursion; anything else is a bug.
    if (error instanceof RangeError) return INCOMPLETE
    throw error
  }
}

const INCOMPLETE: AnswerCheck = { problems: [], isComplete: false }

/** Adapts the schema to a validator that takes all patterns for Unicode ones and lacks `nullable`. Consumes it. */
function forValidator(schema: AnswerSchema): AnswerSchema {
  if (typeof schema === 'boolean') return schema
  const copy: JsonDraft = { ...schema }
  const open = [copy]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const pattern = toPattern(next['pattern'])
    if (pattern !== null) next['pattern'] = pattern
    for (const { value } of schemasIn(next, '')) if (isJsonObject(value)) open.push(value)
    if (next['nullable'] === true) allowNull(next)
  }
  return copy
}

/** `nullable` is OpenAPI's; OpenAI's SDK helper for Zod 3 writes it, too. */
function allowNull(schema: JsonDraft): void {
  const { type, enum: values, anyOf, allOf } = schema
  if (type !== undefined) schema['type'] = [type, 'null'].flat()
  if (Array.isArray(values)) schema['enum'] = [...values, null]
  if (!Array.isArray(allOf) || anyOf !== undefined) return
  schema['anyOf'] = [{ allOf }, { type: 'null' }]
  delete schema['allOf']
}

type AnswerSchema = JsonObject | boolean

/** Characters of JSON: the schema goes into the prompt and stays with the request. */
export const MAX_SCHEMA_CHARS = 262_144

const TYPES = new Set<unknown>('array boolean integer null number object string'.split(' '))

/**
 * Validates the answer's schema, so that a mistake in it is a 400. References must lead inside it: nothing
 * is fetched.
 * @throws {GatewayError} GW_BODY_INVALID that names the part at fault
 */
export function readAnswerSchema(schema: unknown, path: string): string {
  if (typeof schema === 'boolean') return JSON.stringify(schema)
  if (!isJsonObject(schema))
    throw invalidPart(path, 'must be a JSON schema: an object or a boolean')
  const json = JSON.stringify(schema)
  if (json.length > MAX_SCHEMA_CHARS) {
    throw invalidPart(path, `must be at most ${MAX_SCHEMA_CHARS} characters long`)
  }
  checkSchema(schema, path, { resource: schema, anchors: anchorsOf(schema) })
  return json
}

function parseAnswerSchema(json: string): AnswerSchema {
  const schema: unknown = JSON.parse(json)
  return schema === false ? false : (asJsonObject(schema) ?? true)
}

interface Scope {
  readonly resource: JsonObject
  readonly anchors: ReadonlySet<string>
}

function checkSchema(schema: JsonObject, path: string, outer: Scope): void {
  const scope = typeof schema['$id'] === 'string' ? { ...outer, resource: schema } : outer
  for (const [word, value] of Object.entries(schema)) {
    const kind = SchemaWords.get(word)
    const problem = kind === undefined ? null : problemOf(kind, value, scope)
    if (problem !== null) throw invalidPart(`${path}.${word}`, problem)
  }
  for (const inner of schemasIn(schema, path)) {
    if (typeof inner.value === 'boolean') continue
    if (!isJsonObject(inner.value)) throw invalidPart(inner.path, 'must be a JSON schema')
    checkSchema(inner.value, inner.path, scope)
  }
}

function problemOf(kind: WordKind, value: unknown, scope: Scope): string | null {
  if (kind === 'reference') return problemOfReference(value, scope)
  const rule = WordRules[kind]
  if (rule !== null && !rule[0](value)) return rule[1]
  const patterns = kind === 'schemas-by-pattern' ? Object.keys(value ?? {}) : []
  return patterns.every((pattern) => isPattern(pattern, 'u')) ? null : NO_PATTERN
}

type WordRule = readonly [isRight: (value: unknown) => boolean, problem: string]

const NO_PATTERN = 'must be a regular expression'
const NUMBER: WordRule = [(value) => typeof value === 'number', 'must be a number']
const SCHEMAS_BY_NAME: WordRule = [isJsonObject, 'must be an object of JSON schemas']

const WordRules: Readonly<Record<Exclude<WordKind, 'reference'>, WordRule | null>> = {
  schema: null,
  'schema-or-schemas': null,
  schemas: [(value) => Array.isArray(value) && value.length > 0, 'must be a list of JSON schemas'],
  'schemas-by-name': SCHEMAS_BY_NAME,
  dependencies: SCHEMAS_BY_NAME,
  'schemas-by-pattern': SCHEMAS_BY_NAME,
  text: [(value) => typeof value === 'string', 'must be a string'],
  pattern: [(value) => toPattern(value) !== null, NO_PATTERN],
  count: [(value) => typeof value === 'number' && value >= 0, 'must be a number of at least 0'],
  number: NUMBER,
  bound: [(value) => typeof value === 'boolean' || NUMBER[0](value), NUMBER[1]],
  boolean: [(value) => typeof value === 'boolean', 'must be a boolean'],
  names: [isNames, 'must be a list of strings'],
  'names-by-name': [
    (value) => isJsonObject(value) && Object.values(value).every(isNames),
    'must be an object of lists of strings'
  ],
  types: [
    (value) => [value].flat().every((type) => TYPES.has(type)),
    `must be one of ${[...TYPES].join(', ')}, or a list of them`
  ],
  values: [Array.isArray, 'must be a list'],
  anything: null
}

/** Falls back to an expression without the `u` flag, which some were written for. */
export function toPattern(value: unknown): RegExp | null {
  if (typeof value !== 'string') return null
  const flags = ['u', ''].find((flag) => isPattern(value, flag))
  return flags === undefined ? null : new RegExp(value, flags)
}

function isPattern(source: string, flags: string): boolean {
  try {
    return new RegExp(source, flags).source !== ''
  } catch {
    return false
  }
}

function problemOfReference(value: unknown, { resource, anchors }: Scope): string | null {
  if (typeof value !== 'string') return 'must be a string'
  if (!value.startsWith('#')) return 'must begin with "#": external schemas are not fetched'
  const target = value.startsWith('#/') ? valueAt(resource, splitReference(value)) : undefined
  const isSchema = isJsonObject(target) || typeof target === 'boolean'
  return isSchema || anchors.has(value.slice(1)) ? null : 'does not exist in this schema'
}

function anchorsOf(schema: JsonObject): ReadonlySet<string> {
  const anchors = new Set([''])
  const open = [schema]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const word of ['$anchor', '$dynamicAnchor']) {
      const name = next[word]
      if (typeof name === 'string') anchors.add(name)
    }
    for (const { value } of schemasIn(next, '')) if (isJsonObject(value)) open.push(value)
  }
  return anchors
}

function isNames(value: unknown): boolean {
  return Array.isArray(value) && value.every((name) => typeof name === 'string')
}
