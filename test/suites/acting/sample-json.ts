import { asJsonObject, type JsonObject } from '../../../src/shared/json.ts'

/** A value for the property `name` of `schema`, or `undefined` for the plainest one that is valid. */
export type Hint = (name: string, schema: JsonObject) => unknown

/** Recursive schemas are left off here; they are optional in any schema that can be satisfied. */
const MAX_DEPTH = 12
/** Suites ask for "3 to 5 points", and for more than three steps. */
const USUAL_ITEMS = 4
const SENTENCE =
  'This sentence has as many words as a model would use to say something of interest here.'

/** A value that fits a JSON schema and is as long as a model's would be; `items`: in lists that may have so many. */
export function sampleJson(root: JsonObject, hint: Hint, items = USUAL_ITEMS): unknown {
  return new Sampler(root, hint, items).valueOf('', root, 0)
}

class Sampler {
  readonly #root: JsonObject
  readonly #hint: Hint
  readonly #items: number

  constructor(root: JsonObject, hint: Hint, items: number) {
    this.#root = root
    this.#hint = hint
    this.#items = items
  }

  valueOf(name: string, referring: JsonObject, depth: number): unknown {
    const schema = this.#resolve(referring)
    const hinted = this.#hint(name, schema)
    if (hinted !== undefined) return hinted
    if (schema['const'] !== undefined) return schema['const']
    if (Array.isArray(schema['enum'])) return schema['enum'][0]
    const branch = this.#branchOf(schema)
    if (branch !== null) return this.valueOf(name, branch, depth)
    switch (typeOf(schema)) {
      case 'object':
        return this.#objectOf(schema, depth)
      case 'array':
        return this.#listOf(name, schema, depth)
      case 'integer':
      case 'number':
        return numberOf(schema)
      case 'boolean':
        return true
      case 'null':
        return null
      default:
        return textOf(schema)
    }
  }

  #resolve(schema: JsonObject): JsonObject {
    const { $ref: reference } = schema
    if (typeof reference !== 'string') return schema
    let target: unknown = this.#root
    for (const step of reference.split('/').slice(1)) {
      target = asJsonObject(target)?.[decodeURIComponent(step)]
    }
    return asJsonObject(target) ?? {}
  }

  #branchOf(schema: JsonObject): JsonObject | null {
    const branches = schema['anyOf'] ?? schema['oneOf'] ?? schema['allOf']
    if (!Array.isArray(branches)) return null
    const objects = branches.map(asJsonObject).filter((branch) => branch !== null)
    return objects.find((branch) => branch['type'] !== 'null') ?? objects[0] ?? null
  }

  #objectOf(schema: JsonObject, depth: number): JsonObject {
    const properties = Object.entries(asJsonObject(schema['properties']) ?? {})
    const required: readonly unknown[] = Array.isArray(schema['required']) ? schema['required'] : []
    const wanted = properties.filter(([name]) => depth < MAX_DEPTH || required.includes(name))
    return Object.fromEntries(
      wanted.map(([name, property]) => [
        name,
        this.valueOf(name, asJsonObject(property) ?? {}, depth + 1)
      ])
    )
  }

  #listOf(name: string, schema: JsonObject, depth: number): unknown[] {
    const { minItems, maxItems } = schema
    const least = typeof minItems === 'number' ? minItems : 0
    const most = typeof maxItems === 'number' ? maxItems : Math.max(least, this.#items)
    const length = depth < MAX_DEPTH ? Math.min(Math.max(least, this.#items), most) : least
    const item = asJsonObject(schema['items']) ?? {}
    return Array.from({ length }, () => this.valueOf(name, item, depth + 1))
  }
}

function typeOf(schema: JsonObject): unknown {
  const { type } = schema
  if (Array.isArray(type)) return type.find((one) => one !== 'null')
  return type ?? (schema['properties'] === undefined ? 'string' : 'object')
}

function numberOf({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonObject): number {
  const least = typeof minimum === 'number' ? minimum : -Infinity
  const above = typeof exclusiveMinimum === 'number' ? exclusiveMinimum + 1 : -Infinity
  const most = typeof maximum === 'number' ? maximum : Infinity
  const below = typeof exclusiveMaximum === 'number' ? exclusiveMaximum - 1 : Infinity
  return Math.min(Math.max(42, Math.ceil(least), above), most, below)
}

const FORMATS: Readonly<Record<string, string>> = {
  email: 'ada@example.com',
  uri: 'https://example.com/',
  date: '2026-11-30',
  'date-time': '2026-11-30T12:00:00Z',
  uuid: '3f2504e0-4f89-41d3-9a0c-0305e82c3301'
}

function textOf({ format, minLength, maxLength }: JsonObject): string {
  const formatted = typeof format === 'string' ? FORMATS[format] : undefined
  if (formatted !== undefined) return formatted
  const least = typeof minLength === 'number' ? minLength : 0
  const most = typeof maxLength === 'number' ? maxLength : Infinity
  return SENTENCE.padEnd(least, ` ${SENTENCE}`).slice(0, Math.min(most, 10_000))
}
