import { setOwn, type JsonDraft } from './json-members.ts'
import { isJsonObject, type JsonObject } from './json-object.ts'
import { COMBINATORS } from './json-schema-keywords.ts'
import type { Source } from './message.ts'
import type { Repairs } from './repairs.ts'

/**
 * Gives a clean schema the root that the upstream insists on: type `object`, `properties`, and no `oneOf`,
 * `anyOf` or `allOf`, whose branches are merged into it. The first definition of a property wins; a
 * property is required if all branches require it (`allOf`: if any does). `placeOf` knows where the client wrote
 * a keyword of it.
 */
export function flattenRoot(
  schema: JsonObject,
  repairs: Repairs,
  source: Source,
  placeOf: (keyword: string) => readonly string[]
): JsonObject {
  const combinators = COMBINATORS.filter((name) => schema[name] !== undefined)
  const hasCombinator = combinators.length > 0
  if (schema['type'] !== 'object' || !isJsonObject(schema['properties'])) {
    repairs.note('tool-schema-typed', source)
  }
  for (const name of combinators) repairs.note('tool-schema-flattened', source, placeOf(name))
  const properties = hasCombinator ? mergeProperties(schema) : ownProperties(schema)
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

/** Those of all branches, which may have combinators of their own. Nothing is copied for each level between. */
function mergeProperties(schema: JsonObject): JsonDraft {
  const merged: JsonDraft = {}
  const add = (branch: JsonObject): void => {
    addMissing(merged, ownProperties(branch))
    for (const name of COMBINATORS) for (const inner of branchesOf(branch, name)) add(inner)
  }
  add(schema)
  return merged
}

/** What a schema requires of its object: all of each branch of `allOf`, what all branches of the others agree on. */
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
  for (const name of first ?? []) {
    if (others.every((names) => names.has(name))) required.add(name)
  }
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

function addMissing(target: JsonDraft, source: JsonObject): void {
  for (const name of Object.keys(source)) {
    if (!Object.hasOwn(target, name)) setOwn(target, name, source[name])
  }
}
