import { asJsonObject, type JsonObject } from '../../../src/shared/json.ts'

/** What does not fit, by its place in the value: `output[0].id: is missing`. */
export type Mismatch = string

/**
 * Checks values against the JSON schema that ts-json-schema-generator makes of TypeScript types: references, objects, lists,
 * unions, literals and plain types, and no other keyword. Of a union it reports what keeps the value from the branch that it
 * comes closest to, where a general validator would report every branch.
 */
export class TypeChecker {
  readonly #definitions: JsonObject

  constructor(schema: JsonObject) {
    this.#definitions = asJsonObject(schema['definitions']) ?? {}
  }

  /** Compares with one property of a type, named as in the source. */
  check(value: unknown, type: string, property: string): readonly Mismatch[] {
    const owner = asJsonObject(this.#definitions[type])
    const schema = asJsonObject(asJsonObject(owner?.['properties'])?.[property])
    if (schema === null) throw new Error(`${type} has no ${property}`)
    return this.#compare(value, schema, '')
  }

  #compare(value: unknown, referring: JsonObject, path: string): readonly Mismatch[] {
    const schema = this.#resolve(referring)
    const branches = schema['anyOf']
    if (Array.isArray(branches)) return this.#compareUnion(value, branches.flatMap(toSchema), path)
    if ('const' in schema && value !== schema['const'])
      return [`${path}: is ${shown(value)}, not ${shown(schema['const'])}`]
    if (Array.isArray(schema['enum']) && !schema['enum'].includes(value))
      return [`${path}: is ${shown(value)}, none of ${schema['enum'].map(shown).join(', ')}`]
    const { type } = schema
    const types = Array.isArray(type) ? type : [type]
    if (type !== undefined && !types.some((one) => isOfType(value, one)))
      return [`${path}: is ${shown(value)}, not of type ${types.join(' or ')}`]
    if (Array.isArray(value)) return this.#compareList(value, schema, path)
    const object = asJsonObject(value)
    return object === null ? [] : this.#compareObject(object, schema, path)
  }

  #compareUnion(
    value: unknown,
    branches: readonly JsonObject[],
    path: string
  ): readonly Mismatch[] {
    const kin = branches.filter((branch) => this.#hasTagOf(branch, value))
    const tried = kin.length > 0 ? kin : branches
    const results = tried.map((branch) => this.#compare(value, branch, path))
    const [first = []] = results.toSorted((one, other) => one.length - other.length)
    return first
  }

  /** Whether a branch is the one that the value's `type` names. */
  #hasTagOf(referring: JsonObject, value: unknown): boolean {
    const tag = asJsonObject(value)?.['type']
    if (typeof tag !== 'string') return false
    const schema = this.#resolve(referring)
    const nested = schema['anyOf']
    if (Array.isArray(nested)) {
      return nested.flatMap(toSchema).some((branch) => this.#hasTagOf(branch, value))
    }
    const declared = asJsonObject(asJsonObject(schema['properties'])?.['type'])
    const type = declared === null ? null : this.#resolve(declared)
    const words = type?.['enum']
    return type?.['const'] === tag || (Array.isArray(words) && words.includes(tag))
  }

  #compareList(values: readonly unknown[], schema: JsonObject, path: string): readonly Mismatch[] {
    const items = asJsonObject(schema['items'])
    if (items === null) return []
    return values.flatMap((value, index) => this.#compare(value, items, `${path}[${index}]`))
  }

  #compareObject(value: JsonObject, schema: JsonObject, path: string): readonly Mismatch[] {
    const properties = asJsonObject(schema['properties']) ?? {}
    const required: readonly unknown[] = Array.isArray(schema['required']) ? schema['required'] : []
    const missing = required
      .filter((name) => !Object.hasOwn(value, String(name)))
      .map((name) => `${join(path, String(name))}: is missing`)
    const others = schema['additionalProperties']
    return [
      ...missing,
      ...Object.entries(value).flatMap(([name, member]) => {
        const at = join(path, name)
        const known = asJsonObject(properties[name]) ?? asJsonObject(others)
        if (known !== null) return this.#compare(member, known, at)
        return others === false ? [`${at}: is in no type`] : []
      })
    ]
  }

  #resolve(schema: JsonObject): JsonObject {
    const { $ref: reference } = schema
    if (typeof reference !== 'string') return schema
    const name = decodeURIComponent(reference.replace('#/definitions/', ''))
    const target = asJsonObject(this.#definitions[name])
    if (target === null) throw new Error(`no definition of ${name}`)
    return this.#resolve(target)
  }
}

function toSchema(value: unknown): readonly JsonObject[] {
  const schema = asJsonObject(value)
  return schema === null ? [] : [schema]
}

function isOfType(value: unknown, type: unknown): boolean {
  switch (type) {
    case 'null':
      return value === null
    case 'array':
      return Array.isArray(value)
    case 'object':
      return asJsonObject(value) !== null
    case 'integer':
      return Number.isInteger(value)
    default:
      return typeof value === type
  }
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'undefined').slice(0, 60)
}
