import {
  isJsonObject,
  type JsonDraft,
  type JsonObject,
  setOwn,
  splitReference
} from '../../shared/json.ts'
import type { RepairCode } from '../rules/repair-table.ts'
import type { Repairs } from '../rules/repairs.ts'
import { UpstreamLimits } from '../rules/rules.ts'
import type { Source } from '../wire/message.ts'
import { COMBINATORS, NAME_LISTS, SCHEMA_MAPS, VALUES } from './keywords.ts'
import { type InlineBudget, SchemaRefs } from './references.ts'

/** Deeper subschemas become `{}`, so that the upstream takes the depth. */
const MAX_DEPTH = UpstreamLimits.schemaDepth - 1

/** Refused somewhere upstream, or useless once references are inlined (§4.11). */
const DROPPED = new Set([
  ...'additionalProperties $schema $id $ref $dynamicRef $recursiveRef $anchor'.split(' '),
  ...'$dynamicAnchor $recursiveAnchor $defs definitions'.split(' '),
  'required' // comes back filtered, after the properties are known
])
const TAKES_NULL = new Set(['default', 'const'])

/**
 * Makes any value an object schema without root combinators, references, `additionalProperties`, and empty
 * or wrong `required` (kiro-protocol §4.11). Idempotent and pure. All tools of a request share `budget`, so
 * that nested references cannot grow without end.
 */
export function cleanSchema(
  schema: unknown,
  budget: InlineBudget,
  repairs: Repairs,
  source?: Source
): JsonObject {
  if (!isJsonObject(schema)) {
    repairs.note('tool-schema-typed', source)
    return { type: 'object', properties: {} }
  }
  const refs = new SchemaRefs(schema, budget)
  const cleaner = new SchemaCleaner(refs, repairs, source)
  const clean = cleaner.clean(schema, 0)
  budget.noteDepth(cleaner.deepest, source)
  return flattenRoot(clean, repairs, source, (keyword) => refs.placeOf(keyword, schema, []))
}

class SchemaCleaner {
  readonly #refs: SchemaRefs
  readonly #repairs: Repairs
  readonly #source: Source
  #names: string[] = []
  deepest = 0

  constructor(refs: SchemaRefs, repairs: Repairs, source: Source) {
    this.#refs = refs
    this.#repairs = repairs
    this.#source = source
  }

  clean(schema: JsonObject, depth: number): JsonDraft {
    if (depth > MAX_DEPTH) {
      if (Object.keys(schema).length > 0) this.#note('tool-schema-cut')
      return {}
    }
    if (depth > this.deepest) this.deepest = depth
    const ref = schema['$ref']
    return typeof ref === 'string' ? this.#inline(schema, ref, depth) : this.#copy(schema, depth)
  }

  /** Keywords beside a reference override its target's. */
  #inline(schema: JsonObject, ref: string, depth: number): JsonDraft {
    const target = this.#refs.enter(ref)
    const own = this.#copy(schema, depth)
    if (target === 'unknown') return own
    if (target === 'cut') {
      this.#note('tool-schema-cut')
      return { type: 'object', ...own }
    }
    this.#note('tool-schema-inlined')
    const names = this.#names
    this.#names = [...splitReference(ref)]
    const inlined = this.clean(target, depth + 1)
    this.#names = names
    this.#refs.leave()
    for (const key of Object.keys(own)) setOwn(inlined, key, own[key])
    const { required, ...rest } = inlined
    // Each half may lack the other's properties.
    this.#copyRequired(required, rest, () =>
      own['required'] === undefined
        ? this.#refs.placeOf('required', target, splitReference(ref))
        : [...names, 'required']
    )
    return rest
  }

  #copy(schema: JsonObject, depth: number): JsonDraft {
    const copy: JsonDraft = {}
    for (const key of Object.keys(schema)) {
      const value = schema[key]
      this.#names.push(key)
      if (isDropped(key, value)) {
        if (key !== 'required') this.#note('tool-schema-cleaned')
      } else {
        setOwn(copy, key, this.#copyKeyword(key, value, depth + 1))
      }
      this.#names.pop()
    }
    this.#copyRequired(schema['required'], copy, () => [...this.#names, 'required'])
    return copy
  }

  #copyKeyword(key: string, value: unknown, depth: number): unknown {
    if (VALUES.has(key)) return value
    if (isJsonObject(value)) {
      return SCHEMA_MAPS.has(key) ? this.#copyMap(key, value, depth) : this.clean(value, depth)
    }
    return Array.isArray(value) ? this.#copyList(value, depth) : value
  }

  #copyList(list: readonly unknown[], depth: number): unknown[] {
    return list.map((one, index) => {
      if (!isJsonObject(one) && !Array.isArray(one)) return one
      this.#names.push(`${index}`)
      const copy = isJsonObject(one) ? this.clean(one, depth) : this.#copyList(one, depth)
      this.#names.pop()
      return copy
    })
  }

  #copyMap(key: string, map: JsonObject, depth: number): JsonObject {
    const copy: JsonDraft = {}
    for (const name of Object.keys(map)) {
      const value = map[name]
      this.#names.push(name)
      if (isJsonObject(value)) setOwn(copy, name, this.clean(value, depth))
      else if (Array.isArray(value) && NAME_LISTS.has(key)) {
        setOwn(copy, name, this.#copyList(value, depth))
      } else {
        this.#note('tool-schema-cleaned')
        setOwn(copy, name, value === false ? { not: {} } : {})
      }
      this.#names.pop()
    }
    return copy
  }

  #copyRequired(required: unknown, copy: JsonDraft, placeOf: () => readonly string[]): void {
    if (required === undefined) return
    const kept = filterRequired(required, copy['properties'])
    if (kept.length > 0) copy['required'] = kept
    const isWhole = Array.isArray(required) && kept.length === required.length && kept.length > 0
    if (!isWhole) this.#note('tool-schema-cleaned', placeOf())
  }

  #note(code: RepairCode, place: readonly string[] = this.#names): void {
    this.#repairs.note(code, this.#source, place)
  }
}

