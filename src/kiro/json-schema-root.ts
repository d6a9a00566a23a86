import { setOwn, type JsonDraft } from './json-members.ts'
import { isJsonObject, type JsonObject } from './json-object.ts'
import { COMBINATORS } from './json-schema-keywords.ts'
import type { Source } from './message.ts'
import type { Repairs } from './repairs.ts'

/** What a root combinator asks of the object, after merging. */
interface ObjectParts {
  readonly properties: JsonObject
  readonly required: ReadonlySet<string>
}

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
  const { properties, required } = hasCombinator ? partsOf(schema) : ownParts(schema)
  const root: JsonDraft = { type: 'object', properties }
  for (const key of Object.keys(schema)) {
    if (!ROOT_KEYS.has(key)) setOwn(root, key, schema[key])
  }
  const known = [...required].filter((name) => Object.hasOwn(properties, name))
  if (known.length > 0) root['required'] = known
  return root
}

const ROOT_KEYS = new Set<string>([...COMBINATORS, 'type', 'properties', 'required'])

/** Own and merged parts; branches may have combinators of their own. */
function partsOf(schema: JsonObject): ObjectParts {
  const own = ownParts(schema)
  const properties: JsonDraft = {}
  addMissing(properties, own.properties)
  let required = own.required
  for (const name of COMBINATORS) {
    const branches = schema[name]
    if (!Array.isArray(branches)) continue
    const parts = branches.filter(isJsonObject).map(partsOf)
    for (const part of parts) addMissing(properties, part.properties)
    required = new Set([...required, ...joinRequired(name, parts)])
  }
  return { properties, required }
}

function ownParts(schema: JsonObject): ObjectParts {
  const properties = schema['properties']
  const required = schema['required']
  return {
    properties: isJsonObject(properties) ? properties : {},
    required: new Set(Array.isArray(required) ? required : [])
  }
}

function joinRequired(
  name: (typeof COMBINATORS)[number],
  parts: readonly ObjectParts[]
): readonly string[] {
  const all = [...new Set(parts.flatMap((part) => [...part.required]))]
  return name === 'allOf' ? all : all.filter((one) => parts.every((part) => part.required.has(one)))
}

function addMissing(target: JsonDraft, source: JsonObject): void {
  for (const name of Object.keys(source)) {
    if (!Object.hasOwn(target, name)) setOwn(target, name, source[name])
  }
}
