import * as fc from './fast-check.ts'

/** Tool schemas of every kind: valid, nonsensical, recursive, deep, with names that are words of the language. */

const name = fc.constantFrom(
  'a',
  'b/c',
  'd~e',
  'required',
  'properties',
  'additionalProperties',
  '$ref',
  '__proto__',
  'constructor',
  'toString',
  '',
  '漢字',
  '\ud800',
  'x y.z'
)
const ref = fc.constantFrom(
  '#',
  '#/$defs/a',
  '#/$defs/b~1c',
  '#/definitions/a',
  '#/properties/a',
  '#/properties/a/anyOf/0',
  '#/anyOf/0',
  '#/anyOf/00',
  '#/allOf/',
  '#/prefixItems/1e0',
  '#/nowhere',
  'https://example.com/schema',
  '#/$defs/%E6%BC%A2',
  7
)
const scalar = fc.constantFrom(null, true, false, 0, -1.5, 1e300, 'text', '', 'object', 'string')

const keyword = (names: readonly string[], value: fc.Arbitrary<unknown>) =>
  fc.tuple(fc.constantFrom(...names), value)

const { schema } = fc.letrec<{ schema: unknown; keyword: [string, unknown] }>((tie) => {
  const some = tie('schema')
  const list = fc.array(some, { maxLength: 2 })
  const map = dictionaryOf(fc.tuple(name, fc.oneof(some, fc.array(name, { maxLength: 2 }))))
  const type = fc.constantFrom('object', 'string', 'array', null, 7, ['object', 'null'])
  return {
    schema: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      { weight: 1, arbitrary: scalar },
      { weight: 5, arbitrary: dictionaryOf(tie('keyword')) },
      { weight: 1, arbitrary: list }
    ),
    keyword: fc.oneof(
      keyword(['type'], type),
      keyword(['$ref'], ref),
      keyword(['properties', 'properties', '$defs', 'definitions', 'patternProperties'], map),
      keyword(['dependencies', 'dependentSchemas', 'dependentRequired'], map),
      keyword(['required'], fc.oneof(fc.array(fc.oneof(name, scalar), { maxLength: 3 }), scalar)),
      keyword(['anyOf', 'oneOf', 'allOf', 'prefixItems', 'enum', 'x-list'], list),
      keyword(['not', 'items', 'const', 'default', 'x-vendor', 'additionalProperties'], some),
      keyword(['$schema', '$id', '$anchor', '$comment', 'title', 'properties', 'anyOf'], scalar)
    )
  }
})

/** Cycles of length one, two and through `properties`; towers that grow or nest without end. */
const recursive = fc.constantFrom<unknown>(
  { $ref: '#' },
  { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } },
  { type: 'object', properties: { next: { $ref: '#' }, all: { items: { $ref: '#' } } } },
  tower(12),
  nested(110),
  nested(99),
  nested(100)
)

export const hostileSchema: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: schema },
  { weight: 1, arbitrary: recursive }
)

/** Written as text first, so that `__proto__` becomes a member like any other. */
function dictionaryOf(entry: fc.Arbitrary<[string, unknown]>): fc.Arbitrary<object> {
  return fc.array(entry, { maxLength: 4 }).map((entries) => {
    const members = entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
    return JSON.parse(`{${members.join(',')}}`) as object
  })
}

/** Every level refers twice to the next: 2^levels schemas when written out. */
function tower(levels: number): object {
  const $defs: Record<string, object> = { [`l${levels}`]: { type: 'string' } }
  for (let level = 0; level < levels; level++) {
    const next = { $ref: `#/$defs/l${level + 1}` }
    $defs[`l${level}`] = { type: 'object', properties: { left: next, right: next } }
  }
  return { $ref: '#/$defs/l0', $defs }
}

function nested(levels: number): object {
  let schema: object = { type: 'string', additionalProperties: false }
  for (let level = 0; level < levels; level++) {
    schema = { type: 'object', properties: { down: schema }, required: ['down'] }
  }
  return schema
}
