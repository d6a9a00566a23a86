import { asJsonObject, type JsonObject } from '../kiro/json-object.ts'

const MAX_DEPTH = 8

/** Arguments that fit a tool's schema: every property gets the plainest value that is valid. */
export function sampleArguments(schema: JsonObject): JsonObject {
  return sampleObject(schema, 0)
}

function sampleObject(schema: JsonObject, depth: number): JsonObject {
  const properties = Object.entries(asJsonObject(schema['properties']) ?? {})
  if (depth >= MAX_DEPTH) return {}
  return Object.fromEntries(
    properties.map(([name, property]) => [
      name,
      sampleValue(asJsonObject(property) ?? {}, depth + 1)
    ])
  )
}

function sampleValue(schema: JsonObject, depth: number): unknown {
  const given = givenValue(schema)
  if (given !== undefined) return given
  const branch = asJsonObject(firstOf(schema['anyOf']) ?? firstOf(schema['oneOf']))
  if (branch !== null) return sampleValue(branch, depth + 1)
  switch (typeOf(schema)) {
    case 'object':
      return sampleObject(schema, depth)
    case 'array':
      return sampleList(schema, depth)
    case 'integer':
    case 'number':
      return sampleNumber(schema)
    case 'boolean':
      return true
    case 'null':
      return null
    default:
      return sampleText(schema)
  }
}

function givenValue(schema: JsonObject): unknown {
  return (
    schema['const'] ?? firstOf(schema['enum']) ?? schema['default'] ?? firstOf(schema['examples'])
  )
}

function typeOf(schema: JsonObject): unknown {
  const { type } = schema
  if (Array.isArray(type)) return type.find((one) => one !== 'null')
  return type ?? (schema['properties'] === undefined ? 'string' : 'object')
}

function sampleList(schema: JsonObject, depth: number): unknown[] {
  if (depth >= MAX_DEPTH) return []
  const length = Math.min(asCount(schema['minItems'], 1), 10)
  const item = asJsonObject(schema['items']) ?? {}
  return Array.from({ length }, () => sampleValue(item, depth + 1))
}

function sampleNumber(schema: JsonObject): number {
  const { minimum, maximum } = schema
  if (typeof minimum === 'number') return Math.ceil(minimum)
  return typeof maximum === 'number' ? Math.min(1, Math.floor(maximum)) : 1
}

function sampleText(schema: JsonObject): string {
  const shortest = Math.min(asCount(schema['minLength'], 0), 1000)
  const longest = asCount(schema['maxLength'], 1000)
  return 'sample'.padEnd(shortest, ' sample').slice(0, longest)
}

function asCount(value: unknown, otherwise: number): number {
  return typeof value === 'number' && value >= 0 ? Math.floor(value) : otherwise
}

function firstOf(value: unknown): unknown {
  return Array.isArray(value) ? value[0] : undefined
}