function isDropped(key: string, value: unknown): boolean {
  if (DROPPED.has(key)) return true
  if (isNothing(value)) return !TAKES_NULL.has(key)
  return SCHEMA_MAPS.has(key) && !isJsonObject(value)
}

/** Numbers beyond JSON's range would become null on the way. */
function isNothing(value: unknown): boolean {
  return value === null || value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY
}

function filterRequired(required: unknown, properties: unknown): string[] {
  if (!Array.isArray(required) || !isJsonObject(properties)) return []
  const names = new Set<string>()
  for (const name of required) {
    if (typeof name === 'string' && Object.hasOwn(properties, name)) names.add(name)
  }
  return [...names]
}

/**
 * Makes the root an object and merges its `oneOf`, `anyOf` or `allOf`. The first definition of a property
 * wins; it is required if all branches require it (`allOf`: if any does). `placeOf` finds where the client
 * wrote a keyword.
 */
function flattenRoot(
  schema: JsonObject,
  repairs: Repairs,
  source: Source,
  placeOf: (keyword: string) => readonly string[]
): JsonObject {
  const combinators = COMBINATORS.filter((name) => schema[name] !== undefined)
  if (schema['type'] !== 'object' || !isJsonObject(schema['properties'])) {
    repairs.note('tool-schema-typed', source)
  }
  for (const name of combinators) repairs.note('tool-schema-flattened', source, placeOf(name))
  const properties = combinators.length > 0 ? mergeProperties(schema) : ownProperties(schema)
  const required = new Set<string>()
  addRequired(schema, required)
  const root: JsonDraft = { type: 'object', properties }
  for (const key of Object.keys(schema)) {
    if (!ROOT_KEYS.has(key)) setOwn(root, key, schema[key])
  }
  const known = [...required].filter((name) => Object.hasOwn(properties, name))
  if (known.length > 0) root['required'] = known
  return root
}

const ROOT_KEYS = new Set<string>([...COMBINATORS, 'type', 'properties', 'required'])

function mergeProperties(schema: JsonObject): JsonDraft {
  const merged: JsonDraft = {}
  const add = (branch: JsonObject): void => {
    for (const [name, property] of Object.entries(ownProperties(branch))) {
      if (!Object.hasOwn(merged, name)) setOwn(merged, name, property)
    }
    for (const name of COMBINATORS) for (const inner of branchesOf(branch, name)) add(inner)
  }
  add(schema)
  return merged
}

/** Collects what any branch of `allOf` requires, and what all branches of the others do. */
function addRequired(schema: JsonObject, required: Set<string>): void {
  const own = schema['required']
  if (Array.isArray(own)) for (const name of own) required.add(name)
  for (const combinator of COMBINATORS) {
    const branches = branchesOf(schema, combinator)
    if (combinator === 'allOf' || branches.length === 1) {
      for (const branch of branches) addRequired(branch, required)
    } else {
      addAgreed(branches, required)
    }
  }
}

function addAgreed(branches: readonly JsonObject[], required: Set<string>): void {
  const [first, ...others] = branches.map((branch) => {
    const names = new Set<string>()
    addRequired(branch, names)
    return names
  })
  for (const name of first ?? []) if (others.every((names) => names.has(name))) required.add(name)
}

function ownProperties({ properties }: JsonObject): JsonObject {
  return isJsonObject(properties) ? properties : {}
}

function branchesOf(
  schema: JsonObject,
  combinator: (typeof COMBINATORS)[number]
): readonly JsonObject[] {
  const branches = schema[combinator]
  return Array.isArray(branches) ? branches.filter(isJsonObject) : []
}
