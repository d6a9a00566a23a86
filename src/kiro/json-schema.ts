import { setOwn, type JsonDraft } from './json-members.ts'
import { isJsonObject, type JsonObject } from './json-object.ts'
import { SchemaRefs, type InlineBudget } from './json-schema-refs.ts'
import { flattenRoot } from './json-schema-root.ts'
import type { Repairs } from './repairs.ts'

/** Subschemas below this depth are left open (`{}`). */
const MAX_DEPTH = 128

/** Refused somewhere upstream, or pointless once references are inlined (§4.11). */
const DROPPED = new Set([
  'additionalProperties',
  '$schema',
  '$id',
  '$ref',
  '$defs',
  'definitions',
  'required' // comes back filtered, after the properties are known
])
/** Keywords for which null is a value like any other. */
const TAKES_NULL = new Set(['default', 'const'])
/** Keywords whose members are schemas; the members' names are never keywords. */
const SCHEMA_MAPS = new Set(['properties', 'patternProperties', 'dependentSchemas'])
const SCHEMA_LISTS = new Set(['oneOf', 'anyOf', 'allOf', 'prefixItems'])
const SCHEMAS = new Set([
  'items',
  'additionalItems',
  'contains',
  'not',
  'if',
  'then',
  'else',
  'propertyNames',
  'unevaluatedItems',
  'unevaluatedProperties'
])

/**
 * Makes of anything a tool schema that the upstream takes (kiro-protocol §4.11): an object schema without
 * combinators at its root, without references, `additionalProperties` and empty or wrong `required`.
 *
 * Never changes its argument; cleaning twice is cleaning once. `budget` bounds what references may add
 * and is shared by all tools of a request, so that nested references cannot grow without end.
 */
export function cleanSchema(schema: unknown, budget: InlineBudget, repairs: Repairs): JsonObject {
  if (!isJsonObject(schema)) {
    repairs.note('tool-schema-cleaned')
    return { type: 'object', properties: {} }
  }
  const cleaner = new SchemaCleaner(new SchemaRefs(schema, budget), repairs)
  return flattenRoot(cleaner.clean(schema, 0), repairs)
}

class SchemaCleaner {
  readonly #refs: SchemaRefs
  readonly #repairs: Repairs

  constructor(refs: SchemaRefs, repairs: Repairs) {
    this.#refs = refs
    this.#repairs = repairs
  }

  clean(schema: JsonObject, depth: number): JsonDraft {
    if (depth > MAX_DEPTH) {
      this.#repairs.note('tool-schema-cut')
      return {}
    }
    const ref = schema['$ref']
    return typeof ref === 'string' ? this.#inline(schema, ref, depth) : this.#copy(schema, depth)
  }

  /** Keywords beside a reference win over those of its target. */
  #inline(schema: JsonObject, ref: string, depth: number): JsonDraft {
    const target = this.#refs.enter(ref)
    const own = this.#copy(schema, depth)
    if (target === 'unknown') return own
    if (target === 'cut') {
      this.#repairs.note('tool-schema-cut')
      return { type: 'object', ...own }
    }
    this.#repairs.note('tool-schema-inlined')
    const inlined = this.clean(target, depth + 1)
    this.#refs.leave()
    for (const key of Object.keys(own)) setOwn(inlined, key, own[key])
    const { required, ...rest } = inlined
    this.#copyRequired(required, rest) // the two halves may not know each other's properties
    return rest
  }

  #copy(schema: JsonObject, depth: number): JsonDraft {
    const copy: JsonDraft = {}
    for (const key of Object.keys(schema)) {
      const value = schema[key]
      if (DROPPED.has(key) || (isNothing(value) && !TAKES_NULL.has(key))) {
        if (key !== 'required') this.#repairs.note('tool-schema-cleaned')
        continue
      }
      setOwn(copy, key, this.#copyKeyword(key, value, depth + 1))
    }
    this.#copyRequired(schema['required'], copy)
    return copy
  }

  #copyKeyword(key: string, value: unknown, depth: number): unknown {
    if (isJsonObject(value)) {
      if (SCHEMA_MAPS.has(key)) return this.#copyMap(value, depth)
      return SCHEMAS.has(key) ? this.clean(value, depth) : value
    }
    if (!Array.isArray(value) || !(SCHEMA_LISTS.has(key) || SCHEMAS.has(key))) return value
    return value.map((one) => (isJsonObject(one) ? this.clean(one, depth) : one))
  }

  #copyMap(map: JsonObject, depth: number): JsonObject {
    const copy: JsonDraft = {}
    for (const name of Object.keys(map)) {
      const schema = map[name]
      setOwn(copy, name, isJsonObject(schema) ? this.clean(schema, depth) : {})
    }
    return copy
  }

  #copyRequired(required: unknown, copy: JsonDraft): void {
    if (required === undefined) return
    const kept = filterRequired(required, copy['properties'])
    if (kept.length > 0) copy['required'] = kept
    const isWhole = Array.isArray(required) && kept.length === required.length && kept.length > 0
    if (!isWhole) this.#repairs.note('tool-schema-cleaned')
  }
}

/** Null, or a number beyond what JSON can carry, which would become null on the way. */
function isNothing(value: unknown): boolean {
  return value === null || value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY
}

/** The names in `required` that are strings, known and not repeated. */
function filterRequired(required: unknown, properties: unknown): string[] {
  if (!Array.isArray(required) || !isJsonObject(properties)) return []
  const names = new Set<string>()
  for (const name of required) {
    if (typeof name === 'string' && Object.hasOwn(properties, name)) names.add(name)
  }
  return [...names]
}
