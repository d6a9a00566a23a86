/** A JSON Schema (2020-12) as it stands in the description. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** Prefix of references to named schemas. */
const SCHEMAS = '#/components/schemas/'

/** A schema that stands elsewhere, under a name. */
export function refTo(name: string): JsonSchema {
  return { $ref: SCHEMAS + name }
}

/** The name that a reference leads to; `null` for a schema that is none. */
export function nameOfRef({ $ref }: JsonSchema): string | null {
  return typeof $ref === 'string' && $ref.startsWith(SCHEMAS) ? $ref.slice(SCHEMAS.length) : null
}

const isOptional = Symbol('optional')

/** A member of a record that may be missing. */
export function optional(schema: JsonSchema): JsonSchema {
  return { ...schema, [isOptional]: true }
}

/** An object; its members are always there but for those that are `optional()`. */
export function record(members: Readonly<Record<string, JsonSchema>>): JsonSchema {
  const required = Object.keys(members).filter((name) => !(isOptional in (members[name] ?? {})))
  return { type: 'object', ...(required.length > 0 && { required }), properties: members }
}

/** A record with words for the whole. */
export function describedRecord(
  description: string,
  members: Readonly<Record<string, JsonSchema>>
): JsonSchema {
  const { type, ...rest } = record(members)
  return { type, description, ...rest }
}

export function string(description: string): JsonSchema {
  return { type: 'string', description }
}

/** A whole number from 0 on. */
export function amount(description: string): JsonSchema {
  return { type: 'integer', minimum: 0, description }
}

/** Any number from 0 on. */
export function figure(description: string): JsonSchema {
  return { type: 'number', minimum: 0, description }
}

export function boolean(description: string): JsonSchema {
  return { type: 'boolean', description }
}

/** A moment in ISO 8601, in UTC. */
export function moment(description: string): JsonSchema {
  return { type: 'string', format: 'date-time', description }
}

export function list(items: JsonSchema, description?: string): JsonSchema {
  return { type: 'array', items, ...(description !== undefined && { description }) }
}

/** This value and no other. */
export function fixed(value: string): JsonSchema {
  return { const: value }
}

/** One of these texts. */
export function oneOf(values: readonly string[], description?: string): JsonSchema {
  return { type: 'string', enum: values, ...(description !== undefined && { description }) }
}

/** `null` where there is none. */
export function orNull(schema: JsonSchema): JsonSchema {
  const { description, ...rest } = schema
  const described = description === undefined ? {} : { description }
  return { ...described, anyOf: [rest, { type: 'null' }] }
}

/** Any of these schemas. */
export function anyOf(schemas: readonly JsonSchema[], description?: string): JsonSchema {
  return { ...(description !== undefined && { description }), anyOf: schemas }
}

/** An object of which any member may be there. */
export function anyObject(description: string): JsonSchema {
  return { type: 'object', additionalProperties: true, description }
}

/** Anything at all. */
export function anything(description: string): JsonSchema {
  return { description }
}

/**
 * A schema by which requests are checked, with words for each of its members.
 *
 * @throws {Error} a member has no words, or words are for no member
 */
export function describeMembers(
  schema: object,
  words: Readonly<Record<string, string>>
): JsonSchema {
  const plain = toPlainSchema(schema)
  const properties = new Map(Object.entries(plain['properties'] ?? {}))
  const left = new Set(Object.keys(words))
  const described = Array.from(properties, ([name, member]: [string, JsonSchema]) => {
    const description = words[name]
    if (description === undefined) throw new Error(`nothing is said of ${name}`)
    left.delete(name)
    return [name, { description, ...member }] as const
  })
  if (left.size > 0) throw new Error(`there are no members ${[...left].join(', ')}`)
  return { ...plain, properties: Object.fromEntries(described) }
}

/** As it is sent: what only TypeBox sees is left out. */
function toPlainSchema(schema: object): JsonSchema {
  const plain: JsonSchema = JSON.parse(JSON.stringify(schema))
  return plain
}
