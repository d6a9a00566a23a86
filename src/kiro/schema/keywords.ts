import { isJsonObject, type JsonObject } from '../../shared/json.ts'

/** Type of a keyword's value. Keywords that are not here are annotations and hold anything. */
export type WordKind =
  | 'schema'
  | 'schemas'
  | 'schema-or-schemas'
  | 'schemas-by-name'
  | 'schemas-by-pattern'
  | 'dependencies'
  | 'text'
  | 'reference'
  | 'pattern'
  | 'count'
  | 'number'
  | 'bound'
  | 'boolean'
  | 'names'
  | 'names-by-name'
  | 'types'
  | 'values'
  | 'anything'

/** Keywords of drafts 4 to 2020-12: clients send any of them, mostly without naming the draft. */
export const SchemaWords: ReadonlyMap<string, WordKind> = new Map([
  ...wordsOf('schema', 'additionalProperties propertyNames contains not if then else'),
  ...wordsOf('schema', 'unevaluatedProperties unevaluatedItems additionalItems contentSchema'),
  ...wordsOf('schemas', 'allOf anyOf oneOf prefixItems'),
  ...wordsOf('schema-or-schemas', 'items'),
  ...wordsOf('schemas-by-name', 'properties $defs definitions dependentSchemas'),
  ...wordsOf('schemas-by-pattern', 'patternProperties'),
  ...wordsOf('dependencies', 'dependencies'),
  ...wordsOf('text', '$id $anchor $dynamicAnchor format'),
  ...wordsOf('reference', '$ref $dynamicRef'),
  ...wordsOf('pattern', 'pattern'),
  ...wordsOf('count', 'minLength maxLength minItems maxItems minProperties maxProperties'),
  ...wordsOf('count', 'minContains maxContains'),
  ...wordsOf('number', 'minimum maximum multipleOf'),
  ...wordsOf('bound', 'exclusiveMinimum exclusiveMaximum'),
  ...wordsOf('boolean', 'uniqueItems'),
  ...wordsOf('names', 'required'),
  ...wordsOf('names-by-name', 'dependentRequired'),
  ...wordsOf('types', 'type'),
  ...wordsOf('values', 'enum'),
  ...wordsOf('anything', 'const default examples example')
])

interface SubSchema {
  readonly value: unknown
  readonly path: string
}

export function* schemasIn(schema: JsonObject, path: string): Generator<SubSchema> {
  for (const [word, value] of Object.entries(schema)) {
    const kind = SchemaWords.get(word)
    const place = `${path}.${word}`
    if (kind === 'schema') yield { value, path: place }
    else if (kind === 'schemas' || kind === 'schema-or-schemas') {
      if (Array.isArray(value)) yield* listed(value, place)
      else if (kind === 'schema-or-schemas') yield { value, path: place }
    } else if (kind?.startsWith('schemas-by-') || kind === 'dependencies') {
      for (const [name, inner] of Object.entries(isJsonObject(value) ? value : {})) {
        if (!Array.isArray(inner)) yield { value: inner, path: `${place}.${name}` }
      }
    }
  }
}

function* listed(schemas: readonly unknown[], path: string): Generator<SubSchema> {
  for (const [index, value] of schemas.entries()) yield { value, path: `${path}[${index}]` }
}

function wordsOf(kind: WordKind, words: string): (readonly [string, WordKind])[] {
  return words.split(' ').map((word) => [word, kind])
}

/** Member names are the user's and never keywords. */
export const SCHEMA_MAPS = wordsThatAre(
  'schemas-by-name',
  'schemas-by-pattern',
  'dependencies',
  'names-by-name'
)
export const NAME_LISTS = wordsThatAre('dependencies', 'names-by-name')
export const VALUES = wordsThatAre('values', 'anything')
export const COMBINATORS = ['oneOf', 'anyOf', 'allOf'] as const

function wordsThatAre(...kinds: readonly WordKind[]): ReadonlySet<string> {
  return new Set([...SchemaWords].flatMap(([word, kind]) => (kinds.includes(kind) ? word : [])))
}
