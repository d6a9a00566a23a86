import { asJsonObject, isJsonObject, type JsonObject } from '../kiro/json-object.ts'
import { invalidPart } from './json-body.ts'
import { schemasIn, SchemaWords, type WordKind } from './schema-words.ts'

/** A JSON Schema that `readAnswerSchema` has looked through. */
export type AnswerSchema = JsonObject | boolean

/** Longest schema, in characters of JSON: it goes into the prompt and stays with the request. */
export const MAX_SCHEMA_CHARS = 262_144

const TYPES = new Set<unknown>('array boolean integer null number object string'.split(' '))

/**
 * Looks through the schema that an answer must match, so that a mistake in it is the client's 400 and not an
 * answer that nobody can check. References must lead somewhere inside it: nothing is ever fetched. Gives its JSON text.
 *
 * `path` leads to the schema from the body's root.
 *
 * @throws {GatewayError} GW_BODY_INVALID that names the part at fault.
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

/** The schema of the text that `readAnswerSchema()` gave; nobody else has it. */
export function parseAnswerSchema(json: string): AnswerSchema {
  const schema: unknown = JSON.parse(json)
  return schema === false ? false : (asJsonObject(schema) ?? true)
}

/** Where the references of a schema lead. */
interface Scope {
  /** The nearest schema around that has an `$id`, or the root. */
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

/** What is wrong with a keyword's own value; the schemas inside it are looked at for themselves. */
function problemOf(kind: WordKind, value: unknown, scope: Scope): string | null {
  switch (kind) {
    case 'schema':
    case 'schema-or-schemas':
      return null
    case 'schemas':
      return Array.isArray(value) && value.length > 0 ? null : 'must be a list of JSON schemas'
    case 'schemas-by-name':
    case 'dependencies':
      return isJsonObject(value) ? null : 'must be an object of JSON schemas'
    case 'schemas-by-pattern':
      if (!isJsonObject(value)) return 'must be an object of JSON schemas'
      return Object.keys(value).every((pattern) => isPattern(pattern, 'u')) ? null : NO_PATTERN
    case 'text':
      return typeof value === 'string' ? null : 'must be a string'
    case 'reference':
      return problemOfReference(value, scope)
    case 'pattern':
      return toPattern(value) === null ? NO_PATTERN : null
    case 'count':
      return typeof value === 'number' && value >= 0 ? null : 'must be a number of at least 0'
    case 'number':
      return typeof value === 'number' ? null : 'must be a number'
    case 'bound':
      return typeof value === 'number' || typeof value === 'boolean' ? null : 'must be a number'
    case 'boolean':
      return typeof value === 'boolean' ? null : 'must be a boolean'
    case 'names':
      return isNames(value) ? null : 'must be a list of strings'
    case 'names-by-name':
      return isJsonObject(value) && Object.values(value).every(isNames)
        ? null
        : 'must be an object of lists of strings'
    case 'types':
      return [value].flat().every((type) => TYPES.has(type))
        ? null
        : `must be one of ${[...TYPES].join(', ')}, or a list of them`
    case 'values':
      break
  }
  return Array.isArray(value) ? null : 'must be a list'
}

const NO_PATTERN = 'must be a regular expression'

/** The expression of a `pattern`; some were written for engines without the `u` flag. */
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
  if (!value.startsWith('#')) return 'must begin with "#": other schemas are not fetched'
  const isFound = value.startsWith('#/') ? leads(resource, value) : anchors.has(value.slice(1))
  return isFound ? null : 'leads to nothing in this schema'
}

function leads(root: JsonObject, pointer: string): boolean {
  let current: unknown = root
  for (const token of pointer.slice(2).split('/')) {
    if (typeof current !== 'object' || current === null) return false
    const name = unescapeToken(token)
    if (!Object.hasOwn(current, name)) return false
    current = Reflect.get(current, name)
  }
  return isJsonObject(current) || typeof current === 'boolean'
}

function unescapeToken(token: string): string {
  let name = token
  try {
    name = decodeURIComponent(token)
  } catch {
    // A lone percent sign stands for itself.
  }
  return name.replaceAll('~1', '/').replaceAll('~0', '~')
}

/** `''` is the root itself. */
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
