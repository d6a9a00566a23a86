import { asJsonObject, type JsonObject } from '../kiro/json-object.ts'
import { badRequest, type Refusal } from './refusal.ts'

/**
 * Checks `additionalModelRequestFields` against the model's schema (kiro-protocol §9.2). A model without
 * a schema takes no member at all. Knows the keywords that `models.ts` uses, no others.
 */
export function checkFields(fields: JsonObject, schema: JsonObject | undefined): Refusal | null {
  const problem = problemOf(fields, schema ?? { type: 'object', properties: {} }, '')
  if (problem === null) return null
  const refusal = badRequest(`Invalid additionalModelRequestFields: ${problem}`, null)
  return { ...refusal, rule: 'model-fields', violation: problem }
}

function problemOf(value: unknown, schema: JsonObject, path: string): string | null {
  switch (schema['type']) {
    case 'object':
      return objectProblem(value, asJsonObject(schema['properties']) ?? {}, path)
    case 'string':
      return stringProblem(value, schema['enum'], path)
    default:
      return integerProblem(value, schema, path)
  }
}

function objectProblem(value: unknown, properties: JsonObject, path: string): string | null {
  const object = asJsonObject(value)
  if (object === null) return `property '${path}' is not an object`
  for (const [name, member] of Object.entries(object)) {
    const memberPath = path === '' ? name : `${path}.${name}`
    const schema = Object.hasOwn(properties, name) ? asJsonObject(properties[name]) : null
    if (schema === null) return `property '${memberPath}' is not defined in the schema`
    const problem = problemOf(member, schema, memberPath)
    if (problem !== null) return problem
  }
  return null
}

function stringProblem(value: unknown, allowed: unknown, path: string): string | null {
  if (typeof value !== 'string') return `property '${path}' is not a string`
  if (!Array.isArray(allowed) || allowed.includes(value)) return null
  return `property '${path}' is not one of ${allowed.join(', ')}`
}

function integerProblem(value: unknown, schema: JsonObject, path: string): string | null {
  if (typeof value !== 'number' || !Number.isInteger(value))
    return `property '${path}' is not an integer`
  const { minimum, maximum } = schema
  if (typeof minimum === 'number' && value < minimum)
    return `property '${path}' is below ${minimum}`
  if (typeof maximum === 'number' && value > maximum)
    return `property '${path}' is above ${maximum}`
  return null
}
